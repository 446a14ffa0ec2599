"""Who holds a port: one look at the system's tables, for the reason of a crash. Linux only."""

from __future__ import annotations

import errno
import os
import socket

from procman.kernel.process.process import Process
from procman.text.lines import clean
from procman.text.words import index_of

LISTEN = b"0A"
"""State of a listening socket in /proc/net/tcp (proc(5))."""


NOTE_WITHIN = 10.0
"""An instance that ends within this many seconds may have found its port taken."""

LOOK_EVERY = 1.0
"""Least seconds between two looks for the holder of a port, each of which looks at every process."""


class PortNotes:
    """Says who is in the way of an instance that ended by itself. `look`: whether /proc can be asked."""

    def __init__(self, *, look: bool) -> None:
        self._look = look
        self._looked_at = -LOOK_EVERY

    def note(self, life: Process, now: float) -> str:
        """`port 5000 is held by pid 77 (python3)`, or "" where its port is free, its own, or it has none."""
        port = life.spec.port_of(index_of(life.name))
        if port is None or now - life.born > NOTE_WITHIN or not is_taken(port):
            return ""
        if not self._look or now < self._looked_at + LOOK_EVERY:
            return f"port {port} is taken"
        self._looked_at = now
        return stranger_on(port, life.pid)


def is_taken(port: int) -> bool:
    """Whether somebody listens on it, by an attempt to bind: microseconds, where a look at every process costs 7 ms."""
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):  # noqa: S104  bound, never listened on
        try:
            with socket.socket(family, socket.SOCK_STREAM) as attempt:
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    attempt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                attempt.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
    return False


def stranger_on(port: int, group: int) -> str:
    """`port 5000 is held by pid 77 (python3)` where a process outside this group listens on it, else ""."""
    inode = _listening_inode(port)
    if inode is None:
        return ""
    pid = _holder(inode)
    if pid is None:
        return f"port {port} is held by another user's process"
    try:
        if os.getpgid(pid) == group:
            return ""
        with open(f"/proc/{pid}/comm", "rb") as comm:
            name = clean(comm.read().decode(errors="replace")).strip()  # any user may call it what they like
    except OSError:  # it has just gone
        return ""
    return f"port {port} is held by pid {pid} ({name})"


def _listening_inode(port: int) -> bytes | None:
    wanted = b":%04X" % port
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, "rb") as lines:
                next(lines, None)
                for line in lines:
                    fields = line.split()
                    if fields[3] == LISTEN and fields[1].endswith(wanted):
                        return fields[9]
        except OSError:
            continue
    return None


def _holder(inode: bytes) -> int | None:
    link = f"socket:[{inode.decode()}]"
    for name in _listed("/proc"):
        if name.isdecimal() and any(_link(f"/proc/{name}/fd/{fd}") == link for fd in _listed(f"/proc/{name}/fd")):
            return int(name)
    return None


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # gone, another user's, or no descriptor left
        return []


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # closed meanwhile
        return ""
