"""Who descends from whom, by the pids of parents, which everybody may read (proc_pid_stat(5)).

A process can leave its session and group and hide its environment (ssh-agent), and one of another user hides it anyhow.
Then only its parents tell where it comes from, and only while they live: so what is seen before a stop is kept.
"""

from __future__ import annotations

import os
from typing import NamedTuple

FRESH = 0.05
"""Seconds for which a look at all processes is good: one for all that are stopped together."""


class RunningProcess(NamedTuple):
    """One process; `born` in ticks since the boot tells it from another that gets its pid later."""

    pid: int
    parent: int
    born: int
    name: str


class Descent:
    """What the last looks have shown. Costs 10 µs a process of the machine, and only before a stop."""

    def __init__(self) -> None:
        self._children: dict[int, list[RunningProcess]] = {}
        self._looked_at = -FRESH

    def of(self, pids: list[int], now: float) -> list[RunningProcess]:
        """All descendants of these."""
        if now >= self._looked_at + FRESH:
            self._looked_at = now
            self._children = {}
            for one in _everyone():
                self._children.setdefault(one.parent, []).append(one)
        found: list[RunningProcess] = []
        parents, known = list(pids), set(pids)
        while parents:
            fresh = [one for one in self._children.get(parents.pop(), ()) if one.pid not in known]
            found += fresh
            known.update(one.pid for one in fresh)
            parents += [one.pid for one in fresh]
        return found


def _everyone() -> list[RunningProcess]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    return [one for name in names if name.isdecimal() and (one := look_at(int(name))) is not None]


def look_at(pid: int) -> RunningProcess | None:
    """None where there is no such process any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, rest = file.read().rpartition(b")")
    except OSError:
        return None
    fields = rest.split()
    return RunningProcess(pid, int(fields[1]), int(fields[19]), head.partition(b"(")[2].decode(errors="replace"))


def descends(pid: int, ancestors: set[int]) -> bool:
    """Whether one of these is above it."""
    while pid > 1:
        one = look_at(pid)
        if one is None:  # it has gone, or there is no /proc
            return False
        pid = one.parent
        if pid in ancestors:
            return True
    return False


def environment_of(pid: int) -> bytes | None:
    """What it was started with; None where it cannot be read: it is gone, another user's, or there is no /proc."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return environ.read()
    except OSError:
        return None
