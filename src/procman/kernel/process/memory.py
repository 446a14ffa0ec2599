"""How much memory the process trees of some instances take, measured every ten seconds where a limit needs it. Linux
only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping

from procman.kernel.loop.reactor import Reactor

EVERY = 10.0
"""Seconds between two measurements."""

PAGE = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """Measures as long as `roots` names anything: pids for each name. `measured` is called with the bytes of each."""

    def __init__(
        self,
        reactor: Reactor,
        roots: Callable[[], Mapping[tuple[str, int], Iterable[int]]],
        measured: Callable[[str, int, int], None],
    ) -> None:
        self._reactor = reactor
        self._roots = roots
        self._measured = measured
        self._armed = False

    def go_on(self) -> None:
        """Start measuring, as an instance with a limit has been started."""
        if not self._armed:
            self._armed = True
            self._reactor.call_at(time.monotonic() + EVERY, self._check)

    def _check(self) -> None:
        self._armed = False
        roots = self._roots()
        if not roots:
            return
        self.go_on()
        children = children_by_parent()
        for (name, generation), pids in roots.items():
            self._measured(name, generation, sum(map(memory_of, tree(pids, children))))


def tree(roots: Iterable[int], children: dict[int, list[int]]) -> set[int]:
    """These processes and all their descendants."""
    found: set[int] = set()
    ahead = list(roots)
    while ahead:
        pid = ahead.pop()
        if pid not in found:
            found.add(pid)
            ahead += children.get(pid, ())
    return found


def children_by_parent() -> dict[int, list[int]]:
    """Every process of the system by its parent: 20 us each."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    parent = int(stat.read().rpartition(b")")[2].split()[1])
            except OSError:  # it has ended meanwhile
                continue
            found.setdefault(parent, []).append(int(name))
    return found


def memory_of(pid: int) -> int:
    """Bytes: its share of what it has mapped (PSS, proc(5)), or where that may not be read all of it (RSS)."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
            return next((int(line.split()[1]) * 1024 for line in rollup if line.startswith(b"Pss:")), 0)
    except OSError:
        pass
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read().split()[1]) * PAGE
    except OSError:  # it has ended
        return 0
