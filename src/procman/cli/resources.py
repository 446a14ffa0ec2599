"""CPU time and memory of whole process trees, from one pass over the process table.

`ps` alone imports this. Two ways to the same table: on Linux one file a process is read (24 µs each when measured,
against psutil's 131 µs and 32 ms of import, which would cost `ps` of 1000 instances its 150 ms); elsewhere psutil.
A process that ends while we look is left out.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable


FIELDS = ["ppid", "cpu_times", "memory_info"]
"""What is asked of psutil; the first four of `cpu_times` are a process's own two and its children's."""


class Process(Struct, frozen=True):
    """`cpu`: seconds of CPU time, that of ended children included that were waited for. `memory`: resident bytes."""

    parent: int
    cpu: float
    memory: int


def process_table() -> dict[int, Process]:
    """Every process that this user may see, by pid."""
    return linux_table() if sys.platform == "linux" else portable_table()


def linux_table() -> dict[int, Process]:
    """From /proc/PID/stat; fields are numbered as in proc(5), after the command's closing parenthesis."""
    ticks = os.sysconf("SC_CLK_TCK")
    page = os.sysconf("SC_PAGE_SIZE")
    table = {}
    for pid in os.listdir("/proc"):
        if not pid.isdecimal():
            continue
        try:
            fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        except OSError:  # ended since
            continue
        try:
            fields = os.read(fd, 4096).rpartition(b")")[2].split()
        except OSError:  # ended since
            continue
        finally:
            os.close(fd)
        cpu = sum(map(int, fields[11:15])) / ticks  # 14-17: utime, stime, cutime, cstime
        table[int(pid)] = Process(int(fields[1]), cpu, int(fields[21]) * page)  # 4: ppid, 24: rss
    return table


def portable_table() -> dict[int, Process]:
    """From psutil. What may not be read (another user's process) counts as nothing."""
    import psutil  # noqa: PLC0415  heavy, and not needed on Linux

    table = {}
    for process in psutil.process_iter(FIELDS):
        parent, times, memory = (process.info[key] for key in FIELDS)
        table[process.pid] = Process(parent, sum(times[:4]) if times else 0.0, memory.rss if memory else 0)
    return table


class Trees:
    """A process table that can be asked for trees."""

    def __init__(self, table: dict[int, Process]) -> None:
        self._table = table
        self._children: dict[int, list[int]] = {}
        for pid, process in table.items():
            self._children.setdefault(process.parent, []).append(pid)

    def used_by(self, roots: Iterable[int]) -> tuple[float, int] | None:
        """Seconds of CPU time and resident bytes of these processes and all below them; None where none is left."""
        found: set[int] = set()
        ahead = list(roots)
        while ahead:
            pid = ahead.pop()
            if pid in self._table and pid not in found:
                found.add(pid)
                ahead += self._children.get(pid, ())
        if not found:
            return None
        members = [self._table[pid] for pid in found]
        return sum(m.cpu for m in members), sum(m.memory for m in members)
