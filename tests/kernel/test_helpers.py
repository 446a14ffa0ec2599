"""Procman's own children: what they write is kept, and nothing of them outlives their deadline, their end or procman's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from procman.core.events import ExitStatus
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.helpers import OUTPUT_KEPT, HelperEnd, Helpers

pytestmark = pytest.mark.processes
DEADLINE = 20.0
ENV = {"PATH": os.environ["PATH"], "A": "1"}


class Bench:
    """Helpers, and the reaping that the kernel does."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.reactor._running = True
        self.helpers = Helpers(self.reactor)
        self.ends: list[HelperEnd] = []

    def run(self, script: str, within: float | None = None) -> int:
        deadline = time.monotonic() + within if within is not None else None
        return self.helpers.spawn(["/bin/sh", "-c", script], ENV, self.ends.append, deadline)

    def turn(self, until: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE
        while not until():
            assert time.monotonic() < end, self.ends
            self.reactor.call_at(time.monotonic() + 0.005, lambda: None)
            self.reactor._round()
            for pid in tuple(self.helpers.pids):
                ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is not None:
                    self.helpers.ended(pid)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    assert self.helpers.reaped(pid, ExitStatus(code) if code >= 0 else ExitStatus(128 - code, "KILL"))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.helpers.end()
    made.reactor.close()


def runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def test_its_end_comes_with_its_status_and_what_it_wrote_to_both_streams(bench: Bench) -> None:
    bench.run("echo out$A; echo err >&2; exit 3")
    bench.turn(lambda: bench.ends)
    assert bench.ends == [HelperEnd(ExitStatus(3), b"out1\nerr\n", timed_out=False)]
    assert not bench.helpers.pids


def test_a_helper_that_writes_without_end_is_read_and_its_newest_bytes_are_kept(bench: Bench) -> None:
    bench.run("head -c 300000 /dev/zero; echo last")
    bench.turn(lambda: bench.ends)
    assert len(bench.ends[0].output) == OUTPUT_KEPT
    assert bench.ends[0].output.endswith(b"last\n")


def test_at_its_deadline_it_is_killed_with_all_it_started(bench: Bench) -> None:
    bench.run("sleep 1000 & echo $!; wait", within=0.3)
    bench.turn(lambda: bench.ends)
    [end] = bench.ends
    assert end.timed_out
    assert end.status.signal == "KILL"
    bench.turn(lambda: not runs(int(end.output)))


def test_what_it_leaves_in_its_group_goes_with_it(bench: Bench) -> None:
    bench.run("sleep 1000 & echo $!")
    bench.turn(lambda: bench.ends)
    assert not bench.ends[0].timed_out
    bench.turn(lambda: not runs(int(bench.ends[0].output)))


def test_at_procmans_end_they_are_killed_and_nobody_is_called(bench: Bench) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    pid = bench.run("sleep 1000")
    bench.helpers.end()
    assert not runs(pid)
    assert bench.ends == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_one_that_cannot_be_started_leaves_nothing(bench: Bench) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        bench.helpers.spawn(["/nosuch"], ENV, bench.ends.append)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert not bench.helpers.pids


def test_a_child_that_is_no_helper_is_left_alone(bench: Bench) -> None:
    assert not bench.helpers.reaped(1, ExitStatus(0))
    bench.helpers.ended(1)
    bench.helpers.kill(1)
