"""From the exec of the program to the first line of its last child."""

from __future__ import annotations

import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

from programs import PEERS
from stage import PATIENCE, Stage, interpreter, took
from tally import Claim, Experiment, Figure, Measure, Numbers, difference, to_best
from trial import READY, Trial

if TYPE_CHECKING:
    from programs import Program

IMPORTS = "import click, msgspec, selectors, socket, signal"
WITHOUT_CLICK = "import msgspec, selectors, socket, signal"
"""What a plain start needs of them."""

PEERS_WITH_A_RUNTIME = ("honcho", "foreman", "overmind", "process-compose")
EVERY_PEER = tuple(peer.name for peer in PEERS)

LINE = (Figure("line", "ms"),)


def first_lines(stage: Stage, program: Program, count: int, files: dict[str, str] | None = None) -> Numbers:
    with Trial(program, stage.ready(count), files=files) as trial:
        return {"line": 1000 * trial.until(READY, count, PATIENCE)}


def imports(stage: Stage, words: str) -> Numbers:
    return {"line": 1000 * took([interpreter(stage.procman.executable), "-c", words])}


def child(stage: Stage) -> Numbers:
    """The child by itself: nobody can be quicker."""
    began = time.monotonic()
    with subprocess.Popen([*stage.worker.split(), "ready"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        numbers = {"line": 1000 * (time.monotonic() - began)}
        process.kill()
    return numbers


def one(stage: Stage) -> dict[str, Measure]:
    variables = {".env": "".join(f"NAME_{n}=value {n}\n" for n in range(20))}
    entrants: dict[str, Measure] = {
        "imports": partial(imports, stage, IMPORTS),
        "without click": partial(imports, stage, WITHOUT_CLICK),
        "child": partial(child, stage),
    }
    for version in stage.versions:
        entrants[f"{version.name} .env"] = partial(first_lines, stage, version, 1, variables)
    return entrants | many(stage, 1)


def many(stage: Stage, count: int) -> dict[str, Measure]:
    return {program.name: partial(first_lines, stage, program, count) for program in stage.everyone()}


ROWS = (
    Experiment(
        "start-1",
        "first line of 1 child",
        LINE,
        one,
        (
            Claim("at most 15 ms over the interpreter with its imports", difference("procman", "imports", "line"), 15),
            Claim("at most 20 ms more with a .env", difference("procman .env", "procman", "line"), 20),
            Claim("ahead of honcho, foreman, overmind, process-compose", to_best("line", PEERS_WITH_A_RUNTIME), 1),
        ),
        warm_up=True,
    ),
    Experiment(
        "start-100",
        "first lines of 100 children",
        LINE,
        partial(many, count=100),
        (
            Claim("at most 70 ms over the floor", difference("procman", "floor", "line"), 70),
            Claim("ahead of every peer", to_best("line", EVERY_PEER), 1),
        ),
    ),
    Experiment(
        "start-500",
        "first lines of 500 children",
        LINE,
        partial(many, count=500),
        (
            Claim(
                "at most 1.25 x the floor and 70 ms (here: what is over that, ms)",
                lambda at: at("procman", "line") - 1.25 * at("floor", "line") - 70,
                0,
            ),
            Claim("ahead of every peer", to_best("line", EVERY_PEER), 1),
        ),
    ),
)
