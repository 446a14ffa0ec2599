"""Crash and restart, the verbs, and whether a thousand instances cost a thousand times what one does."""

from __future__ import annotations

import os
import signal
import statistics
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import proctable
import rows_start
from programs import Job
from stage import PATIENCE, Stage, Wire, interpreter, ready_trial, took
from tally import Claim, Experiment, Figure, Measure, Numbers, alone, difference
from trial import READY, Trial, TrialError

if TYPE_CHECKING:
    from programs import Program

KILLS, BETWEEN = 3, 1.2
"""How many times a child is killed in a round, and seconds before each: what dies young is in a crash loop."""

CALLS = 10
COUNTS = (250, 500, 1000)


def restarted(stage: Stage, program: Program) -> Numbers:
    """KILL to the child -> first line of the next one."""
    taken = []
    with ready_trial(program, stage.ready(1), restart=True) as trial:
        for count in range(2, KILLS + 2):
            trial.rest(BETWEEN)
            (pid,) = trial.workers()
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            trial.until(READY, count, PATIENCE)
            taken.append(trial.tap.at - began)
    return {"line": 1000 * statistics.median(taken)}


def scaled(stage: Stage, program: Program) -> Numbers:
    """`procman scale` as a whole process, then the same request as bytes: what of it is the supervisor's.

    Up and down by turns, so that each second one starts a process.
    """
    with ready_trial(program, stage.ready(1)) as trial:
        whole = [took([program.executable, "scale", f"p1={1 + n % 2}"], trial) for n in range(1, CALLS + 1)]
        answers, busy = [], []
        with Wire(trial) as wire:
            for n in range(1, CALLS + 1):
                trial.rest(0.05)  # the last one's process has started or ended
                before, began = proctable.on_cpu(trial.pid), time.monotonic()
                wire.ask("scale", to={"p1": 1 + n % 2})
                answers.append(time.monotonic() - began)
                busy.append(proctable.on_cpu(trial.pid) - before)
    return {
        "whole": 1000 * statistics.median(whole),
        "answer": 1000 * statistics.median(answers),
        "CPU": 1000 * statistics.median(busy),
    }


def bare(stage: Stage) -> Numbers:
    argv = [interpreter(stage.procman.executable), "-c", "import click, msgspec, socket"]
    return {"whole": 1000 * statistics.median(took(argv) for _ in range(CALLS))}


def many(stage: Stage, program: Program, count: int) -> Numbers:
    """Start so many of one type, look at them, scale to none and back, stop. Times are of the last instance."""
    jobs = [Job("web", f"{stage.worker} ready")]
    with Trial(with_formation(program, count), jobs) as trial:
        numbers = {"start": trial.until(READY, count, PATIENCE)}
        trial.rest(_settled(count))
        numbers["ps"] = statistics.median(took([program.executable, "ps"], trial) for _ in range(3))
        with Wire(trial) as changes, Wire(trial) as wire:
            changes.ask("events")
            began = time.monotonic()
            wire.ask("scale", to={"web": 0})
            _stopped(changes, count)
            numbers["down"] = time.monotonic() - began
        with Wire(trial) as wire:
            began = time.monotonic()
            wire.send("scale", to={"web": count})
            trial.until(READY, 2 * count, PATIENCE)
            numbers["up"] = trial.tap.at - began
        trial.rest(_settled(count))
        numbers["stop"], orphans = trial.stop(PATIENCE)
        if orphans:
            raise TrialError(f"left {orphans} orphans")
    each = {f"{name}/instance": 1e6 * seconds / count for name, seconds in numbers.items() if name != "ps"}
    return {**{name: 1000 * seconds for name, seconds in numbers.items()}, **each}


def _settled(count: int) -> float:
    """Seconds until all of them are ready, and said so."""
    return 2.0 + count / 1000


def with_formation(program: Program, count: int) -> Program:
    def command(executable: str, folder: Path, jobs: list[Job], restart: bool) -> list[str]:
        return [*program.command(executable, folder, jobs, restart), "-m", f"web={count}", "--no-port"]

    return program._replace(command=command)


def _stopped(changes: Wire, count: int) -> None:
    left = count
    while left:
        message = changes.next()
        left -= message.get("method") == "event" and message["params"]["change"]["event"] == "stopped"


def restarting(stage: Stage) -> dict[str, Measure]:
    entrants: dict[str, Measure] = {"child": partial(rows_start.child, stage)}
    for program in stage.everyone():
        if program.restarts:
            entrants[program.name] = partial(restarted, stage, program)
    return entrants


def scaling(stage: Stage) -> dict[str, Measure]:
    return {
        "imports": partial(bare, stage),
        **{version.name: partial(scaled, stage, version) for version in stage.versions},
    }


def thousand(stage: Stage) -> dict[str, Measure]:
    return {
        f"{version.name} {count}": partial(many, stage, version, count)
        for version in stage.versions
        for count in COUNTS
    }


def _linear(name: str) -> Claim:
    figure = f"{name}/instance"
    return Claim(
        f"{name}: an instance of 1000 costs at most 1.3 x one of 250",
        lambda at: at("procman 1000", figure) / at("procman 250", figure),
        1.3,
    )


STEPS = ("start", "down", "up", "stop")

ROWS = (
    Experiment(
        "restart",
        "crash to the first line of the restarted child (delay: 0)",
        (Figure("line", "ms", 2),),
        restarting,
        (Claim("at most 2 ms over the child's own start", difference("procman", "child", "line"), 2),),
    ),
    Experiment(
        "scale",
        "`procman scale`, one up and one down by turns",
        (Figure("whole", "ms"), Figure("answer", "ms", 3), Figure("CPU", "ms", 3)),
        scaling,
        (
            Claim("at most 10 ms over the interpreter with its imports", difference("procman", "imports", "whole"), 10),
            Claim("the supervisor answers within 1 ms", alone("procman", "answer"), 1),
        ),
        warm_up=True,
    ),
    Experiment(
        "thousand",
        "250, 500 and 1000 instances of a type: start, ps, scale to none and back, stop",
        (
            *(Figure(name, "ms", 0) for name in ("start", "ps", "down", "up", "stop")),
            *(Figure(f"{name}/instance", "us", 0) for name in STEPS),
        ),
        thousand,
        (Claim("ps of 1000: at most 150 ms", alone("procman 1000", "ps"), 150), *(_linear(name) for name in STEPS)),
    ),
)
