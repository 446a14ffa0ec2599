"""What is typed into a terminal and not yet read by its program: bounded, and never waiting.

Owns the bytes on their way to the master of one pseudo-terminal. Must not know who types. The descriptor is watched only
while something waits, so that an idle terminal wakes nobody.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from procman.kernel.reactor import WRITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.kernel.reactor import Reactor

LIMIT = 64 * 1024
"""Most bytes that wait here. The system keeps some 4 KiB more for a program that does not read (termios(3))."""


class Keyboard:
    """The way to one master, which is non-blocking. `on_room` is called when what had no room may be sent again."""

    def __init__(self, reactor: Reactor, fd: int, on_room: Callable[[], None]) -> None:
        self._reactor = reactor
        self._fd = fd
        self._on_room = on_room
        self._waiting = bytearray()
        self._watched = False
        self._refused = False

    @property
    def room(self) -> int:
        """Bytes that are taken at this moment."""
        return LIMIT - len(self._waiting)

    def type(self, data: bytes) -> int:
        """Take as many of these bytes as there is room for; how many that is."""
        taken = min(len(data), self.room)
        self._refused = taken < len(data)
        self._waiting += data[:taken]
        if not self._watched:
            self._write()
        return taken

    def release(self) -> None:
        """Nobody is attached any more; what was typed still goes where it was typed."""
        self._on_room = _nothing

    def close(self) -> None:
        """The terminal has no reader any more; to be called before its descriptor is closed."""
        self._waiting.clear()
        self._watch(wanted=False)

    def _write(self) -> None:
        while self._waiting:
            try:
                written = os.write(self._fd, self._waiting)
            except BlockingIOError:
                break
            except OSError:  # EIO: its program has closed it (pts(4)); whoever types is told by the life's end
                written = len(self._waiting)
            del self._waiting[:written]
        self._watch(wanted=bool(self._waiting))
        if self._refused and not self._waiting:
            self._refused = False
            self._on_room()

    def _watch(self, *, wanted: bool) -> None:
        if wanted != self._watched:
            if wanted:
                self._reactor.register(self._fd, WRITE, self._write)
            else:
                self._reactor.unregister(self._fd)
            self._watched = wanted


def _nothing() -> None:
    """Nobody wants to know."""
