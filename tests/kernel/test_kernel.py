"""The loop of meaning with real processes: what the contract's stories do not tell. In a process of its own each."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest
from forked import alone
from msgspec.structs import replace
from workbench import Bench

from procman.core.actions import Refuse, Reply
from procman.core.events import Reload, Restart, Scale, SendSignal, Stop
from procman.core.spec import Plan
from procman.core.view import Kind
from procman.errors import ConfigError, Fault
from procman.kernel.process.launcher import SPAWNS_A_ROUND
from procman.kernel.process.process import MARK

pytestmark = pytest.mark.processes
DEADLINE = 20.0


def test_a_run_is_reported_from_its_start_to_its_end(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "sleep 1000")
        bench.on(Kind.READY, bench.end)
        assert bench.run() == 0
        assert bench.kinds() == [Kind.STARTED, Kind.READY, Kind.SHUTDOWN, Kind.STOPPING, Kind.STOPPED, Kind.FINISHED]

    alone(body)


def test_the_last_words_come_before_the_line_of_the_end(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "printf 'one\\ntwo'; exit 0")
        assert bench.run() == 0
        lines = bench.log.read_text().splitlines()
        assert [line.partition("| ")[2] for line in lines[:2]] == ["one", "two"]
        assert "done" in lines[2]

    alone(body)


def test_each_run_bears_a_mark_of_its_own(tmp_path: Path) -> None:
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


def test_a_reload_with_another_command_is_another_run(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "sleep 1000")
        spec = replace(bench.plan.types["a"], command="sleep 2000")
        changed = replace(bench.plan, types={"a": spec})
        bench.on(Kind.STARTED, lambda: bench.kernel.command(Reload(changed), bench.answers.append))
        bench.on(Kind.STARTED, bench.end)
        assert bench.run() == 0
        assert bench.kinds().count(Kind.STARTED) == 2

    alone(body)


def test_a_stop_that_comes_between_the_starts_of_a_large_formation_spawns_no_more(tmp_path: Path) -> None:
    def body() -> None:
        bench = Bench(tmp_path, "exec sleep 1000", 4 * SPAWNS_A_ROUND)
        bench.reactor.call_at(0.0, bench.end)
        assert bench.run() == 0
        started = [change for change in bench.changes if change.event is Kind.STARTED]
        assert 0 < len(started) < 4 * SPAWNS_A_ROUND
        never_started = [change for change in bench.changes if change.event is Kind.STOPPED and change.exit is None]
        assert len(never_started) == 4 * SPAWNS_A_ROUND - len(started)

    alone(body)


def test_a_process_whose_output_cannot_be_read_is_killed_and_tried_again(tmp_path: Path) -> None:
    """fs.epoll.max_user_watches: ENOSPC of epoll_ctl(2)."""

    def body() -> None:
        bench = Bench(tmp_path, "exec sleep 1000")
        pipes = bench.kernel.output._reader.pipes
        register = pipes.register

        def refused_once(*args: object, **how: object) -> None:
            pipes.register = register  # type: ignore[method-assign]
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        pipes.register = refused_once  # type: ignore[method-assign]
        bench.on(Kind.READY, bench.end)
        assert bench.run() == 0
        kinds = bench.kinds()
        assert kinds[:4] == [Kind.STARTED, Kind.KILLED, Kind.ENDED, Kind.BACKOFF]
        assert kinds.count(Kind.STARTED) == 2

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

        def look() -> None:
            """They are looked for soon after the first is ready."""
            if [len(row.adopted) for row in bench.kernel.view().instances] == [1] * 5:
                bench.end()
            else:
                bench.reactor.call_at(time.monotonic() + 0.01, look)

        bench.on(Kind.READY, look)
        assert bench.run() == 0
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    alone(body)


def test_a_mark_that_a_child_has_made_up_is_no_trouble(tmp_path: Path) -> None:
    """int() refuses 4,301 digits with a ValueError: an environment can hold any text."""

    def body() -> None:
        forged = f"{MARK}=${{{MARK}%/*}}/" + "9" * 5000
        bench = Bench(tmp_path, f"(setsid env {forged} sleep 1000 &); echo up; exec sleep 1000")
        bench.on(Kind.READY, bench.end)
        assert bench.run() == 0
        assert "at fault" not in bench.log.read_text()

    alone(body)


@pytest.mark.parametrize("by", [365 * 86400.0, -365 * 86400.0])
def test_a_wall_clock_that_jumps_by_a_year_changes_no_deadline_and_no_uptime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: float
) -> None:
    """Fault 36 of docs/explanation/reliability.md: once while an instance waits to be started again, once while one runs."""
    wall = time.time

    def body() -> None:
        bench = Bench(tmp_path, "sleep 1000")

        def jump() -> None:
            monkeypatch.setattr(time, "time", lambda: wall() + by)

        def look() -> None:
            (row,) = bench.kernel.view().instances
            assert (row.phase, row.restarts) == ("ready", 1)
            assert row.uptime is not None
            assert 0.9 < row.uptime < DEADLINE
            bench.end()

        bench.on(Kind.READY, lambda: bench.kill_leader("a.1"))
        bench.on(Kind.BACKOFF, jump)
        bench.on(Kind.READY, look)
        assert bench.run() == 0
        assert bench.kinds().count(Kind.STARTED) == 2
        assert Kind.KILLED not in bench.kinds()

    alone(body)
