"""Types of values in procman.yml: numbers with their limits, and how times and sizes are written. Pure.

msgspec knows each type. Where a word may stand for a number (`90s`), `Meta.extra` has the function that reads the word,
and the JSON Schema allows it.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from procman.config.machine import read_count
from procman.config.options import YEAR
from procman.core.requests import MAX_COUNT
from procman.text.quantities import SECONDS, read_seconds, read_size, worded

MOST_BYTES = 2**50
"""Largest size that can be set: a pebibyte."""

Seconds = Annotated[float, worded(read_seconds, "90s", SECONDS, ge=0, le=YEAR)]
Bytes = Annotated[
    int, worded(read_size, "512MB", r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]i?[Bb]?|[Bb])\s*$", ge=0, le=MOST_BYTES)
]
Counted = Annotated[int, worded(read_count, "cpus-1", r"^\s*(cpus(-\d+)?|\d+\s*%)\s*$", ge=0, le=MAX_COUNT)]
"""A number of instances: fixed, or relative to the machine."""
ExitCode = Annotated[int, Meta(ge=0, le=255)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Filled = Annotated[str, Meta(min_length=1)]
Restarts = Annotated[int, Meta(ge=0)] | None
Most = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Times = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
AsWritten = Annotated[str, Meta(description="Numbers and booleans are kept as written")]
