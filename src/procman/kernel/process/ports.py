"""Which process holds a port: one scan of the system's tables, to explain a crash. Linux only."""

from __future__ import annotations

import _socket as socket  # as in control/sockets.py
import contextlib
import errno
import os
from collections.abc import Callable

from msgspec import Struct

from procman.kernel.process.children import all_pids, read_process
from procman.kernel.process.process import Process, group_of
from procman.text.lines import clean
from procman.text.words import index_of

LISTEN = b"0A"
"""State of a listening socket in /proc/net/tcp (proc(5))."""


NOTE_WITHIN = 10.0
"""An instance that ends within this many seconds may have found its port taken."""

SEARCH_EVERY = 0.1
"""Least seconds between two searches for the holder of a port, each of which looks at every process: 7 ms."""


DYING = 1.0
"""Seconds after which a socket that no process shows is not that of one that is just ending."""


class ListeningSocket(Struct, frozen=True):
    """A listening socket as the system's tables show it."""

    inode: bytes
    uid: int


class PortNotes:
    """Finds what is in the way of an instance that ended by itself. `can_search`: whether /proc can be asked; `is_own`:
    whether a process is one that procman has started.
    """

    def __init__(self, *, can_search: bool, is_own: Callable[[int], bool]) -> None:
        self._can_search = can_search
        self._is_own = is_own
        self._searched_at = -SEARCH_EVERY
        self._notes: dict[int, tuple[ListeningSocket, str]] = {}  # by port
        # by port: the socket that no process showed, and since when
        self._hidden: dict[int, tuple[ListeningSocket, float]] = {}

    def note(self, process: Process, now: float) -> str:
        """`port 5000 is held by pid 77 (python3)`, or "" if its port is free, its own, or it has none."""
        port = process.spec.port_of(index_of(process.name))
        if port is None or now - process.started_at > NOTE_WITHIN or not is_taken(port):
            return ""
        if not self._can_search:
            return f"port {port} is taken"
        listener = _listener(port)
        if listener is None:
            return ""
        before, text = self._notes.get(port, (None, ""))
        if before == listener:
            return text
        if now < self._searched_at + SEARCH_EVERY:
            return f"port {port} is taken"
        self._searched_at = now
        text = holder_of(port, listener, process.groups, self._is_own)
        if text:
            self._notes[port] = (listener, text)
            return text
        before, since = self._hidden.get(port, (None, now))
        if before != listener:
            self._hidden[port] = (listener, now)
        elif now >= since + DYING and _holder(listener.inode) is None:
            return f"port {port} is held by a process that cannot be seen from here, perhaps in another container"
        return ""


def is_taken(port: int) -> bool:
    """Whether a process listens on the port, by an attempt to bind: microseconds, where a scan takes 7 ms."""
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):  # noqa: S104  bound, never listened on
        try:
            with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as attempt:
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    attempt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                attempt.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
    return False


def holder_of(port: int, listener: ListeningSocket, groups: tuple[int, ...], is_own: Callable[[int], bool]) -> str:
    """`port 5000 is held by pid 77 (python3)` where a process outside these groups listens on it, else "".

    A process of the groups ends together with them, and a socket of this user that no process shows belongs to one that is
    just ending: neither is in the way for long.
    """
    pid = _holder(listener.inode)
    if pid is None:
        return "" if listener.uid == os.geteuid() else f"port {port} is held by a process of {_user(listener.uid)}"
    one = read_process(pid)
    if one is None or group_of(pid) in groups:  # it has just ended, or will
        return ""
    whose = "its own leftover, " if is_own(pid) else ""
    return f"port {port} is held by {whose}pid {pid} ({clean(one.name).strip()})"  # any user may use any name


def _user(uid: int) -> str:
    import pwd  # noqa: PLC0415  only on the way to such a line

    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"


def _listener(port: int) -> ListeningSocket | None:
    wanted = b":%04X" % port
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, "rb") as lines:
                next(lines, None)
                for line in lines:
                    fields = line.split()
                    if fields[3] == LISTEN and fields[1].endswith(wanted):
                        return ListeningSocket(fields[9], int(fields[7]))
        except OSError:
            continue
    return None


def _holder(inode: bytes) -> int | None:
    link = f"socket:[{inode.decode()}]"
    shown = (pid for pid in all_pids() if any(_link(f"/proc/{pid}/fd/{fd}") == link for fd in _descriptors(pid)))
    return next(shown, None)


def _descriptors(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it has ended, belongs to another user, or no descriptor is left
        return []


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # closed meanwhile
        return ""
