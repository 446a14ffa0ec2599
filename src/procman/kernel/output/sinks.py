"""Procman's own standard output: written without ever waiting for its reader, with one backlog for what it did not
accept.

Owns the descriptor's peculiarities, the backlog and the count of dropped lines. Does not know what a line means: it
gets complete lines, and cuts none.

Standard output is shared with procman's parent, so O_NONBLOCK is never set on it: the flag belongs to the open file
description, and the shell's next program would inherit it (a well-known way to break `cat`). See `find_way`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.kernel.loop.reactor import WRITE, OneShotSelector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from procman.kernel.loop.reactor import Reactor

    Data: TypeAlias = bytes | memoryview

PIPE_SIZE = 1 << 20
"""The size to which a pipe on standard output is grown: the most that an unprivileged process may ask for (pipe(7))."""

RETRY = 1.0
"""Seconds between two attempts on an output that has failed."""

CHECK_AGAIN = 0.05
"""Seconds between two attempts on an output that cannot be watched."""

_SAFE_WRITE = 4096
"""Bytes that a pipe accepts without blocking once poll calls it writable: PIPE_BUF (pipe(7))."""


class Way(Struct, frozen=True):
    """How to write without blocking. `put` writes some of the data and returns how much, or raises BlockingIOError;
    `fd` becomes ready when there is room again; `close` closes what was opened.
    """

    fd: int
    put: Callable[[Data], int]
    close: Callable[[], None]


def find_way(fd: int) -> Way:
    """The first that works of: plain writes, a descriptor of our own, a flag for each write, small writes after a poll.

    Files, /dev/null and the like never wait for a reader. A pipe or terminal is opened again through /proc, which makes
    a new description (refused with EACCES for another user's; absent on macOS). A socket cannot be (ENXIO). A closed
    descriptor (`>&-`) is found out by the first write.
    """
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return Way(fd, partial(os.write, fd), _nothing)
    if stat.S_ISSOCK(mode):
        return _socket_way(fd)
    if stat.S_ISFIFO(mode):
        _grow(fd)
    elif not os.isatty(fd):
        return Way(fd, partial(os.write, fd), _nothing)
    own = _reopen(fd)
    if own >= 0:
        return Way(own, partial(os.write, own), partial(os.close, own))
    return Way(fd, _Careful(fd, nowait=stat.S_ISFIFO(mode)).put, _nothing)


def _nothing(*_: object) -> None:
    """The default of callbacks: do nothing."""


def _grow(fd: int) -> None:
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        return
    try:
        if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < PIPE_SIZE:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        return  # EPERM: the user's allowance for pipes is used up; a small one is only slower


def _reopen(fd: int) -> int:
    """A non-blocking description of the same pipe or terminal, or -1."""
    places = [f"/proc/self/fd/{fd}"]
    if os.isatty(fd) and _is_own_terminal(fd):
        places.append("/dev/tty")  # whose mode is 0666, where the device itself is another user's (`su`): tty(4)
    for place in places:
        try:
            return os.open(place, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            continue
    return -1


def _is_own_terminal(fd: int) -> bool:
    try:
        os.tcgetpgrp(fd)
    except OSError:
        return False  # ENOTTY: it is no session's terminal, or another one's (tcgetpgrp(3))
    return True


def _socket_way(fd: int) -> Way:
    import socket  # noqa: PLC0415  1 ms at import, and standard output is rarely a socket

    own = socket.socket(fileno=os.dup(fd))
    # macOS has no such flag; SIGPIPE is ignored anyway
    flags = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)
    return Way(own.fileno(), lambda data: own.send(data, flags), own.close)


class _Careful:
    """Writes to the shared descriptor itself: with a flag for each write where that works, else a little at a time."""

    def __init__(self, fd: int, *, nowait: bool) -> None:
        self._fd = fd
        self._nowait = nowait and hasattr(os, "RWF_NOWAIT")
        self._selector = OneShotSelector()
        self._selector.register(fd, WRITE)

    def put(self, data: Data) -> int:
        if self._nowait:
            try:
                return os.pwritev(self._fd, [data], -1, os.RWF_NOWAIT)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
                self._nowait = False  # an old kernel
        if not self._selector.select(0):
            raise BlockingIOError
        return os.write(self._fd, data[:_SAFE_WRITE])


class _Queued(Struct, frozen=True):
    data: Data
    key: object
    lines: int


class QueuedWrite(Struct, frozen=True):
    """One entry of the backlog; its key is a number."""

    data: bytes
    key: int | None
    lines: int


class SinkState(Struct, frozen=True, kw_only=True):
    """What is not written yet, and what could not be. `head` continues a write; `lost` are lines and bytes."""

    head: bytes = b""
    queue: tuple[QueuedWrite, ...] = ()
    mid_line: bool = False
    failed: bool = False
    torn: bytes = b""
    lost: tuple[int, int] = (0, 0)
    retry_at: float = 0.0
    dropped: int = 0


class FilesState(Struct, frozen=True):
    """A folder of log files: the descriptor that locks it, and the files that cannot be written at present, by name."""

    lock: int
    failed: dict[str, SinkState]


class Sink:
    """The one writer of standard output. Every `write` is of complete lines.

    When the output accepts no more, the rest is the backlog and `stalled` is true: `on_stalled` are called, and
    `on_flowing` once everything is written. Later writes are queued after it, so the writers have to hold back.

    If it cannot be written at all (closed, full), `on_trouble` is called once, and lines are dropped and counted. Once
    a second a write tries again; then `notice` makes the line that says how much is missing. A line that a full disk
    has cut is completed first. `dropped` counts all bytes that were accepted and never written.
    """

    def __init__(
        self,
        reactor: Reactor,
        fd: int | Way,
        on_trouble: Callable[[str], None] = _nothing,
        name: str = "standard output",
    ) -> None:
        self.stalled = False
        self.dropped = 0
        self.on_stalled: list[Callable[[], None]] = []
        self.on_flowing: list[Callable[[], None]] = []
        self.notice: Callable[[str], bytes] = lambda text: f"procman: {text}\n".encode()
        self.retry = RETRY
        self._on_trouble = on_trouble
        self._reactor = reactor
        self._way = find_way(fd) if isinstance(fd, int) else fd
        self._name = name
        self._head: Data = b""  # what is being written
        self._queue: deque[_Queued] = deque()  # what comes after it
        self._mid_line = False  # whether the last byte written was not a newline
        self._watched = False
        self.failed = False  # whether it cannot be written at present
        self._torn = b""  # while failed: the rest of the line that was being written
        self._lost = [0, 0]  # while failed: lines, bytes
        self._retry_at = 0.0

    def write(self, data: Data, key: object = None, lines: int = 0) -> None:
        """Write, queue or drop; never wait. `key` and `lines` are for `discard`."""
        if self.failed and not self._recover():
            self._lose(data)
        elif self.stalled:
            self._queue.append(_Queued(data, key, lines))
        else:
            self._head = data
            self._pump()

    def discard(self, key: object) -> int:
        """Take back what is queued under this key, unless part of it has been written; returns the sum of its `lines`."""
        lines = 0
        kept: deque[_Queued] = deque()
        for queued in self._queue:
            if queued.key is key:
                lines += queued.lines
                self.dropped += len(queued.data)
            else:
                kept.append(queued)
        self._queue = kept
        return lines

    def state(self, number: Callable[[object], int | None] = lambda _key: None) -> SinkState:
        """The state from which it can be continued; `number` turns each key into a number."""
        lines, size = self._lost
        return SinkState(
            head=bytes(self._head),
            queue=tuple(QueuedWrite(bytes(queued.data), number(queued.key), queued.lines) for queued in self._queue),
            mid_line=self._mid_line,
            failed=self.failed,
            torn=self._torn,
            lost=(lines, size),
            retry_at=self._retry_at,
            dropped=self.dropped,
        )

    def restore(self, state: SinkState, keys: Sequence[object] = ()) -> None:
        """Continue with a state, before anything is written here. `keys` are the keys by number."""
        self._head = state.head
        self._queue.extend(_Queued(w.data, keys[w.key] if w.key is not None else None, w.lines) for w in state.queue)
        self._mid_line, self.failed, self._torn = state.mid_line, state.failed, state.torn
        self._lost = [*state.lost]
        self._retry_at, self.dropped = state.retry_at, state.dropped
        if self._head or self._queue:
            self._pump()

    def flush(self, deadline: float) -> None:
        """At the very end: wait for the reader until `deadline` (monotonic), then drop the rest and report it."""
        if self.stalled and os.isatty(self._way.fd):  # the next prompt would undo Ctrl-S too, without these lines
            from procman.kernel.output.terminals import resume  # noqa: PLC0415  only at the end, and only where it is held up

            resume(self._way.fd)
        selector = OneShotSelector()
        selector.register(self._way.fd, WRITE)
        while self.stalled and (left := deadline - time.monotonic()) > 0:
            selector.select(left)
            self._pump()
        if self.stalled:
            self._lose_backlog()
            self._set_stalled(stalled=False)
        self._lose(self._torn)
        self._torn = b""
        if self._lost[1]:
            self._on_trouble(_count(*self._lost))
            self._lost = [0, 0]

    def close(self) -> None:
        """Close what was opened; nothing can be written any more."""
        self._lose_backlog()
        self._set_stalled(stalled=False)
        self._way.close()

    # ---- writing

    def _pump(self) -> None:
        """Write until nothing is left or the output accepts no more."""
        try:
            while self._head or self._queue:
                self._head = self._head or self._queue.popleft().data  # kept where the write fails
                self._head = self._put(self._head)
        except BlockingIOError:
            self._set_stalled(stalled=True)
        except OSError as error:
            self._fail(error)
            self._set_stalled(stalled=False)
        else:
            self._set_stalled(stalled=False)

    def _put(self, data: Data) -> Data:
        """Write some of the data; returns the rest."""
        count = self._way.put(data)
        if count == len(data):
            self._mid_line = False
            return b""
        if count:
            self._mid_line = data[count - 1] != 10  # a newline
        return memoryview(data)[count:]

    def _set_stalled(self, *, stalled: bool) -> None:
        if stalled is self.stalled:
            return
        self.stalled = stalled
        if stalled:
            self._watch()
        elif self._watched:
            self._reactor.unregister(self._way.fd)
            self._watched = False
        for callback in self.on_stalled if stalled else self.on_flowing:
            callback()

    def _watch(self) -> None:
        """Get called when there is room; if the system has no watch left (epoll(7)), try again from time to time."""
        try:
            self._reactor.register(self._way.fd, WRITE, self._pump)
            self._watched = True
        except OSError:
            self._reactor.call_at(time.monotonic() + CHECK_AGAIN, self._check)

    def _check(self) -> None:
        if self.stalled and not self._watched:
            self._pump()
            if self.stalled:
                self._watch()

    # ---- trouble

    def _fail(self, error: OSError) -> None:
        self.failed = True
        self._retry_at = time.monotonic() + self.retry
        why = f"{error.strerror}; dropping output until it can be written"
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            why = "nobody reads it any more; dropping output until somebody does (`procman logs` has it)"
            self._mid_line = False  # the next reader has not seen the start of the line
        self._keep_torn(bytes(self._head))
        self._head = self._head[len(self._torn) :]
        self._lose_backlog()
        self._on_trouble(f"cannot write to {self._name}: {why}")

    def _keep_torn(self, data: bytes) -> None:
        self._torn = data[: data.find(b"\n") + 1] if self._mid_line else b""

    def _recover(self) -> bool:
        """Whether the output can be written again; tried at most once in `retry` seconds."""
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at = now + self.retry
        first: Data = self._torn + self.notice(_count(*self._lost))
        try:
            while first:
                first = self._put(first)
        except BlockingIOError:
            self._head = first
            self._set_stalled(stalled=True)
        except OSError:
            self._keep_torn(bytes(first))
            return False
        self.failed = False
        self._torn = b""
        self._lost = [0, 0]
        return True

    def _lose(self, data: Data) -> None:
        self.dropped += len(data)
        self._lost[0] += bytes(data).count(b"\n")
        self._lost[1] += len(data)

    def _lose_backlog(self) -> None:
        self._lose(self._head)
        for queued in self._queue:
            self._lose(queued.data)
        self._head = b""
        self._queue.clear()


def _count(lines: int, size: int) -> str:
    return f"{lines} {'line' if lines == 1 else 'lines'} of output dropped ({size} bytes)"
