"""What is measured and what is wanted of it, as values; medians, tables, comparison and the JSON file. Measures nothing."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

Numbers = dict[str, float]
Measure = Callable[[], Numbers]
At = Callable[[str, str], float]
"""The median of an entrant and a figure; raises KeyError where it was not measured."""


class Figure(NamedTuple):
    name: str
    unit: str
    digits: int = 1


class Claim(NamedTuple):
    """What is to be reached: a value out of medians that is at most, or at least, the limit."""

    text: str
    value: Callable[[At], float]
    at_most: float | None = None
    at_least: float | None = None

    def holds(self, value: float) -> bool:
        return value <= self.at_most if self.at_most is not None else value >= (self.at_least or 0.0)


class Experiment(NamedTuple):
    """A row: who takes part is asked once, then each entrant is measured in turn, round by round.

    `peer_runs` is how often a peer is measured at most, where a round takes long and the figure is a count. With
    `warm_up` the first measure of each is thrown away: it is that of the disk.
    """

    name: str
    about: str
    figures: tuple[Figure, ...]
    entrants: Callable[[Any], dict[str, Measure]]
    claims: tuple[Claim, ...] = ()
    peer_runs: int | None = None
    warm_up: bool = False


class Result(NamedTuple):
    """`samples`: by entrant and figure; `notes`: why an entrant has none, or fewer."""

    experiment: Experiment
    samples: dict[str, dict[str, list[float]]]
    notes: dict[str, str]

    def at(self, entrant: str, figure: str) -> float:
        return statistics.median(self.samples[entrant][figure])


def difference(one: str, other: str, figure: str) -> Callable[[At], float]:
    return lambda at: at(one, figure) - at(other, figure)


def ratio(one: str, other: str, figure: str) -> Callable[[At], float]:
    return lambda at: at(one, figure) / at(other, figure)


def alone(entrant: str, figure: str) -> Callable[[At], float]:
    return lambda at: at(entrant, figure)


def to_best(figure: str, peers: Iterable[str], *, most: bool = False) -> Callable[[At], float]:
    """procman's median as a multiple of the best of the peers that were measured."""

    def value(at: At) -> float:
        measured = []
        for peer in peers:
            try:
                measured.append(at(peer, figure))
            except KeyError:
                continue
        if not measured:
            raise KeyError(figure)
        return at("procman", figure) / (max if most else min)(measured)

    return value


# ---- as text


def table(result: Result) -> str:
    """Medians with the least and the most of each."""
    figures = [f for f in result.experiment.figures if any(f.name in numbers for numbers in result.samples.values())]
    rows = [["", *(f"{figure.name} ({figure.unit})" if figure.unit else figure.name for figure in figures)]]
    for entrant, numbers in result.samples.items():
        cells = [_cell(numbers.get(figure.name, []), figure.digits) for figure in figures]
        rows.append([entrant, *cells, result.notes.get(entrant, "")])
    rows += [[entrant, note] for entrant, note in result.notes.items() if entrant not in result.samples]
    return columns(rows)


def _cell(samples: list[float], digits: int) -> str:
    if not samples:
        return "-"
    low, middle, high = (f"{value:.{digits}f}" for value in (min(samples), statistics.median(samples), max(samples)))
    return middle if low == high else f"{middle} [{low} {high}]"


def claims(result: Result) -> list[dict[str, Any]]:
    """What was wanted and what came; `reached` is None where it was not measured."""
    told: list[dict[str, Any]] = []
    for claim in result.experiment.claims:
        try:
            value = round(claim.value(result.at), 4)
        except (KeyError, ZeroDivisionError):
            value = None
        reached = None if value is None else claim.holds(value)
        told.append({"claim": claim.text, "value": value, "reached": reached})
    return told


def verdicts(told: list[dict[str, Any]]) -> str:
    return columns([["  ", words(t), t["claim"], "" if t["value"] is None else f"{t['value']:.4g}"] for t in told])


def columns(rows: list[list[str]]) -> str:
    count = max((len(row) for row in rows), default=0)
    widths = [max((len(row[i]) for row in rows if i < len(row) - 1), default=0) for i in range(count)]
    lines = ["  ".join(f"{cell:<{widths[i]}}" for i, cell in enumerate(row)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def markdown(value: dict[str, Any]) -> str:
    """The tables of a run for a page, out of its JSON value."""
    parts = []
    for name, experiment in value["experiments"].items():
        figures = {figure: unit for figure, unit in experiment["units"].items() if not figure.endswith("/instance")}
        rows = [["", *(f"{figure}, {unit}" if unit else figure for figure, unit in figures.items())]]
        rows.append(["---", *("---:" for _ in figures)])
        for entrant, numbers in experiment["samples"].items():
            rows.append([entrant, *(_rounded(numbers.get(figure)) for figure in figures)])
        rows += [[entrant, note, *[""] * (len(figures) - 1)] for entrant, note in experiment["notes"].items()]
        told = [f"* {words(claim)}: {claim['claim']}{_came(claim)}" for claim in experiment["claims"]]
        body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts.append("\n".join([f"### {name}: {experiment['about']}", "", body, "", *told, ""]))
    return "\n".join(parts)


def _rounded(samples: list[float] | None) -> str:
    return f"{float(f'{statistics.median(samples):.3g}'):g}" if samples else "-"


def _came(claim: dict[str, Any]) -> str:
    return "" if claim["value"] is None else f" ({claim['value']:.3g})"


def words(claim: dict[str, Any]) -> str:
    return {None: "not measured", True: "reached", False: "NOT REACHED"}[claim["reached"]]


# ---- two versions


def compared(old: dict[str, Any], new: dict[str, Any], before: str = "procman", after: str = "procman") -> str:
    """Both versions' medians for each figure, and their ratio; marked where the ranges do not even touch.

    The arguments are the JSON values of two runs, or of the same one with two versions in it.
    """
    rows = [["", "old", "new", "new / old", ""]]
    for name, experiment in new["experiments"].items():
        then = old["experiments"].get(name, {"samples": {}})
        for entrant, numbers in experiment["samples"].items():
            if entrant != after and not entrant.startswith(after + " "):
                continue
            earlier = then["samples"].get(before + entrant.removeprefix(after), {})
            for figure, samples in numbers.items():
                if figure in earlier:
                    rows.append([f"{name} {entrant} {figure}", *_ratio(earlier[figure], samples)])
    return columns(rows)


def _ratio(old: list[float], new: list[float]) -> list[str]:
    was, now = statistics.median(old), statistics.median(new)
    apart = max(old) < min(new) or max(new) < min(old)
    return [f"{was:.4g}", f"{now:.4g}", f"{now / was:.3f}" if was else "-", "differs" if apart else ""]


# ---- the machine


def machine() -> dict[str, Any]:
    """Enough to know whether two runs can be compared."""
    model = ""
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    total = next((line.split()[1] for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal")), "0")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "memory_mb": int(total) // 1024,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _read(path: str) -> str:
    return Path(path).read_text(errors="replace")
