"""Which process descends from which, by the pids of parents, which every user may read (proc_pid_stat(5)).

A process can leave its session and group and hide its environment (ssh-agent), and the environment of another user's
process is hidden anyway. Then only its parents show where it comes from, and only while they live: so what is seen
before a stop is kept.
"""

from __future__ import annotations

import os
from typing import NamedTuple

FRESH = 0.05
"""Seconds for which a scan of all processes is valid: one scan for all that are stopped together."""


class RunningProcess(NamedTuple):
    """One process. `born`, in ticks since the boot, distinguishes it from a later process with its pid."""

    pid: int
    parent: int
    born: int
    name: str


class Descent:
    """What the last scans have shown. A scan takes 10 µs for each process of the machine, and happens only before a
    stop.
    """

    def __init__(self) -> None:
        self._children: dict[int, list[RunningProcess]] = {}
        self._looked_at = -FRESH

    def of(self, pids: list[int], now: float) -> list[RunningProcess]:
        """All descendants of these processes."""
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
    """The process of this pid; None where there is none any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, rest = file.read().rpartition(b")")
    except OSError:
        return None
    fields = rest.split()
    return RunningProcess(pid, int(fields[1]), int(fields[19]), head.partition(b"(")[2].decode(errors="replace"))


def descends(pid: int, ancestors: set[int]) -> bool:
    """Whether one of these is an ancestor of it."""
    while pid > 1:
        one = look_at(pid)
        if one is None:  # it has ended, or there is no /proc
            return False
        pid = one.parent
        if pid in ancestors:
            return True
    return False


def environment_of(pid: int) -> bytes | None:
    """The environment that it was started with; None where it cannot be read: it has ended, belongs to another user, or
    there is no /proc.
    """
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return environ.read()
    except OSError:
        return None
