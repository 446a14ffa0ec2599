"""The loop of meaning with real processes: what the contract's stories do not tell. In a process of its own each."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import alone
from msgspec.structs import replace

from procman.core.actions import Refuse, Reply
from procman.core.events import Reload, Restart, Scale, SendSignal, ShutdownAsked, Stop
from procman.core.spec import Plan, ProcessSpec, StopPolicy
from procman.core.view import Change, Kind
from procman.errors import ConfigError, Fault
from procman.kernel import signals
from procman.kernel.history import History
from procman.kernel.kernel import SPAWNS_A_ROUND, Kernel, Settings
from procman.kernel.launcher import Given
from procman.kernel.lives import MARK
from procman.kernel.output import Format, Mux
from procman.kernel.reactor import Reactor
from procman.kernel.sinks import Sink

pytestmark = pytest.mark.processes
DEADLINE = 20.0


class Bench:
    """A kernel, and what it told. `on(kind, do)` acts on the first change of that kind."""

    def __init__(
        self, folder: Path, command: str, count: int = 1, *, load: Callable[[Plan], Plan] = lambda old: old
    ) -> None:
        stop = StopPolicy(grace=5.0)
        spec = ProcessSpec(type="a", command=command, cwd=str(folder), env=dict(os.environ), stop=stop)
        self.plan = Plan(root=str(folder), types={"a": spec}, counts={"a": count}, positions={"a": 0})
        self.reactor = Reactor()
        self.history = History()
        self.log = folder / "log"
        mux = Mux(self.reactor, Sink(self.reactor, os.open(self.log, os.O_RDWR | os.O_CREAT)), self.history, Format())
        self.kernel = Kernel(
            self.reactor, self.plan, mux, self.history, Settings(load, Given(self.plan.root, "/the/socket"))
        )
        self.kernel.on_change = self._changed
        self.changes: list[Change] = []
        self._awaited: list[tuple[Kind, Callable[[], object]]] = []
        self.answers: list[Reply | Refuse] = []
        os.chdir(folder)

    def on(self, kind: Kind, do: Callable[[], object]) -> None:
        self._awaited.append((kind, do))

    def _changed(self, _time: float, change: Change) -> None:
        self.changes.append(change)
        if self._awaited and self._awaited[0][0] is change.event:
            self.reactor.call_at(0.0, self._awaited.pop(0)[1])

    def end(self) -> None:
        self.kernel.ask(ShutdownAsked("the test is over"))

    def run(self) -> int:
        signals.install(self.reactor, self.kernel)
        self.reactor.call_at(time.monotonic() + DEADLINE, lambda: os._exit(99))
        return self.kernel.run()

    def kinds(self) -> list[Kind]:
        return [change.event for change in self.changes]


def test_a_life_is_told_from_its_start_to_its_end(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "sleep 1000")
        bench.on(Kind.READY, bench.end)
        assert bench.run() == 0
        assert bench.kinds() == [
            Kind.STARTED,
            Kind.READY,
            Kind.SHUTDOWN,
            Kind.STOPPING,
            Kind.STOPPED,
            Kind.FINISHED,
        ]

    alone(body)


def test_the_last_words_come_before_the_line_of_the_end(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "printf 'one\\ntwo'; exit 0")
        assert bench.run() == 0
        lines = bench.log.read_text().splitlines()
        assert [line.partition("| ")[2] for line in lines[:2]] == ["one", "two"]
        assert "done" in lines[2]

    alone(body)


def test_each_life_bears_a_mark_of_its_own(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, f"echo ${MARK}; exec sleep 1000", 2)
        bench.on(Kind.READY, lambda: bench.kernel.command(Restart(("a.1",)), bench.answers.append))
        bench.on(Kind.READY, bench.end)
        bench.run()
        marks = {e.data for name in ("a.1", "a.2") for e in bench.history.tail([name], None)[0]}
        text = b"".join(marks).decode().split()
        assert len(set(text)) == len(text) >= 2

    alone(body)


def test_a_command_is_answered_before_it_returns(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "sleep 1000")

        def commands() -> None:
            bench.kernel.command(Scale(to={"a": 3}), bench.answers.append)
            assert bench.answers[-1].formation == {"a": 3}
            bench.kernel.command(Scale(to={"nosuch": 3}), bench.answers.append)
            assert isinstance(bench.answers[-1], Refuse)
            bench.kernel.command(SendSignal("CONT", ("a",)), bench.answers.append)
            assert isinstance(bench.answers[-1], Reply)
            bench.kernel.command(Stop(("a.1",)), bench.answers.append)
            assert bench.kernel.view().instances[0].phase == "stopping"
            bench.end()

        bench.on(Kind.STARTED, commands)
        assert bench.run() == 0
        assert len(bench.answers) == 4

    alone(body)


def test_a_reload_that_fails_is_told_and_changes_nothing(tmp_path: Path) -> None:
    def broken(_old: Plan) -> Plan:
        raise ConfigError([Fault("Procfile", 3, "cannot read this", "")])

    def body() -> None:
        bench = Bench(tmp_path, "sleep 1000", load=broken)
        got: list[object] = []

        def reload() -> None:
            before = bench.kernel.view()
            bench.kernel.reload(got.append)
            assert bench.kernel.view().instances[0].pid == before.instances[0].pid
            bench.end()

        bench.on(Kind.STARTED, reload)
        assert bench.run() == 0
        assert isinstance(got[0], ConfigError)
        assert "reload refused: Procfile:3: cannot read this" in bench.log.read_text()

    alone(body)


def test_a_reload_with_another_command_is_another_life(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "sleep 1000")
        spec = replace(bench.plan.types["a"], command="sleep 2000")
        changed = replace(bench.plan, types={"a": spec})
        bench.on(Kind.STARTED, lambda: bench.kernel.command(Reload(changed), bench.answers.append))
        bench.on(Kind.STARTED, bench.end)
        assert bench.run() == 0
        assert bench.kinds().count(Kind.STARTED) == 2

    alone(body)


def test_a_fault_of_its_own_leaves_no_process_behind(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "(setsid sleep 1000 &); exec sleep 1000", 3)
        pids: list[int | None] = []

        def fail() -> None:
            pids.extend(row.pid for row in bench.kernel.view().instances)
            raise RuntimeError("a fault")

        bench.on(Kind.READY, fail)
        with pytest.raises(RuntimeError, match="a fault"):
            bench.run()
        assert len(pids) == 3
        with pytest.raises(ChildProcessError):  # also what left the groups is gone, and reaped
            os.waitpid(-1, os.WNOHANG)

    alone(body)


def test_a_fault_in_the_midst_of_a_command_is_not_lost_on_the_way(tmp_path: Path) -> None:
    """Whoever asked may swallow it; a formation that was half decided upon must not live on."""

    def body() -> None:
        bench = Bench(tmp_path, "exec sleep 1000")

        def answer(_answer: Reply | Refuse) -> None:
            raise RuntimeError("a fault")

        def ask() -> None:
            with contextlib.suppress(RuntimeError):
                bench.kernel.command(Scale(to={"a": 3}), answer)

        bench.on(Kind.READY, ask)
        with pytest.raises(RuntimeError, match="a fault"):
            bench.run()
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    alone(body)


def test_a_stop_that_comes_between_the_starts_of_a_large_formation_spawns_no_more(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "exec sleep 1000", 4 * SPAWNS_A_ROUND)
        bench.reactor.call_at(0.0, bench.end)
        assert bench.run() == 0
        started = [change for change in bench.changes if change.event is Kind.STARTED]
        assert 0 < len(started) < 4 * SPAWNS_A_ROUND

    alone(body)


def test_a_child_that_procman_had_before_it_was_procman_is_left_alone(tmp_path: Path) -> None:
    """As in `exec procman start > >(tee log)`: the reader of its output is its child, and none of its formation."""

    def body() -> None:
        before = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
        bench = Bench(tmp_path, "exec sleep 1000")
        bench.on(Kind.READY, bench.end)
        assert bench.run() == 0
        assert os.waitpid(before, os.WNOHANG) == (0, 0)
        os.kill(before, signal.SIGKILL)
        os.waitpid(before, 0)

    alone(body)


def test_the_very_first_children_are_adopted_however_soon_they_fork(tmp_path: Path) -> None:
    """procman has become a subreaper before the first spawn, else these would be init's."""

    def body() -> None:
        bench = Bench(tmp_path, "(setsid sleep 1000 &); exec sleep 1000", 5)
        told = []

        def look() -> None:
            told.extend(len(row.adopted) for row in bench.kernel.view().instances)
            bench.end()

        bench.on(Kind.READY, look)
        assert bench.run() == 0
        assert told == [1] * 5
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    alone(body)
