"""The course of an upgrade up to the exec, with real programs that check; the exec itself is tried end to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from procman.core.actions import Refuse
from procman.core.events import ExitStatus
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.helpers import Helpers
from procman.kernel.survive import handover, upgrading
from procman.kernel.survive.handover import CAN, Program
from procman.kernel.survive.upgrading import LiveUpgrade, Written

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there are no memory files here"),
]
DEADLINE = 20.0


class Bench:
    """A host that says what the test wants, and a program that is a shell script."""

    def __init__(self, folder: Path) -> None:
        self.script = folder / "program"
        self.reactor = Reactor()
        self.reactor._running = True
        self.helpers = Helpers(self.reactor)
        self.why = ""
        self.busy = False
        self.mark = ("MARK", "ident/check")
        self.said: list[str] = []
        self.faults: list[BaseException] = []
        self.parted = 0
        self.told: list[str | Refuse] = []
        self.folder = os.open(folder, os.O_RDONLY)
        here = os.open(".", os.O_RDONLY)
        self.descriptors = (self.folder, here)
        program = Program(("/bin/sh", "-e", "program"), ("start", "a"), {"A": "1"}, self.folder, here)
        self.upgrading = LiveUpgrade(self.reactor, self, program, self.write, self.part)

    def why_not(self) -> str:
        return self.why

    def log(self, text: str) -> None:
        self.said.append(text)

    def fault(self, error: BaseException) -> None:
        self.faults.append(error)

    def write(self, _blocked: object) -> Written:
        return Written(handover.write(Refuse(0, "state"), []), self.descriptors)

    def part(self) -> None:
        self.parted += 1

    def turn(self, until: Callable[[], object]) -> None:
        """Rounds of the reactor, with the reaping that the kernel does, until it is so."""
        end = time.monotonic() + DEADLINE
        while not until():
            assert time.monotonic() < end, (self.said, self.told)
            self.reactor.call_at(time.monotonic() + 0.005, lambda: None)
            self.reactor._round()
            for pid in tuple(self.helpers.pids):
                reaped, status = os.waitpid(pid, os.WNOHANG)
                if reaped:
                    code = os.waitstatus_to_exitcode(status)
                    assert self.helpers.reaped(pid, ExitStatus(code) if code >= 0 else ExitStatus(128 - code, "KILL"))

    def check(self, text: str) -> None:
        self.script.write_text(text + "\n")
        self.upgrading.ask(self.told.append)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    descriptors = len(os.listdir("/proc/self/fd"))
    made = Bench(tmp_path)
    yield made
    made.helpers.end()
    made.reactor.close()
    for fd in made.descriptors:
        os.close(fd)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert not made.helpers.pids


def test_the_last_line_is_the_reason_of_a_refusal_and_both_are_told(bench: Bench) -> None:
    bench.check("echo first; echo 'procman: cannot take over: for a reason' >&2; exit 1")
    bench.upgrading.ask(others := [].append)  # type: ignore[var-annotated]
    assert others
    bench.turn(lambda: bench.told)
    text = "cannot upgrade: the installed program cannot take over (exit 1: for a reason)"
    assert bench.told == [Refuse(0, text, "everything keeps running as before")]
    assert bench.said == [text]
    assert bench.parted == 0


def test_who_asks_meanwhile_is_told_the_same_once(bench: Bench) -> None:
    bench.check("exit 1")
    pids = list(bench.helpers.pids)
    bench.upgrading.ask(bench.told.append)
    second: list[str | Refuse] = []
    bench.upgrading.ask(second.append)
    assert list(bench.helpers.pids) == pids
    bench.turn(lambda: bench.told)
    assert len(bench.told) == 1
    assert second == bench.told
    assert len(bench.said) == 1


def test_a_check_that_hangs_is_killed_with_all_it_started(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrading, "CHECK_WITHIN", 0.3)
    bench.check("echo $$; sleep 1000 & wait")
    (pid,) = bench.helpers.pids
    bench.turn(lambda: bench.told)
    assert "gave no answer within 0.3 s" in bench.said[0]
    bench.turn(lambda: set(_states(pid)) <= {"Z"})  # its child is another's to reap


def _states(group: int) -> str:
    """The states of a group's members, as far as they are there."""
    found = ""
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                fields = Path(f"/proc/{entry}/stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group:
                found += fields[0].decode()
    return found


@pytest.mark.parametrize("text", ["exit 0", "echo something else", f"echo '{CAN}1'; exit 3"])
def test_only_a_program_that_says_so_and_ends_well_is_executed(bench: Bench, text: str) -> None:
    bench.check(text)
    bench.turn(lambda: bench.told)
    assert isinstance(bench.told[0], Refuse)
    assert bench.parted == 0


def test_what_it_is_given(bench: Bench, tmp_path: Path) -> None:
    """The options behind the verb, the environment and a mark for the guardian, a session of its own, no other descriptor."""
    bench.check(
        "echo $0 $@ > words; echo $A $MARK >> words; cut -d' ' -f6 /proc/$$/stat >> words; echo $$ >> words\n"
        "ls /proc/self/fd | tr '\\n' ' ' >> words; exit 1"
    )
    (pid,) = bench.helpers.pids
    bench.turn(lambda: bench.told)
    words, env, session, own, descriptors = (tmp_path / "words").read_text().splitlines()
    option = words.split()[2]
    assert words.split() == ["program", "start", option, "a"]
    assert env == "1 ident/check"
    assert int(session) == int(own) == pid
    state = option.removeprefix("--upgrade-check=")
    inherited = {fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}
    inherited = {fd for fd in inherited if os.get_inheritable(int(fd))}  # those of the tests themselves
    assert len(set(descriptors.split()) - inherited - {"0", "1", "2", state}) == 1  # that of ls itself


def test_it_is_refused_at_once_where_there_can_be_none(bench: Bench) -> None:
    bench.why = "procman is stopping"
    bench.check("exit 0")
    assert bench.told == [Refuse(0, "cannot upgrade: procman is stopping", "everything keeps running as before")]
    assert not bench.helpers.pids


def test_it_is_refused_where_that_has_come_while_it_checked(bench: Bench) -> None:
    bench.check(f"echo '{CAN}2'")
    bench.why = "procman is stopping"
    bench.turn(lambda: bench.told)
    assert bench.told[0].message == "cannot upgrade: procman is stopping"  # type: ignore[union-attr]
    assert bench.parted == 0


def test_a_fault_in_the_making_of_the_state_refuses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.upgrading, "_write", lambda _: 1 / 0)
    bench.check("exit 0")
    assert [type(error) for error in bench.faults] == [ZeroDivisionError]
    assert isinstance(bench.told[0], Refuse)
    assert not bench.helpers.pids


def test_no_memory_for_the_state_refuses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_blocked: object) -> Written:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bench.upgrading, "_write", full)
    bench.check("exit 0")
    assert "No space left" in bench.said[0]


def test_it_waits_while_instances_are_being_started_and_an_exec_that_fails_lets_everything_go_on(bench: Bench) -> None:
    got: list[int] = []
    bench.reactor.on_signal(signal.SIGUSR1, lambda: got.append(1))
    bench.busy = True
    bench.check(f"echo '{CAN}2'")
    rounds = iter(range(10))
    bench.turn(lambda: not bench.helpers.pids)
    bench.turn(lambda: next(rounds, None) is None)
    assert bench.told == []
    bench.upgrading._found = ["./nosuch"]
    os.kill(os.getpid(), signal.SIGUSR1)
    bench.busy = False
    bench.turn(lambda: bench.said)
    assert bench.told == ["2"]
    assert bench.parted == 1
    assert bench.said == ["cannot upgrade: the installed program cannot be executed (No such file or directory)"]
    bench.turn(lambda: got)
    bench.check("exit 1")  # and the next one is not in its way
    bench.turn(lambda: len(bench.said) == 2)
