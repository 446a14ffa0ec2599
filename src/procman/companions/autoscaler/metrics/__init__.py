"""The kinds of metrics: a module and a row of `building.KINDS` for each.

A gauge is made once from its settings and then read repeatedly, each time in a thread with a deadline, so it may block.
If it fails it raises a ReadingError whose text can be shown: one line, without a password.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from procman.companions.autoscaler.fleet import TypeSeen


class ReadingError(Exception):
    """A metric could not be read. Its text continues "cannot read NAME: "."""


class Gauge(Protocol):
    """Reads one number for all instances, or a number for each instance by name."""

    def read(self, seen: TypeSeen, now: float, /) -> float | dict[str, float]:
        """The reading. Raises ReadingError. `now` is the time of `seen`, in monotonic seconds."""
        ...


def number(value: float) -> float:
    """A number that the rule can use. Raises ReadingError for negative numbers, infinity and NaN."""
    if not math.isfinite(value) or value < 0:
        raise ReadingError(f"{value:g} is not a number of 0 or more")
    return float(value)
