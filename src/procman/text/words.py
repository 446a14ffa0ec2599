"""Texts that are written and read the same way everywhere: durations, repetitions, the names of instances. Pure."""

from __future__ import annotations

LISTED = 8
"""How many names one line lists before it only counts the rest."""


def duration(seconds: float) -> str:
    """Seconds as people say them: `0.5 s`, `42 s`, `2m 10s`, `3h 5m`, `2d 4h`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def times(count: int) -> str:
    """`twice in a row`, `three times in a row`."""
    words = ("", "once", "twice", "three times", "four times", "five times")
    return f"{words[count] if count < len(words) else f'{count} times'} in a row"


def type_of(instance: str) -> str:
    """The type in the name of an instance: `web` for `web.1`; "" if the name has none, such as `system`."""
    return instance.rpartition(".")[0]


def index_of(instance: str) -> int:
    """The number in the name of an instance: 1 for `web.1`. Raises ValueError if there is none."""
    return int(instance.rpartition(".")[2])
