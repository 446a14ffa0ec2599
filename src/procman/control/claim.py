"""Who may run in a root folder: the claim, its locks, and the creation and takeover of sockets.

A folder has one procman. A name in the system's own table decides (`names`), which no environment can move. In addition
each usable place is locked by a file, for systems and sandboxes without that table and for older procmans.

A lock file is never unlinked: otherwise two starts could each hold a lock on a file of the same name. It contains the
pid and the path of the socket, a line each.
"""

# pathlib would add 5 ms to every verb:

from __future__ import annotations

import _socket as socket  # as in control/sockets.py
import contextlib
import fcntl
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from procman.control import names
from procman.control.names import PAUSE, TRIES, WAIT_PAUSE, refusal
from procman.control.places import Place, folders, names_of, older_places
from procman.control.sockets import connect, is_trusted, listen, peer_of
from procman.errors import RefusedError
from procman.later import later

if TYPE_CHECKING:
    from procman.control import find
else:
    find = later(__name__, "procman.control.find")

Names: TypeAlias = dict[str, socket.socket]

ELSEWHERE = -1
"""Stands for the pid of a holder in another PID namespace."""


class Wanted(Struct, frozen=True):
    """What a start asks for: the places of its socket, the best first, and every name of the folders that it runs."""

    places: list[Place]
    roots: tuple[str, ...] = ()
    label: str = ""


class Claim:
    """The right to run here: the listening socket and the locks. `guards` lock the places that were not chosen, and the
    folders, so that no other folder gets the inode that the names contain.

    `names` are sockets that listen, too: through them a client finds procman from any environment, and a second start
    is refused from any.
    """

    def __init__(self, place: Place, listener: socket.socket, locks: tuple[int, ...], names: Names, label: str) -> None:
        self.label = label
        self.place = place
        self.listener = listener
        self.lock_fd, *guards = locks
        self.guards = tuple(guards)
        self.names = names
        self._file = _file(place)

    @property
    def listeners(self) -> tuple[socket.socket, ...]:
        """All listening sockets to be served."""
        return (self.listener, *self.names.values())

    @property
    def held(self) -> tuple[int, ...]:
        """The descriptors whose locks keep other procmans away, as long as any process has them open."""
        return (self.lock_fd, *self.guards, *(name.fileno() for name in self.names.values()))

    def follow(self, root: str) -> list[socket.socket]:
        """Claim this root too; returns the sockets to listen on. Raises RefusedError if another procman runs there."""
        fresh = _hold_names(Wanted([], (root,), self.label), lambda _pid: None, self.names)
        self.names |= fresh
        self.guards += names.keep_inodes((root,) if fresh else ())
        return [*fresh.values()]

    def renew(self) -> socket.socket | None:
        """A new socket in place of one that disappeared, for example with the folder of a user who logged out, else None."""
        if self.place.socket.startswith("@") or _file(self.place) == self._file:
            return None
        fd = listener = None
        with contextlib.suppress(RefusedError):  # another process has it by now
            is_locked = self._is_locked()
            fd = None if is_locked else _lock(self.place, lambda _pid: None)
            listener = _listen(self.place) if is_locked or fd is not None else None
        if listener is None:
            if fd is not None:
                os.close(fd)
            return None
        if fd is not None:
            _sign(fd, self.place)
            self.guards = (*self.guards, fd)
        self.listener = listener
        self._file = _file(self.place)
        return listener

    def _is_locked(self) -> bool:
        """Whether the lock file that we hold is the one that others would find."""
        try:
            return os.path.samestat(os.stat(self.place.lock), os.fstat(self.lock_fd))
        except OSError:  # deleted with its folder
            return False

    def release(self) -> None:
        """Release the claim. The lock is held until the socket is removed, so that no other's socket is unlinked."""
        if not self.place.socket.startswith("@"):
            with contextlib.suppress(OSError):  # already deleted, or not accessible: a later start takes it over
                os.unlink(self.place.socket)
        self.listener.close()
        for name in self.names.values():
            name.close()
        for fd in (*self.guards, self.lock_fd):
            os.close(fd)


def _file(place: Place) -> tuple[int, int] | None:
    """The identity of the socket's file; None if there is none."""
    try:
        status = os.lstat(place.socket)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def claim(wanted: Wanted, on_wait: Callable[[int], None] = lambda _pid: None) -> Claim | None:
    """Take the names of the roots, lock every usable place, and listen in the first; None if no place is usable.

    Raises RefusedError if a procman runs here already, and if an explicit place cannot be used. After one that was
    killed it calls `on_wait` once, with its pid, and waits until the processes that it left have ended.
    """
    held: dict[Place, int] = {}
    waits = _once(on_wait)
    with contextlib.ExitStack() as undo:
        taken = _hold_names(wanted, waits, {})
        for name in taken.values():
            undo.callback(name.close)
        _refuse_older(wanted)
        for place in _distinct(wanted.places):
            fd = _lock(place, waits)
            if fd is not None:
                held[place] = fd
                undo.callback(os.close, fd)
        claimed = _claimed(wanted, held, taken)
        if claimed is not None:
            undo.pop_all()
    return claimed


def _claimed(wanted: Wanted, held: dict[Place, int], taken: Names) -> Claim | None:
    """The claim by these locks and names."""
    for place in (p for p in wanted.places if p in held):
        listener = _listen(place)
        if listener is not None:
            locks = (held.pop(place), *held.values())
            for fd in locks:
                _sign(fd, place)
            return Claim(place, listener, (*locks, *names.keep_inodes(wanted.roots)), taken, wanted.label)
    for name, listener in taken.items():  # no folder is writable; procman can still be reached by name
        del taken[name]
        for fd in held.values():
            os.close(fd)
        locks = (os.dup(listener.fileno()), *names.keep_inodes(wanted.roots))
        return Claim(Place(name, ""), listener, locks, taken, wanted.label)
    return None


def _once(on_wait: Callable[[int], None]) -> Callable[[int], None]:
    reported: list[int] = []

    def waits(pid: int) -> None:
        if not reported:
            reported.append(pid)
            on_wait(pid)

    return waits


def _hold_names(wanted: Wanted, on_wait: Callable[[int], None], held: Names) -> Names:
    """Take every name of these roots that is not held already. On RefusedError none of them is kept."""
    fresh: Names = {}
    mine = os.geteuid()
    with contextlib.ExitStack() as undo:
        for base, root in {base: named for named in wanted.roots for base in names_of(named, wanted.label)}.items():
            name = f"{base}/{mine}"
            listener = names.hold(base, root, on_wait) if name not in held else None
            if listener is not None:
                undo.callback(listener.close)
                fresh[name] = listener
        undo.pop_all()
    return fresh


def _refuse_older(wanted: Wanted) -> None:
    """Refuse to start beside an older procman in this container, whose socket has a name without the PID namespace."""
    for root in wanted.roots:
        for place in older_places(folders(os.environ, os.geteuid()), root, wanted.label):
            pid = find.pid_here(place.socket)
            if pid:
                raise refusal(pid)


def _distinct(places: list[Place]) -> list[Place]:
    """The places in an order that all starts share, so that of two starts one wins; of places with the same lock file
    only the first.

    Folders are resolved first: by two names of one folder (`/var/run/user/1000`) a start would meet its own lock.
    """
    files: dict[str, Place] = {}
    for place in places:
        folder, name = os.path.split(place.lock)
        files.setdefault(os.path.join(os.path.realpath(folder), name), place)
    return [files[file] for file in sorted(files)]


def _lock(place: Place, on_wait: Callable[[int], None]) -> int | None:
    """The descriptor that holds the lock of a place; None if the place cannot be used."""
    with contextlib.ExitStack() as undo:
        try:
            fd = _open_lock(place)
            undo.callback(os.close, fd)
            _acquire(fd, on_wait)
        except OSError as error:  # such as ENOLCK of a network file system
            _refuse_explicit(place, error)
            return None
        undo.pop_all()
    return fd


@contextlib.contextmanager
def _own_folder(path: str) -> Iterator[int]:
    """A descriptor of the folder, created if missing and of mode 0700 from now on. Raises OSError unless it belongs to us.

    The descriptor is checked, not the path, as anyone may have put a link or a folder of that name into /tmp.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid():
            raise OSError("its folder is not this user's own")
        if stat.S_IMODE(status.st_mode) != 0o700:
            os.fchmod(fd, 0o700)
        yield fd
    finally:
        os.close(fd)


def _open_lock(place: Place) -> int:
    """The lock file. It must belong to us alone, as it will be written to: in an open folder it may be a trap."""
    folder, name = os.path.split(place.lock)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if place.explicit:
        fd = os.open(place.lock, flags, 0o600)
    else:
        with _own_folder(folder) as descriptor:
            fd = os.open(name, flags, 0o600, dir_fd=descriptor)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink != 1:
        os.close(fd)
        raise OSError("its lock file is not this user's own, or has another name too")
    return fd


def _refuse_explicit(place: Place, error: OSError) -> None:
    """Refuse an explicit place that cannot be used. Other places are skipped."""
    if place.explicit:
        why = error.strerror or str(error)
        raise RefusedError(f"cannot use the socket {place.socket}: {why}", "name another with --socket, or none")


def _acquire(fd: int, on_wait: Callable[[int], None]) -> None:
    """Take the lock, or raise RefusedError with the pid of its holder.

    The holder writes its pid just after locking: for a moment the file may contain a dead procman's. If it stays, that
    procman's guardian holds the lock.
    """
    for attempt in itertools.count(1):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, path = find.signature(fd)
            holder = _holder(pid, path, fd)
            if holder == ELSEWHERE:
                raise OSError("a procman of another PID namespace has it") from None
            if holder is not None or (not pid and attempt >= TRIES):
                raise refusal(holder or 0) from None
            if attempt == TRIES:
                on_wait(pid)
            time.sleep(PAUSE if attempt < TRIES else WAIT_PAUSE)
        else:
            return


def _holder(pid: int, path: str, fd: int) -> int | None:
    """The pid of a lock file's living holder, 0 if unknown; None if the process that wrote its pid is dead.

    A living holder has the file open, or listens on the socket. The pid alone may belong to another process by now, or be a
    different number in another PID namespace.
    """
    if pid and find.has_open(pid, fd):
        return pid
    try:
        with contextlib.closing(connect(path)) as peer:
            return peer_of(peer)[0] or (ELSEWHERE if names.AVAILABLE else 0)
    except (PermissionError, BlockingIOError):  # a process listens, but cannot be asked
        return 0
    except OSError:
        return None


def _sign(fd: int, place: Place) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same, only a refusal cannot name us
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n%s\n" % (os.getpid(), os.fsencode(place.socket)), 0)


def _listen(place: Place) -> socket.socket | None:
    """A listening socket of mode 0600, in place of a dead one; None if the place cannot be used."""
    try:
        _remove_stale(place)
        before = os.umask(0o177)  # the socket never has another mode than 0600
        try:
            return listen(place.socket)
        finally:
            os.umask(before)
    except OSError as error:
        _refuse_explicit(place, error)
        return None


def _remove_stale(place: Place) -> None:
    """Remove the socket of a dead procman. If it answers it is alive, although its lock file may have been deleted.
    Raises RefusedError if a procman runs, OSError if the place cannot be used.
    """
    try:
        status = os.lstat(place.socket)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise OSError("a file that is not a socket is in its place")
    try:
        with contextlib.closing(connect(place.socket)) as peer:
            if is_trusted(peer, place.socket):
                raise refusal(peer_of(peer)[0])
        # a stranger's, from when others could write here; the sticky folder does not let us remove it
        os.unlink(place.socket)
    except BlockingIOError:
        raise refusal(0) from None
    except ConnectionRefusedError:
        os.unlink(place.socket)
