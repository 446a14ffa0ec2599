"""CPU time and memory of whole process trees, from one pass over the process table. `ps` and `top` import this.

There are two ways to the same table. On Linux one file is read for each process: 24 µs each when measured, against
psutil's 131 µs and 32 ms of import, which would take all of the 150 ms that `ps` of 1000 instances may take. Elsewhere
psutil is used. A process that ends during the pass is left out.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


FIELDS = ["ppid", "cpu_times", "memory_info"]
"""Attributes requested from psutil. The first four of `cpu_times` are the process's own two and its children's."""


class ProcessUsage(Struct, frozen=True):
    """`cpu`: seconds of CPU time, including children that have ended and were waited for. `memory`: resident bytes.
    `group` is the process group, 0 if unknown.
    """

    parent: int
    cpu: float
    memory: int
    group: int = 0


def process_table() -> dict[int, ProcessUsage]:
    """Every process that this user may see, by pid."""
    return linux_table() if sys.platform == "linux" else portable_table()


def linux_table() -> dict[int, ProcessUsage]:
    """The table from /proc/PID/stat. Fields are numbered as in proc(5), after the closing parenthesis of the command."""
    ticks = os.sysconf("SC_CLK_TCK")
    page = os.sysconf("SC_PAGE_SIZE")
    table = {}
    for pid in os.listdir("/proc"):
        if not pid.isdecimal():
            continue
        try:
            fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        except OSError:  # it has ended since
            continue
        try:
            fields = os.read(fd, 4096).rpartition(b")")[2].split()
        except OSError:  # it has ended since
            continue
        finally:
            os.close(fd)
        cpu = sum(map(int, fields[11:15])) / ticks  # 14-17: utime, stime, cutime, cstime
        parent, group, resident = int(fields[1]), int(fields[2]), int(fields[21])  # 4: ppid, 5: pgrp, 24: rss
        table[int(pid)] = ProcessUsage(parent, cpu, resident * page, group)
    return table


def portable_table() -> dict[int, ProcessUsage]:
    """The table from psutil. A value that may not be read (of another user's process) counts as 0."""
    import psutil  # noqa: PLC0415  heavy, and not needed on Linux

    table = {}
    for process in psutil.process_iter(FIELDS):
        parent, times, memory = (process.info[key] for key in FIELDS)
        cpu = sum(times[:4]) if times else 0.0
        table[process.pid] = ProcessUsage(parent, cpu, memory.rss if memory else 0, _group(process.pid))
    return table


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return 0


class Trees:
    """A process table that can be asked for trees."""

    def __init__(self, table: dict[int, ProcessUsage]) -> None:
        self._table = table
        self._children: dict[int, list[int]] = {}
        self._groups: dict[int, list[int]] = {}
        for pid, process in table.items():
            self._children.setdefault(process.parent, []).append(pid)
            self._groups.setdefault(process.group, []).append(pid)

    def used_by(self, roots: Iterable[int]) -> tuple[float, int] | None:
        """Seconds of CPU time and resident bytes of these processes, the members of their groups, and all descendants;
        None if none is left.

        A member of a leader's group whose own parent has ended is no longer a descendant of the leader.
        """
        found: set[int] = set()
        ahead = [pid for root in roots for pid in (root, *self._groups.get(root, ()))]
        while ahead:
            pid = ahead.pop()
            if pid in self._table and pid not in found:
                found.add(pid)
                ahead += self._children.get(pid, ())
        if not found:
            return None
        members = [self._table[pid] for pid in found]
        return sum(m.cpu for m in members), sum(m.memory for m in members)


class Meter:
    """CPU use since the last poll of each run, for callers that poll repeatedly."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, int], tuple[float, float]] = {}

    def percent(self, run: tuple[str, int], cpu: float, uptime: float) -> float | None:
        """Percent of one core since this run (name and generation) was polled last; the first time, over all of it.

        `cpu` and `uptime` are the present seconds. A part of the tree that has ended without being waited for takes its
        CPU time with it, so the result is at least 0. None if no time has passed.
        """
        cpu_before, uptime_before = self._before.get(run, (0.0, 0.0))
        self._before[run] = cpu, uptime
        passed = uptime - uptime_before
        return round(100 * max(0.0, cpu - cpu_before) / passed, 1) if passed > 0 else None

    def forget_all_but(self, runs: Collection[tuple[str, int]]) -> None:
        """Drop all runs but these."""
        self._before = {run: seen for run, seen in self._before.items() if run in runs}
