"""The way of a line: how much passes, what it costs, whether any is lost, and how long a quiet child's line takes."""

from __future__ import annotations

import re
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import proctable
from programs import Job
from stage import PATIENCE, VARIANTS, Stage
from tally import Claim, Experiment, Figure, Measure, Numbers, ratio, to_best
from trial import DONE, FIRST, LINE, TOTAL, Trial, TrialError

if TYPE_CHECKING:
    from programs import Program

LENGTH = 80
"""Bytes of a line, its newline included; MB are of what the children write, prefixes not counted."""

TRY_MB, MOST_MB, AIM_SECONDS = 4, 1500, 1.5
"""The first flood of each is small: it shows whether lines are whole, and how much fills about this time."""

BEAT, BEATS_PASSED, BEATS = 5, 100, 600
"""Milliseconds between the quiet child's lines; how many are passed over, and then looked at."""

WHOLE = re.compile(rb"@LINE~\d{10} x{%d}\r?\n" % (LENGTH - 18))


class Tried(NamedTuple):
    megabytes: float
    whole: float  # percent


def flooded(stage: Stage, program: Program, writers: int, tried: dict[str, Tried]) -> Numbers:
    if program.name not in tried:
        tried[program.name] = try_out(stage, program, writers)
    megabytes, whole = tried[program.name]
    lines = _lines(megabytes, writers)
    reader = [*stage.worker.split(), "count", str(writers), str(lines * writers)]
    with Trial(program, _writers(stage, writers, lines), reader=reader) as trial:
        trial.until(FIRST, 1, PATIENCE)
        began, first = trial.tap.report(FIRST)
        own = [each.pid for each in trial.own()]
        cpu, faults = _cpu(own), _faults(own)
        trial.until(TOTAL, 1, PATIENCE)
        ended, seen = trial.tap.report(TOTAL)
        gigabytes = (seen - first) * LENGTH / 1e9
        return {
            "MB/s": gigabytes * 1000 / (ended - began) * 1e9,
            "CPU": (_cpu(own) - cpu) / gigabytes,
            "faults": (_faults(own) - faults) / (gigabytes * 1000),
            "lost": lines * writers - seen,
            "whole": whole,
        }


def try_out(stage: Stage, program: Program, writers: int) -> Tried:
    lines = _lines(TRY_MB, writers)
    with Trial(program, _writers(stage, writers, lines)) as trial:
        trial.until(LINE, 1, PATIENCE)
        began, text = trial.tap.at, trial.tap.text()
        trial.until(DONE, writers, PATIENCE)
        seconds = max(trial.tap.at - began, 0.001)
        return Tried(min(MOST_MB, max(TRY_MB, TRY_MB / seconds * AIM_SECONDS)), _whole(text))


def _lines(megabytes: float, writers: int) -> int:
    return int(megabytes * 1e6 / LENGTH / writers)


def _writers(stage: Stage, count: int, lines: int) -> list[Job]:
    return [Job(f"w{number}", f"{stage.worker} flood {lines} {LENGTH}") for number in range(count)]


def _cpu(pids: list[int]) -> float:
    return sum(proctable.on_cpu(pid) for pid in pids)


def _faults(pids: list[int]) -> int:
    return sum(proctable.minor_faults(pid) for pid in pids)


def _whole(sample: bytes) -> float:
    """Percent of the lines of a piece of output that stand in one piece behind their prefix."""
    text = sample[: sample.rfind(b"\n") + 1]
    if text[:100].lstrip().startswith(b"{"):  # json: the newline is the object's
        text = text.replace(b'"}\n', b"\n")
    return 100.0 * len(WHOLE.findall(text)) / max(1, text.count(LINE))


def delayed(stage: Stage, program: Program) -> Numbers:
    """Ten flood without an end, one writes a line at each beat: how long it takes to whoever reads."""
    jobs = [Job(f"w{number}", f"{stage.worker} endless {LENGTH}") for number in range(10)]
    jobs.append(Job("quiet", f"{stage.worker} pulse {BEAT}"))
    reader = [*stage.worker.split(), "delays", str(BEATS_PASSED), str(BEATS)]
    with Trial(program, jobs, reader=reader) as trial:
        try:
            trial.until(TOTAL, 1, 20)  # twice over: some keep what they cannot write, and grow by gigabytes
        except TrialError:
            raise TrialError(f"fewer than {BEATS_PASSED + BEATS} lines of the quiet child in 20 s") from None
        parts = statistics.quantiles(trial.tap.report(TOTAL), n=100, method="inclusive")
        return {"median": parts[49] / 1e6, "p99": parts[98] / 1e6}


def grown(stage: Stage, program: Program) -> Numbers:
    """Memory after the histories are full, and after ten times as much more."""
    jobs = [Job(f"w{number}", f"{stage.worker} endless {LENGTH}") for number in range(10)]
    with Trial(program, jobs) as trial:
        sizes = []
        for most in (100e6, 1000e6):
            end = time.monotonic() + PATIENCE
            while trial.tap.bytes < most and time.monotonic() < end:
                trial.tap.read(1.0)
            sizes.append(sum(proctable.memory(each.pid).rss for each in trial.own()) / 1024)
        return {"100 MB": sizes[0], "1 GB": sizes[1], "growth": sizes[1] - sizes[0]}


def floods(stage: Stage, writers: int) -> dict[str, Measure]:
    tried: dict[str, Tried] = {}
    programs = [*stage.everyone(), *stage.variants(VARIANTS)]
    return {program.name: partial(flooded, stage, program, writers, tried) for program in programs}


def delays(stage: Stage) -> dict[str, Measure]:
    return {program.name: partial(delayed, stage, program) for program in stage.everyone() if program.prefixes}


def growth(stage: Stage) -> dict[str, Measure]:
    return {program.name: partial(grown, stage, program) for program in (*stage.versions, *stage.variants(["json"]))}


PREFIXING = ("honcho", "foreman", "concurrently", "nf", "overmind", "hivemind", "goreman", "forego", "process-compose")
FLOOD = (
    Figure("MB/s", "", 1),
    Figure("CPU", "s/GB", 2),
    Figure("faults", "/MB", 1),
    Figure("lost", "lines", 0),
    Figure("whole", "%", 1),
)


def _claims() -> tuple[Claim, ...]:
    return (
        Claim("at least 0.9 x the floor", ratio("procman", "floor", "MB/s"), at_least=0.9),
        Claim("at least 100 x honcho", ratio("procman", "honcho", "MB/s"), at_least=100),
        Claim("ahead of every peer that prefixes", to_best("MB/s", PREFIXING, most=True), at_least=1),
        Claim("CPU: at most 2 x the floor", ratio("procman", "floor", "CPU"), 2),
        Claim("CPU: at most a sixth of concurrently", ratio("procman", "concurrently", "CPU"), 1 / 6),
        Claim("json: at least half of the text", ratio("procman json", "procman", "MB/s"), at_least=0.5),
        Claim("no line is lost", lambda at: at("procman", "lost"), 0),
    )


ROWS = (
    Experiment("output-1", "prefixed output, 1 writer of 80-byte lines", FLOOD, partial(floods, writers=1), _claims()),
    Experiment(
        "output-10", "prefixed output, 10 writers of 80-byte lines", FLOOD, partial(floods, writers=10), _claims()
    ),
    Experiment(
        "quiet-line",
        "a quiet child's line while 10 flood",
        (Figure("median", "ms", 2), Figure("p99", "ms", 2)),
        delays,
        (Claim("p99: at most 2 x the floor", ratio("procman", "floor", "p99"), 2),),
    ),
    Experiment(
        "memory-output",
        "resident memory while 10 flood (the histories of 10 are 2.5 MiB)",
        (Figure("100 MB", "MB"), Figure("1 GB", "MB"), Figure("growth", "MB", 2)),
        growth,
        (Claim("grows by at most 0.5 MB from 100 MB of output to 1 GB", lambda at: at("procman", "growth"), 0.5),),
        peer_runs=0,
    ),
)
