"""The names of a root in the system's own table: a lock that no environment can move, and a socket that is always
found. Takes names, and finds out who holds one.

A name is an abstract socket (unix(7)): one process at a time has it, however that was started, and it disappears with
the process. The system says who has it, so that a stranger who takes a name is not mistaken for procman. Where there is
no such table (macOS, a sandbox) the file locks of `claim` hold.
"""

from __future__ import annotations

import _socket as socket  # as in control/sockets.py
import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from msgspec import Struct

from procman.control.sockets import connect, listen, peer_of, state_of, user_name
from procman.errors import RefusedError

TRIES, PAUSE = 100, 0.005
"""How often, and how many seconds apart, a process is asked that has its name and does not listen yet, or has its lock
and has not written its pid.
"""

WAIT_PAUSE = 0.05
"""Seconds between attempts to get the name or the lock of a dead procman. Its guardian holds them until everything it left
has ended.
"""

MOST_USERS = 16
"""The users whose processes root accepts as running a folder: anyone can take any number of names, and answer on none.
"""

AVAILABLE = sys.platform == "linux"

TABLE = "/proc/net/unix"


class Holder(Struct, frozen=True):
    """The process that holds a name. `alive` is False if only the guardian of a killed procman holds it."""

    pid: int
    uid: int
    alive: bool


def hold(base: str, root: str, on_wait: Callable[[int], None]) -> socket.socket | None:
    """The listening socket of this name; None if there can be none, or if a stranger has taken it.

    Raises RefusedError if a relevant procman has the name: one of this user, of root, of the folder's owner, and for
    root any that is in the folder. After a procman that was killed it waits, and calls `on_wait` each time it asks.
    """
    if not AVAILABLE:
        return None
    mine = os.geteuid()
    listener = _take(f"{base}/{mine}", mine, on_wait)
    if listener is not None:
        try:
            for uid in _users(base, root):
                if uid != mine:
                    _wait_for(f"{base}/{uid}", uid, root, on_wait)
        except BaseException:
            listener.close()
            raise
    return listener


def keep_inodes(roots: Iterable[str]) -> tuple[int, ...]:
    """A descriptor of each folder: as long as one is open no other folder gets the inode in its names, also when the
    folder has been deleted.
    """
    opened: dict[tuple[int, int], int] = {}
    for root in roots if AVAILABLE else ():
        with contextlib.suppress(OSError):  # no such folder, or no descriptor left: it matters only once it is removed
            fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            status = os.fstat(fd)
            if opened.setdefault((status.st_dev, status.st_ino), fd) != fd:
                os.close(fd)
    return tuple(opened.values())


def _take(name: str, uid: int, on_wait: Callable[[int], None]) -> socket.socket | None:
    for attempt in range(sys.maxsize):
        try:
            return listen(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return None
        if attempt > TRIES and attempt % 20:
            time.sleep(WAIT_PAUSE)
            continue  # each attempt stays in the queue of a dead procman's socket
        holder = holder_of(name)
        if holder is None and attempt < TRIES:  # it has the name and does not listen yet
            time.sleep(PAUSE)
        elif holder is None or holder.uid != uid:
            return None
        elif holder.alive:
            raise refusal(holder.pid, holder.uid)
        else:
            on_wait(holder.pid)
            time.sleep(WAIT_PAUSE)
    raise AssertionError


def _wait_for(name: str, uid: int, root: str, on_wait: Callable[[int], None]) -> None:
    """Wait until no relevant process has this name."""
    while (holder := holder_of(name)) is not None and holder.uid == uid and _counts(holder, root):
        if holder.alive:
            raise refusal(holder.pid, holder.uid)
        on_wait(holder.pid)
        time.sleep(1.0)


def serving(base: str, root: str) -> Iterator[str]:
    """The names on which a procman answers that this user may talk to."""
    mine = os.geteuid()
    for uid in _users(base, root) if AVAILABLE else ():
        if mine in (uid, 0):
            name = f"{base}/{uid}"
            holder = holder_of(name)
            if holder is not None and holder.alive and holder.uid == uid and _counts(holder, root):
                yield name


def of_another_user(bases: Iterable[str]) -> Holder | None:
    """The living procman of another user that runs a root, as far as its names tell: this user may not talk to it."""
    mine = os.geteuid()
    named = ((base, uid) for base in (bases if AVAILABLE else ()) for uid in _named(base) if uid != mine)
    for base, uid in islice(named, MOST_USERS):
        holder = holder_of(f"{base}/{uid}")
        if holder is not None and holder.alive and holder.uid == uid:
            return holder
    return None


def labels(bases: Iterable[str]) -> list[str]:
    """The `--name` of every formation that this user runs in a root, or for root any user. `bases` are the root's names
    without a `--name`.
    """
    users = f"/{os.geteuid()}" if os.geteuid() != 0 else ""
    found: dict[str, None] = {}
    for path, _ in _table():
        name = path.rpartition("/")[0]
        for base in bases:
            if name.startswith(f"{base}:") and path.endswith(users):
                found[name.removeprefix(f"{base}:")] = None
    return sorted(found)


def holder_of(name: str) -> Holder | None:
    """The process that listens there; None if none does, or no longer does. One with a full queue is alive but cannot
    be identified.
    """
    try:
        with contextlib.closing(connect(name, timeout=0.2)) as peer:
            pid, uid = peer_of(peer)
    except OSError:
        return None
    table = _table()
    inodes = [inode for path, inode in table if path == name]
    if not inodes and table:
        return None
    return Holder(pid, uid, _is_alive(pid, inodes))


def _is_alive(pid: int, inodes: list[str]) -> bool:
    """Whether this process has the name itself, and not only its guardian, which inherited it."""
    try:
        links = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        return state_of(pid) not in ("", "Z")
    except OSError:  # it has ended; without /proc there is no guardian
        return not os.path.exists("/proc/self")
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for link in links:
        try:
            if os.readlink(f"/proc/{pid}/fd/{link}") in wanted:
                return True
        except PermissionError:  # listed but hidden: it is outside our user namespace (ptrace(2))
            return state_of(pid) not in ("", "Z")
        except OSError:  # closed meanwhile
            continue
    return not wanted


def _table() -> list[tuple[str, str]]:
    """The path and the inode of every Unix socket that has a path, and before them the headings."""
    try:
        with open(TABLE, encoding="utf-8", errors="replace") as lines:
            rows = [line.rstrip("\n").split(maxsplit=7) for line in lines]
    except OSError:  # no /proc, or hidden in a sandbox
        return []
    return [(row[7], row[6]) for row in rows if len(row) == 8]


def _users(base: str, root: str) -> list[int]:
    """The users whose names are checked: this user, root, the folder's owner, and for root all that exist."""
    users = {os.geteuid(): None, 0: None}
    with contextlib.suppress(OSError):  # the folder does not exist any more
        users[os.stat(root).st_uid] = None
    if os.geteuid() == 0:
        for uid in _named(base):
            if len(users) < MOST_USERS:
                users[uid] = None
    return list(users)


def _named(base: str) -> Iterator[int]:
    """The users for whom the table has a name of this root: anyone can have taken it."""
    start = f"{base}/"
    for path, _ in _table():
        uid = path.removeprefix(start)
        if uid != path and uid.isdecimal() and len(uid) < 11:
            yield int(uid)


def _counts(holder: Holder, root: str) -> bool:
    """Whether this process may keep us from running there. As anyone can take a name, a process of another user must
    also be in the folder.
    """
    if holder.uid in (os.geteuid(), 0):
        return True
    try:
        folder = os.stat(root)
        return holder.uid == folder.st_uid or os.path.samestat(folder, os.stat(f"/proc/{holder.pid}/cwd"))
    except OSError:  # missing, or not accessible
        return False


def refusal(pid: int, uid: int | None = None) -> RefusedError:
    """The refusal to start where a procman runs already."""
    whose = "" if uid is None or uid == os.geteuid() else f", user {user_name(uid) or uid}"
    who = f"procman (pid {pid}{whose})" if pid else "another procman"
    how = "only that user and root may use it" if whose else "see `procman ps`; `procman shutdown` ends it"
    return RefusedError(
        f"cannot start: {who} already runs here", f"{how}, and --name NAME starts another formation of this folder"
    )
