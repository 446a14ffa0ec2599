"""How much memory the process trees of some instances take, measured every ten seconds where a limit needs it. Linux
only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from procman.core.events import Measured
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.descent import descendants

EVERY = 10.0
"""Seconds between two measurements."""

PAGE = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """Measures as long as `roots` has any: pids, each with its instance's name and generation."""

    def __init__(
        self,
        reactor: Reactor,
        roots: Callable[[], Mapping[int, tuple[str, int]]],
        post: Callable[[Measured], None],
    ) -> None:
        self._reactor = reactor
        self._roots = roots
        self._post = post
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
        used = dict.fromkeys(roots.values(), 0)
        for pid, run in (*roots.items(), *((one.pid, run) for one, run in descendants(roots))):
            used[run] += memory_of(pid)
        for (name, generation), memory in used.items():
            self._post(Measured(name, generation, memory))


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
