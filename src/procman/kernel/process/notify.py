"""The sockets on which programs report that they are ready (sd_notify(3)), one for each instance. Linux only.

Owns the sockets, and which messages count: the system adds the pid of the sender (SCM_CREDENTIALS, unix(7)). The names
are abstract: a program that has become another user, or has another root, still finds them.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable
from functools import partial

from procman.kernel.loop.reactor import READ, Reactor

CREDENTIALS = struct.Struct("=iII")
"""pid, uid and gid: struct ucred of unix(7)."""

LONGEST = 4096
"""Most bytes of a message."""

MOST_DESCRIPTORS = 16
"""Most descriptors in a message (sd_notify_barrier(3) sends one, FDSTORE many). Each is closed, which is the answer to
the barrier.
"""

A_TURN = 32
"""Messages of one instance that are read before others get their turn."""

Fields = dict[str, str]
"""Fields such as `READY` -> `1`."""


class NotifySockets:
    """The sockets by instance, over all its runs. `received(name, pid, fields)` is called with each message."""

    def __init__(self, reactor: Reactor, ident: str, received: Callable[[str, int, Fields], None]) -> None:
        self._reactor = reactor
        self._ident = ident
        self._received = received
        self._open: dict[str, socket.socket] = {}

    def address_of(self, name: str) -> str:
        """The value of NOTIFY_SOCKET for an instance, whose socket is open from now on. Raises OSError."""
        address = f"@procman/{self._ident}/{name}"
        if name not in self._open:
            if not hasattr(socket, "SO_PASSCRED"):
                raise OSError(errno.EOPNOTSUPP, "this system does not report the sender of a message")
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
                made.bind(address.replace("@", "\0", 1))
                self._listen(name, made)
            except OSError:
                made.close()
                raise
        return address

    def close(self, name: str) -> None:
        """The slot has been removed."""
        made = self._open.pop(name, None)
        if made is not None:
            self._reactor.unregister(made.fileno())
            made.close()

    def state(self) -> dict[str, int]:
        """The descriptors, for another program that has them."""
        return {name: made.fileno() for name, made in self._open.items()}

    def restore(self, ident: str, state: dict[str, int]) -> None:
        self._ident = ident
        for name, fd in state.items():
            self._listen(name, socket.socket(fileno=fd))

    def _listen(self, name: str, made: socket.socket) -> None:
        made.setblocking(False)  # noqa: FBT003  the standard library's signature
        self._reactor.register(made.fileno(), READ, partial(self._on_ready, name, made))
        self._open[name] = made

    def _on_ready(self, name: str, made: socket.socket) -> None:
        for _ in range(A_TURN):
            if self._open.get(name) is not made:
                return
            try:
                data, ancillary, _, _ = made.recvmsg(
                    LONGEST, socket.CMSG_SPACE(CREDENTIALS.size) + socket.CMSG_SPACE(4 * MOST_DESCRIPTORS)
                )
            except OSError:  # no more messages
                return
            pid = _sender(ancillary)
            if pid:
                self._received(name, pid, fields_of(data))


def fields_of(data: bytes) -> Fields:
    """The fields of lines such as `READY=1`; other lines are ignored."""
    lines = data.decode(errors="replace").split("\n")
    return {key: value for key, equals, value in (line.partition("=") for line in lines) if equals}


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The pid that the system reports, 0 if it does not. Descriptors in the message are closed."""
    pid = 0
    for level, kind, data in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_CREDENTIALS:
            pid = CREDENTIALS.unpack(data)[0]
        elif kind == socket.SCM_RIGHTS:
            descriptors = array.array("i")
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
            for fd in descriptors:
                with contextlib.suppress(OSError):
                    os.close(fd)
    return pid
