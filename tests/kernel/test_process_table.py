"""The table of what runs: whose a process is, who gets a signal, and when nothing of a process is left."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from procman.core.actions import Target
from procman.core.events import Adopted, Orphaned
from procman.core.spec import ProcessSpec
from procman.kernel.process.process import MARK, Process, group_is_alive
from procman.kernel.process.table import EXEC_TAKES, ProcessTable

pytestmark = pytest.mark.processes
SPEC = ProcessSpec(type="a", command="x", cwd="/", env={})
SLEEP = "import signal; signal.pause()"


class Bench:
    """A table of real processes; each of them is a child of this process."""

    def __init__(self) -> None:
        self.table = ProcessTable("ident")
        self.table.subreaper = True
        self.pids: list[int] = []

    def spawn(self, mark: str = "", group: int | None = None) -> int:
        """A running process: leader of a group of its own, or a member of another's."""
        env = {MARK: mark} if mark else {}
        argv = [sys.executable, "-I", "-S", "-c", SLEEP]
        pid = os.posix_spawn(sys.executable, argv, env, setpgroup=group or 0)
        self.pids.append(pid)
        while mark and self.table.is_changing(pid, 0.0):  # its environment is empty until its exec is done
            select.select([], [], [], 0.001)
        return pid

    def leader(self, name: str = "a.1", generation: int = 1) -> Process:
        pid = self.spawn(self.table.mark(name, generation))
        process = Process(name, generation, SPEC, pid, 0.0)
        self.table.add(process)
        return process

    def ended(self, pid: int) -> int:
        """Wait for its end and reap it; the signal it died of."""
        end = time.monotonic() + 20
        while not (seen := os.waitpid(pid, os.WNOHANG))[0]:
            assert time.monotonic() < end, f"{pid} does not end"
            select.select([], [], [], 0.005)
        self.pids.remove(pid)
        return -os.waitstatus_to_exitcode(seen[1])

    def runs(self, pid: int) -> bool:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for pid in made.pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_process_is_over_when_leader_and_group_are_gone(bench: Bench) -> None:
    process = bench.leader()
    member = bench.spawn(group=process.pid)
    os.kill(process.pid, signal.SIGKILL)
    bench.ended(process.pid)
    assert not bench.table.gone(process.pid)
    assert bench.table.emptied() == []
    assert group_is_alive(process)
    os.kill(member, signal.SIGKILL)
    bench.ended(member)
    assert bench.table.emptied() == [process]
    assert bench.table.current == {}
    assert not bench.table.ending


def test_the_number_of_a_reaped_leader_may_be_a_strangers(bench: Bench) -> None:
    process, other = bench.leader(), bench.leader("a.2")
    os.kill(process.pid, signal.SIGKILL)
    bench.ended(process.pid)
    assert bench.table.unknown({process.pid, other.pid}) == set()
    bench.table.gone(process.pid)
    assert bench.table.unknown({process.pid, other.pid}) == {process.pid}


def test_an_adopted_process_outside_the_group_keeps_the_process_in_the_table(bench: Bench) -> None:
    process = bench.leader()
    daemon = bench.spawn(bench.table.mark("a.1", 1))
    assert bench.table.adopt(daemon) == Adopted("a.1", 1, daemon, in_group=False)
    os.kill(process.pid, signal.SIGKILL)
    bench.ended(process.pid)
    bench.table.gone(process.pid)
    assert bench.table.emptied() == []
    os.kill(daemon, signal.SIGKILL)
    bench.ended(daemon)
    assert not bench.table.gone(daemon)
    assert bench.table.emptied() == [process]


def test_a_kept_daemon_does_not_hold_it_and_is_inherited_by_the_last(bench: Bench) -> None:
    first, second = bench.leader("a.1"), bench.leader("a.2")
    daemon = bench.spawn(bench.table.mark("a.1", 1))
    bench.table.adopt(daemon)
    bench.table.keep(daemon)
    os.kill(first.pid, signal.SIGKILL)
    bench.ended(first.pid)
    bench.table.gone(first.pid)
    assert bench.table.emptied() == [first]
    assert bench.runs(daemon)
    bench.table.inherit(second, signal.SIGTERM)
    assert daemon in second.adopted
    assert bench.ended(daemon) == signal.SIGTERM


def test_a_member_is_known_by_its_group_whatever_its_environment(bench: Bench) -> None:
    process = bench.leader()
    member = bench.spawn(group=process.pid)
    assert bench.table.adopt(member) == Adopted("a.1", 1, member, in_group=True)
    assert bench.table.known(member)


def test_what_bears_the_mark_of_a_process_that_is_over_is_an_orphan(bench: Bench) -> None:
    bench.leader("a.1", 2)
    old = bench.spawn(bench.table.mark("a.1", 1))
    assert bench.table.adopt(old) == Adopted("a.1", 1, old, in_group=False)
    assert bench.table.adopted() == {}
    bench.table.signal_process(old, "TERM")
    assert bench.ended(old) == signal.SIGTERM
    assert bench.table.gone(old)


def test_the_mark_of_another_procman_counts_for_nothing(bench: Bench) -> None:
    bench.leader()
    foreign = bench.spawn("other-ident/a.1/1")
    assert bench.table.adopt(foreign) == Orphaned(foreign)


def test_an_environment_that_is_empty_is_read_again_for_a_while(bench: Bench) -> None:
    """In the midst of an exec it is, for a moment; so the process must not be taken for nobody's at once."""
    bare = bench.spawn()
    assert bench.table.is_changing(bare, 10.0)
    assert bench.table.is_changing(bare, 10.0 + EXEC_TAKES / 2)
    assert not bench.table.is_changing(bare, 10.0 + EXEC_TAKES)
    assert bench.table.adopt(bare) == Orphaned(bare)


def test_one_that_has_ended_is_no_orphan_that_runs(bench: Bench) -> None:
    """A zombie has no environment, so that nothing shows where it comes from."""
    bare = bench.spawn()
    bench.table.is_changing(bare, 10.0)
    assert bench.table.adopt(bare) == Orphaned(bare)
    assert [orphan.pid for orphan in bench.table.orphans()] == [bare]
    os.kill(bare, signal.SIGKILL)
    os.waitid(os.P_PID, bare, os.WEXITED | os.WNOWAIT)
    assert bench.table.orphans() == ()
    bench.ended(bare)
    assert bench.table.gone(bare)


@pytest.mark.parametrize(
    ("target", "hit"),
    [
        (Target.LEADER, {"leader"}),
        (Target.GROUP, {"leader", "member", "orphan"}),
        (Target.TOP, {"leader", "orphan", "outside"}),
        (Target.ADOPTED, {"outside"}),
        (Target.ALL, {"leader", "member", "orphan", "outside"}),
    ],
)
def test_each_target_reaches_whom_it_names_and_nobody_else(bench: Bench, target: Target, hit: set[str]) -> None:
    process = bench.leader()
    everyone = {
        "leader": process.pid,
        "member": bench.spawn(group=process.pid),
        "orphan": bench.spawn(group=process.pid),
        "outside": bench.spawn(bench.table.mark("a.1", 1)),
        "stranger": bench.spawn(),
    }
    bench.table.adopt(everyone["orphan"])
    bench.table.adopt(everyone["outside"])
    bench.table.signal(process, "KILL", target)
    for name in hit:
        assert bench.ended(everyone[name]) == signal.SIGKILL
    assert all(bench.runs(pid) for name, pid in everyone.items() if name not in hit)


def test_without_a_subreaper_the_top_is_the_whole_group(bench: Bench) -> None:
    bench.table.subreaper = False
    process = bench.leader()
    member = bench.spawn(group=process.pid)
    bench.table.signal(process, "KILL", Target.TOP)
    assert bench.ended(member) == bench.ended(process.pid) == signal.SIGKILL


def test_a_reaped_leader_and_an_empty_group_get_no_signal(bench: Bench) -> None:
    """Their number may be a stranger's by now."""
    process = bench.leader()
    os.kill(process.pid, signal.SIGKILL)
    bench.ended(process.pid)
    bench.table.gone(process.pid)
    process.pid = bench.spawn()  # as if the system had given the number to somebody else
    for target in Target:
        bench.table.signal(process, "KILL", target)
    assert bench.runs(process.pid)
    assert not group_is_alive(process)


def test_only_what_is_in_the_table_is_signalled_by_pid(bench: Bench) -> None:
    stranger = bench.spawn()
    bench.table.signal_process(stranger, "KILL")
    assert bench.runs(stranger)


def test_kill_all_reaches_everything_in_the_table(bench: Bench) -> None:
    process = bench.leader()
    outside = bench.spawn(bench.table.mark("a.1", 1))
    orphan, stranger = bench.spawn(), bench.spawn()
    bench.table.adopt(outside)
    bench.table.adopt(orphan)
    bench.table.kill_all()
    assert {bench.ended(pid) for pid in (process.pid, outside, orphan)} == {signal.SIGKILL}
    assert bench.runs(stranger)


def test_a_child_stands_in_the_guardians_table_before_it_is_known_whose_it_is(bench: Bench) -> None:
    """One without any environment may be in the midst of an exec, for a moment."""
    pid = bench.spawn()
    assert bench.table.is_changing(pid, 0.0)
    assert pid in bench.table.ledger._slots
    bench.table.gone(pid)
    assert bench.table.ledger._slots == {}


def test_a_process_stands_in_the_guardians_table_until_its_group_is_empty(bench: Bench) -> None:
    process = bench.leader()
    member = bench.spawn(group=process.pid)
    os.kill(process.pid, signal.SIGKILL)
    bench.ended(process.pid)
    bench.table.gone(process.pid)
    assert bench.table.emptied() == []
    assert list(bench.table.ledger._slots) == [process.pid]
    os.kill(member, signal.SIGKILL)
    bench.ended(member)
    bench.table.gone(member)
    assert bench.table.emptied() == [process]
    assert bench.table.ledger._slots == {}
