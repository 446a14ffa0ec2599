"""The table of what runs: whose a process is, who gets a signal, and when a life is over."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from procman.core.actions import Target
from procman.core.spec import ProcessSpec
from procman.kernel.process.process import MARK, Process, group_lives
from procman.kernel.process.table import EXEC_TAKES, ProcessTable

pytestmark = pytest.mark.processes
SPEC = ProcessSpec(type="a", command="x", cwd="/", env={})
SLEEP = "import signal; signal.pause()"


class Bench:
    """Lives with real processes; every one of them is this process's child."""

    def __init__(self) -> None:
        self.lives = ProcessTable("ident")
        self.lives.subreaper = True
        self.pids: list[int] = []

    def process(self, mark: str = "", group: int | None = None) -> int:
        """A running process: leader of a group of its own, or a member of another's."""
        env = {MARK: mark} if mark else {}
        argv = [sys.executable, "-I", "-S", "-c", SLEEP]
        pid = os.posix_spawn(sys.executable, argv, env, setpgroup=group or 0)
        self.pids.append(pid)
        while mark and self.lives.is_changing(pid, 0.0):  # its environment is empty until its exec is done
            select.select([], [], [], 0.001)
        return pid

    def life(self, name: str = "a.1", generation: int = 1) -> Process:
        pid = self.process(self.lives.mark(name, generation))
        life = Process(name, generation, SPEC, pid, 0.0)
        self.lives.add(life)
        return life

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


def test_a_life_is_over_when_leader_and_group_are_gone(bench: Bench) -> None:
    life = bench.life()
    member = bench.process(group=life.pid)
    os.kill(life.pid, signal.SIGKILL)
    bench.ended(life.pid)
    assert not bench.lives.gone(life.pid)
    assert bench.lives.emptied() == []
    assert group_lives(life)
    os.kill(member, signal.SIGKILL)
    bench.ended(member)
    assert bench.lives.emptied() == [life]
    assert bench.lives.current == {}
    assert not bench.lives.ending()


def test_an_adopted_process_outside_the_group_holds_the_life(bench: Bench) -> None:
    life = bench.life()
    daemon = bench.process(bench.lives.mark("a.1", 1))
    assert bench.lives.adopt(daemon) == ("a.1", 1, False)
    os.kill(life.pid, signal.SIGKILL)
    bench.ended(life.pid)
    bench.lives.gone(life.pid)
    assert bench.lives.emptied() == []
    os.kill(daemon, signal.SIGKILL)
    bench.ended(daemon)
    assert not bench.lives.gone(daemon)
    assert bench.lives.emptied() == [life]


def test_a_kept_daemon_does_not_hold_it_and_is_inherited_by_the_last(bench: Bench) -> None:
    first, second = bench.life("a.1"), bench.life("a.2")
    daemon = bench.process(bench.lives.mark("a.1", 1))
    bench.lives.adopt(daemon)
    bench.lives.keep(daemon)
    os.kill(first.pid, signal.SIGKILL)
    bench.ended(first.pid)
    bench.lives.gone(first.pid)
    assert bench.lives.emptied() == [first]
    assert bench.runs(daemon)
    bench.lives.inherit(second, signal.SIGTERM)
    assert daemon in second.adopted
    assert bench.ended(daemon) == signal.SIGTERM


def test_a_member_is_known_by_its_group_whatever_its_environment(bench: Bench) -> None:
    life = bench.life()
    member = bench.process(group=life.pid)
    assert bench.lives.adopt(member) == ("a.1", 1, True)
    assert bench.lives.known(member)


def test_what_bears_the_mark_of_a_life_that_is_over_is_a_stray(bench: Bench) -> None:
    bench.life("a.1", 2)
    old = bench.process(bench.lives.mark("a.1", 1))
    assert bench.lives.adopt(old) == ("a.1", 1, False)
    assert bench.lives.adopted() == {}
    bench.lives.signal_process(old, "TERM")
    assert bench.ended(old) == signal.SIGTERM
    assert bench.lives.gone(old)


def test_the_mark_of_another_procman_counts_for_nothing(bench: Bench) -> None:
    bench.life()
    foreign = bench.process("other-ident/a.1/1")
    assert bench.lives.adopt(foreign) is None


def test_an_environment_that_is_empty_is_looked_at_again_for_a_while(bench: Bench) -> None:
    """In the midst of an exec it is, for a moment; so the process must not be taken for nobody's at once."""
    bare = bench.process()
    assert bench.lives.is_changing(bare, 10.0)
    assert bench.lives.is_changing(bare, 10.0 + EXEC_TAKES / 2)
    assert not bench.lives.is_changing(bare, 10.0 + EXEC_TAKES)
    assert bench.lives.adopt(bare) is None


@pytest.mark.parametrize(
    ("target", "hit"),
    [
        (Target.LEADER, {"leader"}),
        (Target.UNHEARD, {"leader"}),
        (Target.GROUP, {"leader", "member", "orphan"}),
        (Target.TOP, {"leader", "orphan", "outside"}),
        (Target.ADOPTED, {"outside"}),
        (Target.ALL, {"leader", "member", "orphan", "outside"}),
    ],
)
def test_each_target_reaches_whom_it_names_and_nobody_else(bench: Bench, target: Target, hit: set[str]) -> None:
    life = bench.life()
    everyone = {
        "leader": life.pid,
        "member": bench.process(group=life.pid),
        "orphan": bench.process(group=life.pid),
        "outside": bench.process(bench.lives.mark("a.1", 1)),
        "stranger": bench.process(),
    }
    bench.lives.adopt(everyone["orphan"])
    bench.lives.adopt(everyone["outside"])
    bench.lives.signal(life, "KILL", target)
    for name in hit:
        assert bench.ended(everyone[name]) == signal.SIGKILL
    assert all(bench.runs(pid) for name, pid in everyone.items() if name not in hit)


def test_without_a_subreaper_the_top_is_the_whole_group(bench: Bench) -> None:
    bench.lives.subreaper = False
    life = bench.life()
    member = bench.process(group=life.pid)
    bench.lives.signal(life, "KILL", Target.TOP)
    assert bench.ended(member) == bench.ended(life.pid) == signal.SIGKILL


def test_a_reaped_leader_and_an_empty_group_get_no_signal(bench: Bench) -> None:
    """Their number may be a stranger's by now."""
    life = bench.life()
    os.kill(life.pid, signal.SIGKILL)
    bench.ended(life.pid)
    bench.lives.gone(life.pid)
    life.pid = bench.process()  # as if the system had given the number to somebody else
    for target in Target:
        bench.lives.signal(life, "KILL", target)
    assert bench.runs(life.pid)
    assert not group_lives(life)


def test_only_what_is_in_the_table_is_signalled_by_pid(bench: Bench) -> None:
    stranger = bench.process()
    bench.lives.signal_process(stranger, "KILL")
    assert bench.runs(stranger)


def test_kill_all_reaches_everything_in_the_table(bench: Bench) -> None:
    life = bench.life()
    outside = bench.process(bench.lives.mark("a.1", 1))
    orphan, stranger = bench.process(), bench.process()
    bench.lives.adopt(outside)
    bench.lives.adopt(orphan)
    bench.lives.kill_all()
    assert {bench.ended(pid) for pid in (life.pid, outside, orphan)} == {signal.SIGKILL}
    assert bench.runs(stranger)


def test_a_child_stands_in_the_guardians_table_before_it_is_known_whose_it_is(bench: Bench) -> None:
    """One without any environment may be in the midst of an exec, for a moment."""
    pid = bench.process()
    assert bench.lives.is_changing(pid, 0.0)
    assert pid in bench.lives.ledger._slots
    bench.lives.gone(pid)
    assert bench.lives.ledger._slots == {}


def test_a_life_stands_in_the_guardians_table_until_its_group_is_empty(bench: Bench) -> None:
    life = bench.life()
    member = bench.process(group=life.pid)
    os.kill(life.pid, signal.SIGKILL)
    bench.ended(life.pid)
    bench.lives.gone(life.pid)
    assert bench.lives.emptied() == []
    assert list(bench.lives.ledger._slots) == [life.pid]
    os.kill(member, signal.SIGKILL)
    bench.ended(member)
    bench.lives.gone(member)
    assert bench.lives.emptied() == [life]
    assert bench.lives.ledger._slots == {}
