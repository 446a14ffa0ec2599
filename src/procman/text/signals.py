"""Signals by name and by number: the only place that knows how people write a signal. Pure: sends none."""

from __future__ import annotations

import signal

KNOWN = {name.removeprefix("SIG"): int(number) for name, number in signal.Signals.__members__.items()}
"""The signals of this system; names without SIG."""

_NAMES = {int(number): number.name.removeprefix("SIG") for number in signal.Signals}


def signal_name(number: int) -> str:
    """`KILL` for 9. A real-time signal without a name is given by its number."""
    return _NAMES.get(number, str(number))


def signal_number(name: str) -> int:
    """9 for `KILL` and for `9`: the inverse of `signal_name`. Raises KeyError if this system has no such signal."""
    return int(name) if name.isdecimal() else KNOWN[name]


def read_signal(word: str) -> str | None:
    """`TERM` for what people write: `TERM`, `SIGTERM`, `term` or `15`. None if this system has no such signal."""
    if word.isascii() and word.isdecimal():
        return _NAMES.get(int(word)) if len(word) <= 3 else None
    name = word.upper().removeprefix("SIG")
    return _NAMES[KNOWN[name]] if name in KNOWN else None
