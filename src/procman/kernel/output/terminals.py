r"""Pseudo-terminals: creating one, its size, and when an unfinished line on it is shown.

Knows descriptors, sizes and times; knows neither instances nor what is written. The terminal's settings stay at their
defaults (echo, `\n` becomes `\r\n`), so that a program finds what it would find when run by hand. It becomes the
controlling terminal of its session, so that job control, `/dev/tty` and the signals of the keyboard work.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from procman.kernel.output.stream import UNKNOWN_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.kernel.loop.reactor import Reactor
    from procman.kernel.output.stream import ChildStream

CHUNK = 4096
"""Most bytes that one read of a pseudo-terminal returns (the line discipline's buffer; Linux returns one less)."""

PROMPT_AFTER = 0.25
"""Seconds after which an unfinished line is shown, as its program seems to wait for an answer."""

STATE_EVERY = 1.5
"""Seconds between two displays of a line that is redrawn, such as a progress bar: each redraw would postpone it."""

LEAST = 20
"""Columns that a child gets at least: programs fail to wrap their lines into fewer."""


class Terminal(NamedTuple):
    """Both sides of a pseudo-terminal, and the device that a child opens. procman closes `slave` after the spawn."""

    master: int
    slave: int
    path: str


def open_terminal(size: tuple[int, int]) -> Terminal:
    """A new one of this size, both descriptors non-inheritable. Raises OSError: no descriptor, no terminal left
    (ENOSPC: pts(4)), or no /dev/pts.
    """
    master, slave = os.openpty()
    try:
        set_size(master, size)
        return Terminal(master, slave, os.ttyname(slave))
    except OSError:
        os.close(master)
        os.close(slave)
        raise


def set_size(master: int, size: tuple[int, int]) -> None:
    """Set columns and lines. Its programs get WINCH if that is a change (TIOCSWINSZ: ioctl_tty(2))."""
    columns, lines = size
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def screen_size(fd: int) -> tuple[int, int]:
    """Columns and lines of this terminal; `UNKNOWN_SIZE` where it is none, or reports 0, as a serial line does."""
    try:
        columns, lines = os.get_terminal_size(fd)
    except OSError:
        return UNKNOWN_SIZE
    return (columns, lines) if columns and lines else UNKNOWN_SIZE


def resume(fd: int) -> None:
    """Undo Ctrl-S. TCOON alone undoes only a TCOOFF: Linux tells the two apart. While TTOU is blocked, a job in the
    background may do that, too: otherwise its whole group would be suspended (termios(3)).
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    with suppress(termios.error):  # it has hung up
        termios.tcflow(fd, termios.TCOOFF)
        termios.tcflow(fd, termios.TCOON)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Terminals:
    """All open terminals: they have the size of procman's screen less the prefix, and one timer for their prompts.

    `show` is called with a stream whose unfinished line has not grown for a while. Without terminals there is no
    handler and no timer.
    """

    def __init__(self, reactor: Reactor, width: Callable[[], int], show: Callable[[ChildStream], None]) -> None:
        self._reactor = reactor
        self._width = width
        self._show = show
        self._open: set[ChildStream] = set()
        self._followed: dict[str, tuple[int, int]] = {}  # by instance: the size of the typist's screen
        self._watching = False
        self._unfinished: dict[ChildStream, float] = {}  # when each is to be shown
        self._since: dict[ChildStream, float] = {}  # when it started to grow, or was last shown
        self._armed = False

    def size(self) -> tuple[int, int]:
        """Columns and lines of the terminals of children without a client attached."""
        columns, lines = screen_size(1)
        return max(columns - self._width(), LEAST), lines

    def size_of(self, name: str) -> tuple[int, int]:
        """Columns and lines of this instance's terminal."""
        return self._followed.get(name) or self.size()

    def add(self, stream: ChildStream) -> None:
        self._open.add(stream)
        if not self._watching:
            self._watching = True
            self._reactor.on_signal(signal.SIGWINCH, self.fit)
            # while procman is stopped, WINCH goes to others (tty_ioctl(4))
            self._reactor.on_signal(signal.SIGCONT, self.fit)

    def discard(self, stream: ChildStream) -> None:
        self._open.discard(stream)
        self._unfinished.pop(stream, None)
        self._since.pop(stream, None)

    def fit(self) -> None:
        """The size of the screen or the width of the prefix has changed."""
        for stream in self._open:
            set_size(stream.fd, self.size_of(stream.name))

    def follow(self, name: str, size: tuple[int, int] | None) -> None:
        """Give an instance's terminal this size, also in its next runs; the usual size where None."""
        if size is None:
            self._followed.pop(name, None)
        else:
            self._followed[name] = size
        for stream in self._open:
            if stream.name == name:
                set_size(stream.fd, self.size_of(name))

    def unfinished(self, stream: ChildStream, *, shown: bool = False) -> None:
        """Its unfinished line has grown. `shown`: a part of it has been shown, and it is redrawn."""
        now = time.monotonic()
        latest = self._since.setdefault(stream, now) + STATE_EVERY
        self._unfinished[stream] = latest if shown else min(now + PROMPT_AFTER, max(latest, now))
        if not self._armed:
            self._arm()

    def line_ended(self, stream: ChildStream) -> None:
        """The line has ended: unfinished output from here on is another line."""
        self._unfinished.pop(stream, None)
        self._since.pop(stream, None)

    def _arm(self) -> None:
        self._armed = True
        self._reactor.call_at(min(self._unfinished.values()), self._check)

    def _check(self) -> None:
        self._armed = False
        now = time.monotonic()
        for stream in [stream for stream, at in self._unfinished.items() if at <= now]:
            if stream.held():  # the rest of the line has come, and we have not: procman was suspended, or is busy
                self._unfinished[stream] = now + PROMPT_AFTER
                continue
            del self._unfinished[stream]
            self._since[stream] = now
            self._show(stream)
        if self._unfinished:
            self._arm()
