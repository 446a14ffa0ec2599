"""What procman does when it is at fault itself: with real processes, and a fault put into the core or a handler."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import alone
from workbench import Bench

from procman.core.actions import Refuse, Reply
from procman.core.events import Event, Exited, KillAsked, Scale, Shutdown, ShutdownAsked
from procman.core.formation import Formation
from procman.core.trace import read, replay
from procman.core.view import Kind

pytestmark = pytest.mark.processes


def raises_on(kind: type[Event] | None, bench: Bench) -> Callable[[], None]:
    """Makes the core raise on every event, or on those of a kind."""
    fleet = bench.kernel.fleet
    handle = fleet.handle

    def raising(event: Event, now: float) -> object:
        if kind is None or isinstance(event, kind):
            raise RuntimeError("the core is broken")
        return handle(event, now)

    def do() -> None:
        fleet.handle = raising

    return do


def nothing_is_left() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def at_fault(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        bench.run()
    assert nothing_is_left()


def test_children_are_kept_when_the_core_raises_and_stopped_in_order_by_term(tmp_path: Path) -> None:
    """The leader is asked first and finishes; its worker is asked when the leader has gone."""

    def body() -> None:
        script = "trap 'echo master; exit 0' TERM; sh -c 'trap \"echo worker; exit\" TERM; while :; do sleep 0.05; done' & wait"
        bench = Bench(tmp_path, script)

        def break_it() -> None:
            raises_on(None, bench)()
            before = [row.pid for row in bench.kernel.view().instances]
            bench.kernel.command(Scale(to={"a": 3}), bench.answers.append)
            assert [row.pid for row in bench.kernel.view().instances] == before
            os.kill(before[0] or 0, 0)
            bench.reactor.call_at(time.monotonic() + 0.05, bench.end)

        bench.on(Kind.READY, break_it)
        at_fault(bench)
        assert isinstance(bench.answers[0], Refuse)
        log = bench.log.read_text()
        assert "RuntimeError: the core is broken" in log
        assert log.index("master") < log.index("worker")

    alone(body)


def test_one_that_ignores_the_signal_is_killed_at_its_grace(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "trap '' TERM; while :; do sleep 0.05; done", grace=0.4)

        def break_it() -> None:
            raises_on(None, bench)()
            bench.end()

        bench.on(Kind.READY, break_it)
        at_fault(bench)
        assert Kind.KILLED in bench.kinds()

    alone(body)


def test_what_ends_meanwhile_is_told_and_not_started_again(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "exec sleep 1000", 2)

        def break_it() -> None:
            raises_on(Exited, bench)()
            bench.kill_leader("a.1")

        bench.on(Kind.READY, break_it)
        bench.on(Kind.ENDED, bench.end)
        at_fault(bench)
        assert bench.kinds().count(Kind.STARTED) == 2
        assert any("a.1 ended: SIGKILL" in change.text for change in bench.changes)

    alone(body)


def test_it_ends_when_nothing_is_left_to_keep(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "exec sleep 1000")

        def break_it() -> None:
            raises_on(Exited, bench)()
            bench.kill_leader("a.1")

        bench.on(Kind.READY, break_it)
        at_fault(bench)

    alone(body)


@pytest.mark.parametrize("event", [KillAsked(), None])
def test_a_kill_and_a_shutdown_work_too(tmp_path: Path, event: Event | None) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "trap '' TERM; while :; do sleep 0.05; done" if event else "exec sleep 1000", 3)

        def break_it() -> None:
            raises_on(None, bench)()
            bench.kernel.command(Scale(to={"a": 1}), bench.answers.append)
            if event is not None:
                bench.kernel.ask(event)
            else:
                bench.kernel.command(Shutdown(), bench.answers.append)

        bench.on(Kind.READY, break_it)
        at_fault(bench)
        assert event is not None or isinstance(bench.answers[1], Reply)

    alone(body)


def test_a_fault_in_a_handler_stops_everything_in_order(tmp_path: Path) -> None:
    """Not in the core: who knows what else is broken, so nobody has to ask."""

    def body() -> None:
        bench = Bench(tmp_path, "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done")

        def fail() -> None:
            raise RuntimeError("a handler is broken")

        bench.on(Kind.READY, fail)
        at_fault(bench)
        assert "bye" in bench.log.read_text()

    alone(body)


def test_nothing_is_left_behind_where_the_fallback_raises_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "(setsid sleep 1000 &); exec sleep 1000", 3)

        def raising(*_: object) -> None:
            raise RuntimeError("the last resort is broken")

        monkeypatch.setattr("procman.core.fallback.Fallback.handle", raising)

        def break_it() -> None:
            raises_on(None, bench)()
            bench.end()

        bench.on(Kind.READY, break_it)
        at_fault(bench)

    alone(body)


def test_the_trace_of_a_fault_raises_again_in_a_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "exec sleep 1000", env={"SECRET": "hunter2"})
        whole = Formation.shut_down

        def raising(formation: Formation, code: int, why: str, now: float) -> None:
            if why == "break":
                raise RuntimeError("the core is broken")
            whole(formation, code, why, now)

        monkeypatch.setattr(Formation, "shut_down", raising)

        def break_it() -> None:
            bench.kernel.ask(ShutdownAsked("break"))
            bench.end()

        bench.on(Kind.READY, break_it)
        at_fault(bench)
        with open(tmp_path / "trace", "rb") as lines:
            header, state, happened = read(lines)
        assert "RuntimeError: the core is broken" in header.cause
        assert os.stat(tmp_path / "trace").st_mode & 0o777 == 0o600
        assert b"hunter2" not in (tmp_path / "trace").read_bytes()
        *_, last = replay(state, happened)
        assert isinstance(last[1], str)
        assert "the core is broken" in last[1]

    alone(body)
