"""What `procman autoscale` shows: readings and decisions as a table, the last hour as a chart. Values in, lines out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from procman.cli.show.table import columns
from procman.core.demand import Because
from procman.text.words import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procman.companions.autoscaler.store import Point, TypeStatus
    from procman.core.demand import Decision

HEADER = ("TYPE", "COUNT", "READY", "MIN", "MAX", "METRIC", "PROPOSED", "READING")

NUMBERS = (1, 2, 3, 4, 6)
"""Columns that are aligned to the right."""

MINUTES = 60
"""Columns of the chart: the last hour."""

ROWS = 8


COUNT, PROPOSAL = "█", "░"


def table(types: Mapping[str, TypeStatus], now: float, undecided: Sequence[str] = ()) -> list[str]:
    """A row for each metric of each type, then a line for each type: the decision, its reason, and the time of the next
    check. `now` is seconds since the epoch, as in the status. `undecided`: types without a decision yet.
    """
    waiting = [f"{name}: no decision yet" for name in undecided]
    if not types:
        return waiting or ["no count follows demand: no type has `autoscale:` in procman.yml"]
    rows: list[Sequence[str]] = [HEADER]
    for name, status in types.items():
        decision = status.decided.decision
        own = (name, str(decision.count), str(status.ready), str(decision.min), str(decision.max))
        metrics = [(p.metric, "-" if p.count is None else str(p.count), p.text) for p in decision.proposals]
        rows += [(*own, *first) for first in metrics[:1] or [("-", "-", "")]]
        rows += [("", "", "", "", "", *more) for more in metrics[1:]]
    lines = columns(rows, NUMBERS).split("\n")
    return [*lines, "", *(decided(name, status, now) for name, status in types.items()), *waiting]


def decided(name: str, status: TypeStatus, now: float) -> str:
    """`web 2 -> 5: queue default asks for 5: 60 at 12 per instance (up); next poll in 12 s`."""
    decision = status.decided.decision
    left = min(status.at + decision.next_in - now, decision.next_in)  # the clock may have been set back
    following = f"next poll in {duration(left)}" if left >= 0 else f"polled {duration(now - status.at)} ago"
    return f"{in_words(name, decision)}; {following}"


def in_words(name: str, decision: Decision) -> str:
    """`web 2 -> 5: queue default asks for 5: 60 at 12 per instance (up)`."""
    change = f"{decision.before} -> {decision.count}" if decision.changes else f"stays at {decision.count}"
    plain = decision.because in (Because.STEADY, Because.PAUSED)  # the text begins with it
    why = "" if plain else f" ({decision.because.value})"
    return f"{name} {change}: {decision.text}{why}"


def chart(name: str, history: Sequence[Point], now: float) -> list[str]:
    """The counts of the last hour, a column for each minute, and above them what was wanted and not granted yet."""
    counts, proposals = _by_minute(history, now)
    known = [value for value in (*counts, *proposals) if value is not None]
    if not known:
        return [f"{name}: no record of the last hour"]
    top = max(1, *known)
    height = min(top, ROWS)
    label = len(str(top))
    lines = [f"{name}, the last hour: count {COUNT}, proposal {PROPOSAL}"]
    for row in range(height, 0, -1):
        level = top * row / height
        below = top * (row - 1) / height
        cells = (_cell(count, proposal, below) for count, proposal in zip(counts, proposals, strict=True))
        lines.append(f"{math.ceil(level):>{label}} │{''.join(cells)}".rstrip())
    lines.append(f"{0:>{label}} └{'─' * MINUTES}")
    lines.append(f"{'':>{label}}  -60 min{'now':>{MINUTES - len('-60 min')}}")
    return lines


def _cell(count: int | None, proposal: int | None, below: float) -> str:
    if count is not None and count > below:
        return COUNT
    return PROPOSAL if proposal is not None and proposal > below else " "


def _by_minute(history: Sequence[Point], now: float) -> tuple[list[int | None], list[int | None]]:
    """The highest count and proposal of each minute; None for a minute without a check."""
    counts: list[int | None] = [None] * MINUTES
    proposals: list[int | None] = [None] * MINUTES
    for point in history:
        column = MINUTES - 1 - math.floor((now - point.at) / 60)
        if not 0 <= column < MINUTES:
            continue
        counts[column] = max(point.count, counts[column] or 0)
        if point.proposal is not None:
            proposals[column] = max(point.proposal, proposals[column] or 0)
    return counts, proposals
