"""Input for a terminal that its program has not read yet: bounded, and never blocking.

Owns the bytes on their way to the master of one pseudo-terminal. Does not know who types. The descriptor is watched
only while input waits, so that an idle terminal causes no wake-ups.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from procman.kernel.loop.reactor import WRITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.kernel.loop.reactor import Reactor

LIMIT = 64 * 1024
"""Most bytes that wait here. The system buffers some 16 KiB more for a program that does not read (measured)."""


class InputQueue:
    """The input of one master, which is non-blocking. `on_empty` is called when no input waits any more."""

    def __init__(self, reactor: Reactor, fd: int, on_empty: Callable[[], None]) -> None:
        self._reactor = reactor
        self._fd = fd
        self._on_empty = on_empty
        self._waiting = bytearray()
        self._watched = False

    @property
    def room(self) -> int:
        """How many bytes are accepted now."""
        return LIMIT - len(self._waiting)

    @property
    def empty(self) -> bool:
        return not self._waiting

    def type(self, data: bytes) -> int:
        """Accept as many of these bytes as there is room for; returns how many."""
        taken = min(len(data), self.room)
        self._waiting += data[:taken]
        if not self._watched:
            self._write()
            self._watch(wanted=bool(self._waiting))
        return taken

    def close(self) -> None:
        """The terminal has no reader any more. Call this before its descriptor is closed."""
        self._waiting.clear()
        self._watch(wanted=False)

    def _on_ready(self) -> None:
        before = len(self._waiting)
        self._write()
        if len(self._waiting) == before and _hung_up(self._fd):
            self._waiting.clear()  # every program has closed it, so nobody reads what waits
        if not self._waiting:
            self._watch(wanted=False)
            self._on_empty()

    def _write(self) -> None:
        while self._waiting:
            try:
                written = os.write(self._fd, self._waiting)
            except BlockingIOError:
                return
            except OSError:  # EIO: the same, on systems other than Linux
                written = len(self._waiting)
            del self._waiting[:written]

    def _watch(self, *, wanted: bool) -> None:
        if wanted != self._watched:
            if wanted:
                self._reactor.register(self._fd, WRITE, self._on_ready)
            else:
                self._reactor.unregister(self._fd)
            self._watched = wanted


def _hung_up(fd: int) -> bool:
    """Whether every program has closed it. Then it is always ready for writing, and may be full (measured: on Linux no
    write to such a master fails).
    """
    if not hasattr(select, "poll"):  # select(2) does not report it
        return False
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))
