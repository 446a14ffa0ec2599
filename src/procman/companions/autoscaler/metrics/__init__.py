"""The kinds of metrics: one module a kind, one row of `KINDS` each.

A gauge is made once of its settings and then read again and again, each time in a thread of its own with a deadline, so
it may block. What it cannot read it raises as a ReadingError whose text is fit to be shown: no password, one line.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from procman.companions.autoscaler.fleet import TypeSeen


class ReadingError(Exception):
    """A metric that could not be read. Its text goes on after "cannot read NAME: "."""


class Gauge(Protocol):
    """Reads one number for all, or a number for each instance by name."""

    def read(self, seen: TypeSeen, now: float) -> float | dict[str, float]:
        """Raises ReadingError. `now` is monotonic seconds of the moment of `seen`."""
        ...


def number(value: float) -> float:
    """A number that the rule can use. Raises ReadingError for a negative one, infinity and NaN."""
    if not math.isfinite(value) or value < 0:
        raise ReadingError(f"{value:g} is no number of 0 or more")
    return float(value)
