"""What a hundred quiet children cost: memory, wake-ups, health checks, and the time in which they are stopped."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import proctable
from stage import Stage, ready_trial
from tally import Claim, Experiment, Figure, Measure, Numbers, alone, ratio

if TYPE_CHECKING:
    from pathlib import Path

    from programs import Job, Program

CHECKED_EVERY = 10.0
"""Seconds between two health checks of an instance."""

SETTLED = 2.0
"""Seconds after the last first line: a procman's instances are ready after one."""


def at_rest(stage: Stage, program: Program, count: int) -> Numbers:
    """Memory of the program with its helpers, without the children and the shells around them; then its stop."""
    with ready_trial(program, stage.ready(count)) as trial:
        trial.rest(SETTLED)
        own = trial.own()
        sizes = [proctable.memory(each.pid) for each in own]
        numbers = {
            "RSS": sum(size.rss for size in sizes) / 1024,
            "PSS": sum(size.pss for size in sizes) / 1024,
            "private": sum(size.private for size in sizes) / 1024,
            "processes": len(own),
        }
        seconds, orphans = trial.stop()
        return numbers | {"stop": 1000 * seconds, "orphans": orphans}


def asleep(stage: Stage, program: Program) -> Numbers:
    with ready_trial(program, stage.ready(100)) as trial:
        trial.rest(SETTLED)
        own = [each.pid for each in trial.own()]
        woken, cpu = _woken(own), _cpu(own)
        trial.rest(stage.idle_seconds)
        return {"wake-ups": _woken(own) - woken, "ticks": (_cpu(own) - cpu) * proctable.TICK}


def checked(stage: Stage, program: Program) -> Numbers:
    """CPU in per cent of one core, while each of a hundred children has an HTTP check every ten seconds."""
    with healthy() as url, ready_trial(with_checks(program, url), stage.ready(100)) as trial:
        trial.rest(SETTLED + CHECKED_EVERY)  # each has had its first one, and all that they need is loaded
        own = [each.pid for each in trial.own()]
        cpu = _cpu(own)
        trial.rest(3 * CHECKED_EVERY)
        return {"CPU": 100 * (_cpu(own) - cpu) / (3 * CHECKED_EVERY)}


def with_checks(program: Program, url: str) -> Program:
    def command(executable: str, folder: Path, jobs: list[Job], restart: bool) -> list[str]:
        words = program.command(executable, folder, jobs, restart)
        checks = {"health": {"http": url, "interval": CHECKED_EVERY}}
        text = json.dumps({"processes": {job.name: checks for job in jobs}})  # which is YAML, too
        (folder / "procman.yml").write_text(text)
        return words

    return program._replace(command=command)


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """A hundred lines every ten seconds would be too many."""


@contextmanager
def healthy() -> Iterator[str]:
    """The URL of a server that answers 200; all children are asked there, so that they stay the quiet ones."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=server.serve_forever).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/health"
    finally:
        server.shutdown()
        server.server_close()


def _woken(pids: list[int]) -> int:
    return sum(proctable.switches(pid) for pid in pids)


def _cpu(pids: list[int]) -> float:
    return sum(proctable.process(pid).cpu for pid in pids)


def hundred(stage: Stage) -> dict[str, Measure]:
    return {program.name: partial(at_rest, stage, program, 100) for program in stage.everyone()}


def growing(stage: Stage) -> dict[str, Measure]:
    return {
        f"{version.name} {count}": partial(at_rest, stage, version, count)
        for version in stage.versions
        for count in (100, 500)
    }


def sleeping(stage: Stage) -> dict[str, Measure]:
    return {program.name: partial(asleep, stage, program) for program in stage.everyone()}


def probing(stage: Stage) -> dict[str, Measure]:
    return {version.name: partial(checked, stage, version) for version in stage.versions}


MEMORY = (Figure("RSS", "MB"), Figure("PSS", "MB"), Figure("private", "MB", 2), Figure("processes", "", 0))

ROWS = (
    Experiment(
        "quiet-100",
        "memory with 100 quiet children, and their stop",
        (*MEMORY, Figure("stop", "ms"), Figure("orphans", "", 0)),
        hundred,
        (
            Claim("at most 22 MB resident, helpers counted", alone("procman", "RSS"), 22),
            Claim("stop: at most 2.5 x the floor", ratio("procman", "floor", "stop"), 2.5),
            Claim("no orphan", alone("procman", "orphans"), 0),
        ),
    ),
    Experiment(
        "memory-child",
        "memory with 100 and with 500 quiet children",
        MEMORY,
        growing,
        (
            Claim(
                "at most 4 kB private more a child",
                lambda at: (at("procman 500", "private") - at("procman 100", "private")) * 1024 / 400,
                4,
            ),
        ),
    ),
    Experiment(
        "idle",
        "100 quiet children, control socket open",
        (Figure("wake-ups", "", 0), Figure("ticks", "", 0)),
        sleeping,
        (Claim("no wake-up", alone("procman", "wake-ups"), 0), Claim("no CPU tick", alone("procman", "ticks"), 0)),
        peer_runs=1,
    ),
    Experiment(
        "health-100",
        "100 children with an HTTP health check every 10 s",
        (Figure("CPU", "%", 2),),
        probing,
        (Claim("under 1 % of a core", alone("procman", "CPU"), 1),),
        peer_runs=1,
    ),
)
