"""What a value of procman.yml may be: numbers with their limits, and how times and sizes are written. Pure.

A kind is a type that msgspec knows. Where a word may stand for a number (`90s`), its `Meta.extra` has the function that
reads the word, and the JSON Schema says so, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta

from procman.core.requests import MAX_COUNT

YEAR = 365 * 86400
"""Longest time that can be set. Infinity is no number of JSON, and poll(2) counts milliseconds in 31 bits or so."""

MOST_BYTES = 2**50
"""Largest size that can be set: a pebibyte."""

READ = "read"
"""Key of `Meta.extra`: a function from a word to the number that it stands for. It raises ValueError, with what was expected."""

_TIMES = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4} | {
    f"{letter}{unit}": base**power
    for power, letter in enumerate("KMGT", 1)
    for unit, base in (("B", 1000), ("iB", 1024))
}
_NUMBER = re.compile(r"(?P<number>\d{1,15}(?:\.\d{1,9})?)\s*(?P<unit>[A-Za-z]+)", re.ASCII)


def read_seconds(word: str) -> float:
    """`90s`, `5m`, `12h`: seconds. Raises ValueError."""
    return _read(
        word, {unit.lower(): size for unit, size in _TIMES.items()}, "a number, or a time such as 90s, 5m or 12h"
    )


def read_size(word: str) -> int:
    """`512MB` (millions), `1GiB`, `50M` (as ulimit(1): 1024 each): bytes. Raises ValueError."""
    units = {unit.lower(): size for unit, size in _SIZES.items()}
    return int(_read(word, units, "a whole number, or a size such as 512MB or 1GiB"))


def _read(word: str, units: dict[str, float], expected: str) -> float:
    match = _NUMBER.fullmatch(word.strip())
    size = units.get(match["unit"].lower()) if match else None
    if match is None or size is None:
        raise ValueError(f"expected {expected}")
    return float(match["number"]) * size


def _worded(read: Callable[[str], float], example: str, pattern: str, **limits: Any) -> Meta:  # noqa: ANN401  of msgspec.Meta
    """A number, or a word that stands for one."""
    return Meta(
        **limits,
        extra={READ: read},
        extra_json_schema={"type": ["number", "string"], "pattern": pattern, "examples": [example]},
    )


Seconds = Annotated[float, _worded(read_seconds, "90s", r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$", ge=0, le=YEAR)]
Bytes = Annotated[
    int, _worded(read_size, "512MB", r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]i?[Bb]?|[Bb])\s*$", ge=0, le=MOST_BYTES)
]
ExitCode = Annotated[int, Meta(ge=0, le=255)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Filled = Annotated[str, Meta(min_length=1)]
Restarts = Annotated[int, Meta(ge=0)] | None
Most = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Times = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
AsWritten = Annotated[str, Meta(description="Numbers and booleans are kept as written")]
