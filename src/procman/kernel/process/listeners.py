"""Listening sockets that all instances of a type share: procman opens them once and passes them to each
(sd_listen_fds(3)).

Owns the sockets from their opening to their closing, over every run of the instances and over upgrades, so that no
connection is refused meanwhile. Knows addresses and descriptors; does not know why a type is started or changed.
"""

from __future__ import annotations

import _socket as socket  # as in control/sockets.py
import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterable

from msgspec import Struct

from procman.core.policies import ListenSocket

ABOVE = 64
"""procman's own descriptors start here, so that a program's can be placed from 3 on, one after the other."""

SHORT_FOR = {"localhost": "127.0.0.1", "*": "0.0.0.0", "": "0.0.0.0"}  # noqa: S104  as the user asked

BACKLOG = 4096
"""Connections that may wait to be accepted; the system allows net.core.somaxconn of them (listen(2))."""


class ListenError(Exception):
    """Listening failed; the text says where and why."""


class Listener(Struct, frozen=True):
    """An open socket. `fd` is procman's; `inode` that of a Unix socket's file, 0 if there is none."""

    type: str
    socket: ListenSocket
    fd: int
    inode: int = 0


class Listeners:
    """The open sockets, by type and value: a reload opens new sockets before it closes old ones, even if both have the
    same address.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, ListenSocket], Listener] = {}

    def open(self, type_name: str, sockets: Iterable[ListenSocket]) -> list[int]:
        """Open those that are not open yet; returns their descriptors, in order. Raises ListenError."""
        return [self._opened(type_name, each).fd for each in sockets]

    def close(self, type_name: str, sockets: Iterable[ListenSocket]) -> None:
        """Close them: they are passed to no further instance, and instances that have them keep them."""
        for each in sockets:
            listener = self._open.pop((type_name, each), None)
            if listener is not None:
                self._close(listener)

    def close_all(self) -> None:
        """Procman ends."""
        while self._open:
            self._close(self._open.popitem()[1])

    def state(self) -> tuple[Listener, ...]:
        """The sockets, for another program with the same descriptors."""
        return tuple(self._open.values())

    def restore(self, state: Iterable[Listener]) -> None:
        self._open = {(listener.type, listener.socket): listener for listener in state}

    def _opened(self, type_name: str, wanted: ListenSocket) -> Listener:
        key = type_name, wanted
        if key not in self._open:
            same = next((one for one in self._open.values() if one.socket.address == wanted.address), None)
            try:
                self._open[key] = self._another(type_name, wanted, same) if same else _new(type_name, wanted)
            except (OSError, OverflowError, ValueError) as error:
                code = error.errno if isinstance(error, OSError) else None
                why = os.strerror(code).lower() if code else str(error)
                raise ListenError(f"cannot listen on {wanted.address}: {why}") from error
        return self._open[key]

    @staticmethod
    def _another(type_name: str, wanted: ListenSocket, same: Listener) -> Listener:
        """Another descriptor of a socket that is already open."""
        return Listener(type_name, wanted, fcntl.fcntl(same.fd, fcntl.F_DUPFD_CLOEXEC, ABOVE), same.inode)

    def _close(self, listener: Listener) -> None:
        os.close(listener.fd)
        if listener.inode and all(one.inode != listener.inode for one in self._open.values()):
            path = _path(listener.socket.address)
            with contextlib.suppress(OSError):  # another process has removed it
                if os.stat(path).st_ino == listener.inode:
                    os.unlink(path)


def handed(names: Iterable[str]) -> dict[str, str]:
    """The variables for these sockets, except LISTEN_PID, which only the process itself knows."""
    listed = list(names)
    return {"LISTEN_FDS": str(len(listed)), "LISTEN_FDNAMES": ":".join(listed)}


def _new(type_name: str, wanted: ListenSocket) -> Listener:
    scheme, _, rest = wanted.address.partition("://")
    if scheme == "unix":
        return _unix(type_name, wanted)
    if scheme != "tcp":
        raise ValueError("expected tcp://HOST:PORT or unix://PATH")
    host, _, port = rest.rpartition(":")
    host = SHORT_FOR.get(host, host).strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
    except OSError:
        raise ValueError(f"{host} is not an address, and looking up a name would block procman") from None
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, int(port)))
        return Listener(type_name, wanted, _listening(made))


def _unix(type_name: str, wanted: ListenSocket) -> Listener:
    path = _path(wanted.address)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as made:
        try:
            made.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_stale(path):
                raise
            os.unlink(path)
            made.bind(path)
        return Listener(type_name, wanted, _listening(made), os.stat(path).st_ino)


def _path(address: str) -> str:
    """A relative path is in procman's working directory."""
    return address.removeprefix("unix://")


def _is_stale(path: str) -> bool:
    """Whether it is a socket on which no process listens any more, as a killed program leaves it."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as attempt:
        attempt.setblocking(False)  # noqa: FBT003  the standard library's signature
        return attempt.connect_ex(path) == errno.ECONNREFUSED


def _listening(made: socket.socket) -> int:
    """A bound socket that listens, at a descriptor above those that a program is given."""
    made.listen(BACKLOG)
    made.setblocking(True)  # noqa: FBT003  as a program would have made it: it shares the flag
    return fcntl.fcntl(made.fileno(), fcntl.F_DUPFD_CLOEXEC, ABOVE)
