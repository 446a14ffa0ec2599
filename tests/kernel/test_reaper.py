"""Who has ended, seen before it is reaped; and whose parent we have become. Each test in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from forked import alone

from procman.core.events import ExitStatus
from procman.kernel.process import children, reaper
from procman.text.signals import signal_name, signal_number

pytestmark = pytest.mark.processes


def ended(action: Callable[[], object]) -> int:
    """A child that has ended and is a zombie."""
    pid = os.fork()
    if pid == 0:
        action()
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_without_children_there_is_nobody() -> None:
    def body() -> None:
        assert reaper.peek() is None
        assert children.Children()() == []

    alone(body)


def test_one_that_runs_is_not_seen() -> None:
    def body() -> None:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        assert reaper.peek() is None
        assert children.Children()() == [pid]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    alone(body)


@pytest.mark.parametrize("code", [0, 1, 78, 127, 255])
def test_an_exit_code_is_seen_again_and_again_until_it_is_reaped(code: int) -> None:
    def body() -> None:
        pid = ended(lambda: os._exit(code))
        assert reaper.peek() == (pid, ExitStatus(code))
        assert reaper.peek() == (pid, ExitStatus(code))
        reaper.reap(pid)
        assert reaper.peek() is None

    alone(body)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGRTMIN + 3])
def test_death_by_a_signal_names_it(number: int) -> None:
    def body() -> None:
        pid = ended(lambda: (signal.signal(number, signal.SIG_DFL) if number != 9 else 0, os.kill(os.getpid(), number)))
        seen = reaper.peek()
        assert seen is not None
        assert seen[0] == pid
        assert seen[1] == ExitStatus(128 + number, signal_name(number))

    alone(body)


def test_a_stopped_child_has_not_ended() -> None:
    def body() -> None:
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
            signal.pause()
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        assert reaper.peek() is None
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    alone(body)


def test_the_group_of_a_zombie_can_still_be_killed() -> None:
    """Its number is nobody else's before it is reaped."""

    def body() -> None:
        assert children.become_subreaper()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(write, b".")
                signal.pause()
            os.read(read, 1)
            os._exit(0)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.killpg(pid, signal.SIGKILL)
        reaper.reap(pid)
        (left,) = children.Children()()
        os.waitid(os.P_PID, left, os.WEXITED | os.WNOWAIT)
        assert reaper.peek() == (left, ExitStatus(137, "KILL"))
        reaper.reap(left)

    alone(body)


def test_a_subreaper_becomes_the_parent_of_orphans() -> None:
    def body() -> None:
        assert children.become_subreaper()
        read, write = os.pipe()
        middle = os.fork()
        if middle == 0:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            os.write(write, str(pid).encode())
            os._exit(0)
        orphan = int(os.read(read, 20))
        os.waitpid(middle, 0)
        assert children.Children()() == [orphan]
        os.kill(orphan, signal.SIGKILL)
        os.waitpid(orphan, 0)

    alone(body)


def test_children_are_found_without_the_kernels_list_too() -> None:
    def body() -> None:
        pids = sorted(ended(lambda: None) for _ in range(3))
        unlisted = children.by_parent(children.all_pids())[os.getpid()]
        assert sorted(one.pid for one in unlisted) == pids == sorted(children.Children()())

    alone(body)


def test_reaping_one_that_is_gone_does_no_harm() -> None:
    alone(lambda: reaper.reap(2**22 - 1))


def test_signals_have_names_and_numbers() -> None:
    assert signal_name(9) == "KILL"
    assert signal_number("KILL") == 9
    assert signal_number(signal_name(signal.SIGRTMIN + 5)) == signal.SIGRTMIN + 5
