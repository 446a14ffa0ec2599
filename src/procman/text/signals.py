"""Signals by name and by number: the one place that knows how a person writes one. Pure: sends none."""

from __future__ import annotations

import signal

KNOWN = {name.removeprefix("SIG"): int(number) for name, number in signal.Signals.__members__.items()}
"""This system's signals, the names without SIG."""

_NAMES = {int(number): number.name.removeprefix("SIG") for number in signal.Signals}


def signal_name(number: int) -> str:
    """`KILL` for 9; a real-time signal without a name by its number."""
    return _NAMES.get(number, str(number))


def signal_number(name: str) -> int:
    """9 for `KILL`, and for `9`: what `signal_name` returns. Raises KeyError where the system has no such signal."""
    return int(name) if name.isdecimal() else KNOWN[name]


def read_signal(word: str) -> str | None:
    """`TERM` for what a person writes: `TERM`, `SIGTERM`, `term` or `15`; None where the system has no such signal."""
    if word.isascii() and word.isdecimal():
        return _NAMES.get(int(word)) if len(word) <= 3 else None
    name = word.upper().removeprefix("SIG")
    return _NAMES[KNOWN[name]] if name in KNOWN else None
