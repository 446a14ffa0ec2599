"""Unix sockets as such: connecting in bounded time, paths of any length, and who is at the other end.

Knows nothing of where procman's socket is (`places`) or what is said over it. A path that begins with `@` is an abstract
name (unix(7)), as `ss` and systemd write them: it is no file, and only its peer's credentials say whose it is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterator

MAX_ADDRESS = 107 if sys.platform == "linux" else 103
"""Bytes of a path that sun_path takes, its NUL not counted (unix(7))."""

CONNECT_SECONDS = 1.0

ABSTRACT = "@procman/"
"""How the names begin that are procman's own; any other `@` is a file's."""


def answers(path: str, timeout: float = CONNECT_SECONDS) -> bool:
    """Whether anyone listens there. One who may not be talked to, or is too busy, does."""
    try:
        connect(path, timeout).close()
    except (PermissionError, BlockingIOError):
        return True
    except OSError:
        return False
    return True


def connect(path: str, timeout: float = CONNECT_SECONDS) -> socket.socket:
    """A connected, blocking socket. BlockingIOError where procman does not get round to it in `timeout` seconds."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The kernel's own timeout: a non-blocking connect fails at once where many come together (unix(7): EAGAIN).
        seconds, rest = divmod(max(timeout, 0.001), 1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(seconds), int(rest * 1e6)))
        with address_of(path) as address:
            peer.connect(address)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 0))
    except BaseException:
        peer.close()
        raise
    return peer


@contextlib.contextmanager
def address_of(path: str) -> Iterator[str]:
    """The path as an address: where it is too long for one, through a descriptor of its folder (Linux)."""
    if path.startswith(ABSTRACT):
        yield "\0" + path[1:]
        return
    if len(os.fsencode(path)) <= MAX_ADDRESS:
        yield path
        return
    fd = os.open(os.path.dirname(path) or os.curdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = f"/proc/self/fd/{fd}/{os.path.basename(path)}"
        if len(os.fsencode(short)) > MAX_ADDRESS or not os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(f"its path is longer than {MAX_ADDRESS} bytes")
        yield short
    finally:
        os.close(fd)


def is_trusted(connection: socket.socket, path: str) -> bool:
    """Whether who listens there is one to be believed: this user or root; for root also the owner of the socket's folder.

    That folder may be open to others (`/tmp`), where anyone can put a socket in the place of one that is gone.
    """
    _, uid = peer_of(connection)
    mine = os.geteuid()
    if uid in (mine, 0):
        return True
    if mine != 0:
        return False
    if path.startswith(ABSTRACT):
        return path.rpartition("/")[2] == str(uid)  # the user in whose folder it was looked for
    try:
        folder = os.stat(os.path.dirname(path) or os.curdir)
    except OSError:
        return False
    return folder.st_uid == uid and not folder.st_mode & 0o022


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """The pid and effective uid at the other end (of a listener: as it began to listen); pid 0 where not told."""
    if hasattr(socket, "SO_PEERCRED"):
        pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return pid, uid
    # LOCAL_PEERCRED of macOS and FreeBSD (unix(4)): struct xucred begins with a version and the effective uid.
    _, uid = struct.unpack("2I", connection.getsockopt(0, 1, 76)[:8])
    return 0, uid
