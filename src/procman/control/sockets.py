"""Unix sockets: connecting within a limited time, paths of any length, and who is at the other end.

Knows neither where procman's socket is (`places`) nor what is said over it. A path that starts with `@` is an abstract
name (unix(7)), as `ss` and systemd write them: it is not a file, and only the peer's credentials say whose it is.

`socket` is imported as `_socket`, which it is made of: its enumerations would take 0.15 MB of procman, and 1 ms of each
command. A socket of that is no context manager, and its `accept` has another name.
"""

from __future__ import annotations

import _socket as socket
import contextlib
import os
import struct
import sys
from collections.abc import Iterator

MAX_ADDRESS = 107 if sys.platform == "linux" else 103
"""Most bytes of a path in sun_path, without its NUL (unix(7))."""

CONNECT_SECONDS = 1.0
BACKLOG = 512

ABSTRACT = "@procman/"
"""The start of procman's own abstract names; any other path that starts with `@` is a file."""


def answers(path: str, timeout: float = CONNECT_SECONDS) -> bool:
    """Whether a process listens there. True also if we may not talk to it, or if it is too busy."""
    try:
        connect(path, timeout).close()
    except (PermissionError, BlockingIOError):
        return True
    except OSError:
        return False
    return True


def why_no_socket() -> str:
    """Why no socket could be made in any of the folders."""
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as tried:
            if sys.platform == "linux":  # elsewhere only a path can be tried
                tried.bind("")  # any free name (unix(7))
                tried.listen(1)
    except OSError as error:
        return f"the system refuses Unix sockets ({error.strerror})"
    return "no folder for it can be written"


def connect(path: str, timeout: float = CONNECT_SECONDS) -> socket.socket:
    """A connected, blocking socket. Raises BlockingIOError if procman does not accept within `timeout` seconds."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # the kernel's own timeout: a non-blocking connect fails at once where many connect together (unix(7): EAGAIN)
        seconds, rest = divmod(max(timeout, 0.001), 1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(seconds), int(rest * 1e6)))
        with address_of(path) as address:
            peer.connect(address)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 0))
    except BaseException:
        peer.close()
        raise
    return peer


def listen(path: str) -> socket.socket:
    """A listening socket that does not block."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with address_of(path) as address:
            listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)  # noqa: FBT003  the standard library's signature
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def address_of(path: str) -> Iterator[str]:
    """The path as an address. A path that is too long is written through a descriptor of its folder (Linux)."""
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
    """Whether to trust the listener: it is this user or root, or for root also the owner of the socket's folder.

    That folder may be writable for others (`/tmp`), where anyone can put a socket in the place of one that has
    disappeared.
    """
    _, uid = peer_of(connection)
    mine = os.geteuid()
    if uid in (mine, 0):
        return True
    if mine != 0:
        return False
    if path.startswith(ABSTRACT):
        return path.rpartition("/")[2] == str(uid)  # the user in whose folder it was searched for
    try:
        folder = os.stat(os.path.dirname(path) or os.curdir)
    except OSError:
        return False
    return folder.st_uid == uid and not folder.st_mode & 0o022


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """The pid and the effective uid of the peer (of a listener: when it began to listen); pid 0 if unknown."""
    if hasattr(socket, "SO_PEERCRED"):
        pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return pid, uid
    # LOCAL_PEERCRED of macOS and FreeBSD (unix(4)): struct xucred begins with a version and the effective uid.
    _, uid = struct.unpack("2I", connection.getsockopt(0, 1, 76)[:8])
    return 0, uid


def user_name(uid: int) -> str:
    """The name of a user; "" if the system has none."""
    import pwd  # noqa: PLC0415  only on the way to an error

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def state_of(pid: int) -> str:
    """The letter of a process's state (proc(5)); "" if it has ended or cannot be seen."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return ""
