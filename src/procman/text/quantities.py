"""Times and sizes as people write them (`90s`, `512MB`), and types of numbers that such words may stand for. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Meta

READ = "read"
"""The key in `Meta.extra` of a function that turns a word into the number it stands for. The function raises ValueError
and says what was expected.
"""

_TIMES = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"b": 1} | {
    f"{letter}{unit}": base**power
    for power, letter in enumerate("kmgt", 1)
    for unit, base in (("", 1024), ("b", 1000), ("ib", 1024))
}
_NUMBER = re.compile(r"(?P<number>\d{1,15}(?:\.\d{1,9})?)\s*(?P<unit>[A-Za-z]+)", re.ASCII)


def read_seconds(word: str) -> float:
    """Seconds of a word such as `90s`, `5m` or `12h`. Raises ValueError."""
    return _read(word, _TIMES, "a number, or a time such as 90s, 5m or 12h")


def read_size(word: str) -> int:
    """Bytes of a word such as `512MB` (millions), `1GiB` or `50M` (1024 each, as in ulimit(1)). Raises ValueError."""
    return int(_read(word, _SIZES, "a whole number, or a size such as 512MB or 1GiB"))


def _read(word: str, units: Mapping[str, float], expected: str) -> float:
    match = _NUMBER.fullmatch(word.strip())
    size = units.get(match["unit"].lower()) if match else None
    if match is None or size is None:
        raise ValueError(f"expected {expected}")
    return float(match["number"]) * size


SECONDS = r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$"
"""A pattern of the words that `read_seconds` accepts, for a JSON Schema."""


def about(text: str) -> Meta:
    """The description of a key, for its schema and the reference."""
    return Meta(description=text)


def worded(read: Callable[[str], float], example: str, pattern: str, **limits: Any) -> Meta:  # noqa: ANN401  of msgspec.Meta
    """The type of a number that may also be written as a word."""
    return Meta(
        **limits,
        extra={READ: read},
        extra_json_schema={"type": ["number", "string"], "pattern": pattern, "examples": [example]},
    )
