"""Where the control socket of a root folder is: one rule for procman, which claims it, and its clients, who find it.

Owns the candidate places, the locks that decide who runs here, and the making and taking over of sockets. Knows
nothing of what is said over a socket.

A lock file is never unlinked: two starts could else each hold a lock on a file of the same name. It holds the pid and
the socket's path, a line each. procman locks every place that it can use, not only the one of its socket, so that a
second start or a client with another XDG_RUNTIME_DIR meets the first one.
"""

# pathlib would add 5 ms to every verb:

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from procman.control.sockets import address_of, answers, connect, is_trusted, peer_of
from procman.errors import NotRunningError, RefusedError

try:  # hashlib's own, without the OpenSSL that hashlib loads: 2-4 ms and 3.8 MB of every start
    from _blake2 import blake2b
except ImportError:  # not CPython
    from hashlib import blake2b


__all__ = ["Claim", "Place", "answers", "claim", "connect", "find", "peer_of", "start_places"]

BACKLOG = 512
PID_TRIES, PID_PAUSE = 100, 0.005
"""How often, and how many seconds apart, the pid of the one who holds a lock is read: it is written just after."""

WAIT_PAUSE = 0.05
"""Seconds between tries for the lock of a dead one, which its guardian holds until what it left behind has ended."""


class Place(Struct, frozen=True):
    """One candidate. `explicit`: named by the user, in a folder that need not be procman's own."""

    socket: str
    lock: str
    explicit: bool = False


class Claim:
    """The right to run here: the listening socket and the held locks. `guards` lock the places not chosen."""

    def __init__(self, place: Place, listener: socket.socket, lock_fd: int, guards: tuple[int, ...] = ()) -> None:
        self.place = place
        self.listener = listener
        self.lock_fd = lock_fd
        self.guards = guards

    def release(self) -> None:
        """Give the place up. The lock is held until the socket is gone, so that nobody else's is unlinked."""
        with contextlib.suppress(OSError):  # already gone, or the folder was closed to us: a later start takes it over
            os.unlink(self.place.socket)
        self.listener.close()
        for fd in (*self.guards, self.lock_fd):
            os.close(fd)


# ---- the candidates


def start_places(root: str, explicit: str | None, environ: Mapping[str, str]) -> list[Place]:
    """Where procman of this root may listen, the best first. With an explicit place the others only guard the root."""
    places = _places(root, _folders(environ, os.geteuid()))
    if explicit is None:
        return places
    path = os.path.abspath(explicit)
    return [Place(path, path + ".lock", explicit=True), *places]


def _folders(environ: Mapping[str, str], uid: int) -> list[str]:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    folders = [f"{runtime}/procman"] if os.path.isabs(runtime) else []  # a relative one is to be ignored (XDG)
    return [*folders, f"/run/user/{uid}/procman", _temporary(environ, uid)]


def _temporary(environ: Mapping[str, str], uid: int) -> str:
    folder = environ.get("TMPDIR", "")
    return os.path.join(folder if os.path.isabs(folder) else "/tmp", f"procman-{uid}")  # noqa: S108  0700, checked


def _places(root: str, folders: list[str]) -> list[Place]:
    digest = blake2b(os.fsencode(os.path.realpath(root)), digest_size=8).hexdigest()
    stems = (os.path.join(os.path.normpath(folder), digest) for folder in folders)
    return [Place(f"{stem}.sock", f"{stem}.lock") for stem in dict.fromkeys(stems)]


def trace_file(socket: str | None) -> str:
    """Where a trace of what procman decided is written: beside its socket, else in the temporary directory."""
    if socket is None:
        return os.path.join(_temporary(os.environ, os.geteuid()) + f"-{os.getpid()}.trace")
    return socket.removesuffix(".sock") + ".trace"


# ---- procman's side


def claim(places: list[Place], on_wait: Callable[[int], None] = lambda _pid: None) -> Claim | None:
    """Lock every place that can be used and listen in the first; None where there is none.

    Raises RefusedError where a procman runs here already, and where an explicit place cannot be used. After one that was
    killed it waits until the processes that it left have ended; `on_wait` is then called once, with its pid.
    """
    held: dict[Place, int] = {}
    try:
        for place in _distinct(places):
            fd = _lock(place, on_wait)
            if fd is not None:
                held[place] = fd
        for place in (p for p in places if p in held):
            listener = _listen(place)
            if listener is not None:
                lock_fd = held.pop(place)
                guards = tuple(held.values())
                for fd in (lock_fd, *guards):
                    _sign(fd, place)
                return Claim(place, listener, lock_fd, guards)
    except RefusedError:
        _close_all(held)
        raise
    _close_all(held)
    return None


def _distinct(places: list[Place]) -> list[Place]:
    """The places in one order for all, so that of two starts one wins; of two with the same lock file only the first.

    The folders are resolved: by two names of one (`/var/run/user/1000`) we would meet our own lock.
    """
    files: dict[str, Place] = {}
    for place in places:
        folder, name = os.path.split(place.lock)
        files.setdefault(os.path.join(os.path.realpath(folder), name), place)
    return [files[file] for file in sorted(files)]


def _close_all(held: dict[Place, int]) -> None:
    for fd in held.values():
        os.close(fd)


def _lock(place: Place, on_wait: Callable[[int], None]) -> int | None:
    """The descriptor that holds the place's lock; None where the place cannot be used."""
    try:
        if place.explicit:
            fd = _open_lock(place.lock, None)
        else:
            folder = _own_folder(os.path.dirname(place.lock))
            if folder is None:
                return None
            try:
                fd = _open_lock(os.path.basename(place.lock), folder)
            finally:
                os.close(folder)
    except OSError as error:
        _refuse_explicit(place, error)
        return None
    try:
        _acquire(fd, on_wait)
    except OSError as error:  # such as ENOLCK of a network file system
        os.close(fd)
        _refuse_explicit(place, error)
        return None
    except RefusedError:
        os.close(fd)
        raise
    return fd


def _own_folder(path: str) -> int | None:
    """A descriptor of the folder, made where it is missing; None unless it is ours, and 0700 from now on.

    The folder is checked by descriptor, as anyone may have put a link or a folder of that name into /tmp.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    status = os.fstat(fd)
    if status.st_uid != os.geteuid():
        os.close(fd)
        return None
    if stat.S_IMODE(status.st_mode) != 0o700:
        os.fchmod(fd, 0o700)
    return fd


def _open_lock(name: str, folder: int | None) -> int:
    """The lock file, which will be written to, so it must be ours alone: a folder that others may write can be a trap."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=folder)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink != 1:
        os.close(fd)
        raise OSError("its lock file is not this user's own, or has another name too")
    return fd


def _refuse_explicit(place: Place, error: OSError) -> None:
    """A place that cannot be used is passed over, unless the user named it."""
    if place.explicit:
        why = error.strerror or str(error)
        raise RefusedError(f"cannot use the socket {place.socket}: {why}", "name another with --socket, or none")


def _acquire(fd: int, on_wait: Callable[[int], None]) -> None:
    """Take the lock, or raise RefusedError with the pid of the one who holds it.

    The pid in the file may for a moment still be that of a dead one. If it stays, a guardian holds the lock in its place.
    """
    for attempt in itertools.count(1):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, path = _signature(fd)
            holder = _holder(pid, path, fd)
            if holder is not None or (not pid and attempt >= PID_TRIES):
                raise _taken(holder or 0) from None
            if attempt == PID_TRIES:
                on_wait(pid)
            time.sleep(PID_PAUSE if attempt < PID_TRIES else WAIT_PAUSE)
        else:
            return


def _holder(pid: int, path: str, fd: int) -> int | None:
    """The pid of a living one that holds a lock file, 0 where it cannot be told; None where who signed it is dead.

    It has the file open, or listens on the socket: the pid that it signed with may be somebody else's by now, or be
    another in its own PID namespace.
    """
    if pid and _has_open(pid, os.fstat(fd)):
        return pid
    try:
        with connect(path) as peer:
            return peer_of(peer)[0]
    except (PermissionError, BlockingIOError):  # somebody listens, but cannot be asked
        return 0
    except OSError:
        return None


def _has_open(pid: int, file: os.stat_result) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except FileNotFoundError:  # it is gone; or there is no /proc, and so no guardian that could hold the lock instead
        return not os.path.exists("/proc/self") and _alive(pid)
    except OSError:  # another user's, or a zombie
        return False
    for name in names:
        with contextlib.suppress(OSError):  # closed meanwhile
            if os.path.samestat(os.stat(f"{folder}/{name}"), file):
                return True
    return False


def _taken(pid: int) -> RefusedError:
    who = f"procman (pid {pid})" if pid else "another procman"
    return RefusedError(f"cannot start: {who} already runs here", "see `procman ps`; `procman shutdown` ends it")


def _sign(fd: int, place: Place) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock holds without it, only a refusal cannot name us
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n%s\n" % (os.getpid(), os.fsencode(place.socket)), 0)


def _signature(fd: int) -> tuple[int, str]:
    """The pid and the socket that a lock file names; 0 and "" where it does not."""
    pid, _, path = os.pread(fd, 4096, 0).partition(b"\n")
    return (int(pid), os.fsdecode(path.rstrip(b"\n"))) if pid.isdigit() else (0, "")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _listen(place: Place) -> socket.socket | None:
    """A listening socket of mode 0600, a dead one's taken over; None where the place cannot be used."""
    try:
        _remove_stale(place)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # so that the socket never has another mode than 0600
        try:
            with address_of(place.socket) as address:
                listener.bind(address)
            listener.listen(BACKLOG)
            listener.setblocking(False)  # noqa: FBT003  the standard library's signature
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(before)
    except OSError as error:
        _refuse_explicit(place, error)
        return None
    return listener


def _remove_stale(place: Place) -> None:
    """Remove the socket of a dead procman. One that answers is not dead: its lock file may have been cleaned away.

    Raises RefusedError where one runs, OSError where the place cannot be used.
    """
    try:
        status = os.lstat(place.socket)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise OSError("a file that is no socket is in its place")
    try:
        with connect(place.socket) as peer:
            if is_trusted(peer, place.socket):
                raise _taken(peer_of(peer)[0])
        os.unlink(place.socket)  # a stranger's, from when others could write here; not to be removed from their folder
    except BlockingIOError:
        raise _taken(0) from None
    except ConnectionRefusedError:
        os.unlink(place.socket)


# ---- the clients' side


def find(start: str, explicit: str | None, environ: Mapping[str, str]) -> str:
    """The socket of the procman that runs for a folder or one above it, up to the first that has a Procfile.

    `--socket` and PROCMAN_SOCKET override. Raises NotRunningError.
    """
    override = explicit or environ.get("PROCMAN_SOCKET")
    if override:
        if not answers(override):
            raise NotRunningError(f"cannot reach procman: none listens on {override}", "start it with `procman start`")
        return override
    first = folder = os.path.realpath(start)
    while True:
        for path in _sockets(folder, environ):
            if answers(path):
                return path
        above = os.path.dirname(folder)
        has_procfile = os.path.exists(os.path.join(folder, "Procfile"))
        if has_procfile or above == folder:
            where = folder if has_procfile else first
            raise NotRunningError(f"cannot reach procman: none runs for {where}", "start it with `procman start`")
        folder = above


def _sockets(root: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Every socket that a procman of this root may have. Root also looks where the folder's owner would."""
    mine = os.geteuid()
    folders, trusted = _folders(environ, mine), {mine}
    if mine == 0:
        with contextlib.suppress(OSError):  # no such folder: nothing runs there
            owner = os.stat(root).st_uid
            folders += [f"/run/user/{owner}/procman", _temporary(environ, owner)]
            trusted.add(owner)
    for place in _places(root, folders):
        if _is_private(os.path.dirname(place.socket), trusted):
            yield place.socket
            named = _named_in(place.lock)
            if named and named != place.socket:
                yield named


def _is_private(folder: str, trusted: set[int]) -> bool:
    """Whether nobody but these users can have put a socket there."""
    try:
        status = os.lstat(folder)
    except OSError:  # not there, or not to be entered
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid in trusted and not status.st_mode & 0o022


def _named_in(lock: str) -> str:
    """The socket that the holder of a lock names, which may be in a place that this environment does not know.

    Only while it is the holder who listens there: a dead one's explicit socket may since be that of another root.
    """
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:  # nobody has started there yet
        return ""
    try:
        pid, path = _signature(fd)
    finally:
        os.close(fd)
    return path if path and _is_listened_on_by(pid, path) else ""


def _is_listened_on_by(pid: int, path: str) -> bool:
    try:
        with connect(path) as peer:
            return peer_of(peer)[0] in (pid, 0) and is_trusted(peer, path)
    except (PermissionError, BlockingIOError):  # somebody listens, but cannot be asked
        return True
    except OSError:
        return False
