"""Finds the procman that runs a folder, by any of the folder's names and from any environment.

Knows the candidates (`places`, `names`) and which of them to trust; does not know what is said over a socket.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping

from procman.control import names
from procman.control.places import folders, inner_sockets, logical, names_of, older_places, places_in, temporary
from procman.control.sockets import answers, connect, is_trusted, peer_of, user_name
from procman.errors import NotRunningError


def find(start: str, explicit: str | None, environ: Mapping[str, str], label: str = "") -> str:
    """The socket of the procman that runs this folder or one above it, up to the first that has a Procfile. Raises
    NotRunningError.

    The folder is identified by device and inode, and by the path that was used: `current` may have pointed to another
    folder when procman was started. `label` is that of `--name`. `--socket` and PROCMAN_SOCKET override all this.
    """
    override = explicit or environ.get("PROCMAN_SOCKET")
    if override:
        if not answers(override):
            raise NotRunningError(
                f"cannot reach procman: nothing listens on {override}", "start it with `procman start`"
            )
        return override
    try:
        named, real = os.path.abspath(logical(start, environ)), os.path.realpath(start)
    except FileNotFoundError:
        text = "cannot find the current folder: it has been removed"
        raise NotRunningError(text, "change into one that exists, or name one with -d") from None
    seen: list[str] = []
    for first in dict.fromkeys((named, real)):  # as `start` looks for a Procfile
        for folder in _upwards(first):
            path = next((path for path in sockets_of(folder, environ, label) if answers(path)), None)
            if path is not None:
                return path
            seen.append(folder)
        if os.path.exists(os.path.join(seen[-1], "Procfile")):
            break
    where = next((folder for folder in seen if os.path.exists(os.path.join(folder, "Procfile"))), seen[0])
    if not os.path.isdir(named):
        raise NotRunningError(f"cannot reach procman: there is no folder {named}", "-d names the application's folder")
    raise _unreachable(where, environ, label)


def _unreachable(where: str, environ: Mapping[str, str], label: str) -> NotRunningError:
    """Why no procman can be reached for this folder, as far as it can be found out."""
    pid = _holder(where, environ, label)
    if pid:
        text = f"cannot reach procman: pid {pid} runs for {where}, but its socket is gone"
        return NotRunningError(text, f"`kill -HUP {pid}` makes it again and reloads; `kill {pid}` ends it")
    other = names.of_another_user(names_of(where, label))
    if other is not None:
        user = user_name(other.uid) or other.uid
        text = f"cannot reach procman: pid {other.pid} of user {user} runs for {where}, and only that user and root may use it"
        return NotRunningError(
            text,
            f"run the command as that user: `sudo -u {user} procman …`, or in a container `docker exec -u {user} …`",
        )
    others = [name for name in names.labels(names_of(where)) if name != label]
    hint = f"start it with `procman start{f' --name {label}' if label else ''}`"
    if not os.path.exists(os.path.join(where, "Procfile")):
        hint += ", or name the folder of one that runs: -d DIR"
    if len(others) == 1:
        hint = f"the formation {others[0]} runs here: `--name {others[0]}`, or PROCMAN_NAME={others[0]}, talks to it"
    elif others:
        hint = (
            f"the formations {', '.join(others)} run here: `--name`, or the variable PROCMAN_NAME, says which is meant"
        )
    return NotRunningError(
        f"cannot reach procman: no procman{f' named {label}' if label else ''} runs for {where}", hint
    )


def _upwards(folder: str) -> Iterator[str]:
    """The folder and those above it, up to the first that has a Procfile."""
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder or os.path.exists(os.path.join(folder, "Procfile")):
            return
        folder = above


def sockets_of(root: str, environ: Mapping[str, str], label: str = "") -> Iterator[str]:
    """Every socket that a procman of this root may have. Root also searches where the folder's owner would."""
    mine = os.geteuid()
    candidates, trusted = folders(environ, mine), {mine}
    if mine == 0:
        with contextlib.suppress(OSError):  # no such folder: nothing runs there
            owner = os.stat(root).st_uid
            candidates += [f"/run/user/{owner}/procman", temporary(environ, owner)]
            trusted.add(owner)
    for place in places_in(candidates, root, label):
        if _is_private(os.path.dirname(place.socket), trusted):
            yield place.socket
            named = _named_in(place.lock)
            if named and named != place.socket:
                yield named
    for base in names_of(root, label):
        yield from names.serving(base, root)
    for place in older_places(candidates, root, label):
        if _is_private(os.path.dirname(place.socket), trusted) and pid_here(place.socket):
            yield place.socket
    for folder in dict.fromkeys(candidates):  # seen from outside, one in an inner container
        if _is_private(folder, trusted):
            yield from (path for path in inner_sockets(folder, root, label) if pid_here(path))


def pid_here(path: str) -> int:
    """The pid of the listener, where we can see it: it is in our PID namespace or in one below it; 0 elsewhere."""
    try:
        with contextlib.closing(connect(path)) as peer:
            return peer_of(peer)[0] if is_trusted(peer, path) else 0
    except OSError:
        return 0


def _is_private(folder: str, trusted: set[int]) -> bool:
    """Whether only these users can have put a socket there."""
    try:
        status = os.lstat(folder)
    except OSError:  # missing, or not accessible
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid in trusted and not status.st_mode & 0o022


def _named_in(lock: str) -> str:
    """The socket that the holder of a lock names, possibly in a place that this environment does not know.

    Only if the holder is the one that listens there: the explicit socket of a dead procman may belong to another root
    by now.
    """
    with contextlib.suppress(OSError), _opened(lock) as fd:  # no procman has ever started there
        pid, path = signature(fd)
        return path if path and _is_listened_on_by(pid, path) else ""
    return ""


@contextlib.contextmanager
def _opened(lock: str) -> Iterator[int]:
    fd = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


def signature(fd: int) -> tuple[int, str]:
    """The pid and the socket in a lock file; 0 and "" if they are missing."""
    pid, _, path = os.pread(fd, 4096, 0).partition(b"\n")
    return (int(pid), os.fsdecode(path.rstrip(b"\n"))) if pid.isdigit() else (0, "")


def _is_listened_on_by(pid: int, path: str) -> bool:
    try:
        with contextlib.closing(connect(path)) as peer:
            return peer_of(peer)[0] in (pid, 0) and is_trusted(peer, path)
    except (PermissionError, BlockingIOError):  # a process listens, but cannot be asked
        return True
    except OSError:
        return False


def _holder(root: str, environ: Mapping[str, str], label: str) -> int:
    """The pid of a process that holds a lock of this root and no longer listens anywhere; 0 if there is none."""
    for place in places_in(folders(environ, os.geteuid()), root, label):
        # no procman has ever started there, or it cannot be locked (ENOLCK of a network file system)
        with contextlib.suppress(OSError), _opened(place.lock) as fd:
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, _ = signature(fd)
                if has_open(pid, fd):
                    return pid
    return 0


def has_open(pid: int, fd: int) -> bool:
    """Whether this process has the same file open as `fd`. A pid alone may belong to another process by now."""
    folder, file = f"/proc/{pid}/fd", os.fstat(fd)
    besides = str(fd) if pid == os.getpid() else ""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:  # it has ended; without /proc there is no guardian either that could hold the lock
        return not os.path.exists("/proc/self") and _alive(pid)
    except OSError:  # it belongs to another user, or is a zombie
        return False
    for name in names:
        with contextlib.suppress(OSError):  # closed meanwhile
            if name != besides and os.path.samestat(os.stat(f"{folder}/{name}"), file):
                return True
    return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
