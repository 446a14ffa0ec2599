"""Which process descends from which, by the pids of parents, which every user may read (proc_pid_stat(5)).

A process can leave its session and group and hide its environment (ssh-agent), and the environment of another user's
process is hidden anyway. Then only its parents show where it comes from, and only while they live: so what is seen
before a stop is kept. Its output shows it as well, as long as that is the pipe or the terminal that procman reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from procman.kernel.process.children import RunningProcess, all_pids, ancestors, by_parent, read, read_process

if TYPE_CHECKING:
    from procman.kernel.output.stream import ChildStream
    from procman.kernel.process.process import Process

T = TypeVar("T")

MANY = 16
"""Up to this many processes are asked for their children one by one, which takes 40 µs each. For more, all processes
are listed if that takes less: 10 µs for each that is not a leader.
"""

MAIN_THREAD_ONLY = 3
"""The links of a folder with one folder in it, as `/proc/PID/task` of a process with one thread."""

TIOCGPTN = 0x80045430
"""The number of a terminal, asked at its master (ioctl_tty(2))."""


def descendants(whose: Mapping[int, T], leaders: Collection[int] = ()) -> list[tuple[RunningProcess, T]]:
    """All descendants of these processes, each with what it comes from. `leaders` have procman as their parent."""
    children = _lookup(len(whose), leaders)
    found: list[tuple[RunningProcess, T]] = []
    parents, known = list(whose.items()), set(whose)
    while parents:
        parent, origin = parents.pop()
        for one in children(parent):
            if one.pid not in known:
                known.add(one.pid)
                found.append((one, origin))
                parents.append((one.pid, origin))
    return found


def _lookup(count: int, leaders: Collection[int]) -> Callable[[int], Iterable[RunningProcess]]:
    """The quickest way to the children of so many processes."""
    listed = os.path.exists("/proc/thread-self/children")  # else there is no CONFIG_PROC_CHILDREN
    if listed and count <= MANY:
        return _running_children
    others = set(all_pids()).difference(leaders)
    if listed and len(others) > 4 * count:
        return _running_children
    found = by_parent(others)
    return lambda parent: found.get(parent, ())


def _running_children(pid: int) -> list[RunningProcess]:
    return [one for one in map(read_process, children_of(pid)) if one is not None]


def runs_as_we_do(pid: int) -> bool:
    """Whether this process belongs to procman's user, so that a refused signal has another reason."""
    try:
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    except OSError:  # it has gone, or there is no /proc
        return False


def children_of(pid: int) -> list[int]:
    """The children that each of its threads has made; none if it has gone."""
    folder = f"/proc/{pid}/task"
    try:
        threads = [str(pid)] if os.stat(folder).st_nlink == MAIN_THREAD_ONLY else os.listdir(folder)
    except OSError:
        return []
    return [int(child) for thread in threads for child in (read(f"{folder}/{thread}/children") or b"").split()]


def all_ended(group: int) -> bool:
    """Whether this group has members, and all are zombies: their parent, which is not procman, has yet to reap them, and may
    never do it. Without /proc that cannot be known, and none counts as ended. 10 µs for each process of the system.
    """
    stats = (read(f"/proc/{pid}/stat") for pid in all_pids())
    members = [fields for stat in stats if stat and int((fields := stat.rpartition(b")")[2].split())[2]) == group]
    # a process whose first thread has ended is shown as a zombie, too, while its other threads run
    return bool(members) and all(fields[0] in b"ZX" and int(fields[17]) <= 1 for fields in members)


def descends(pid: int, roots: Container[int]) -> bool:
    """Whether one of these is an ancestor of it."""
    return any(ancestor in roots for ancestor in ancestors(pid))


def jobs_of(process: Process) -> list[RunningProcess]:
    """The descendants of the leader that are in its session, or in that of the terminal, and in neither's group: a shell with
    job control (`bash -i`, `set -m`) puts each of its jobs into a group of its own. Needed only where another process
    leads the session, at a terminal: elsewhere procman adopts the jobs as their shell ends.
    """
    everyone = [one for one, _ in descendants({process.pid: process})]
    return [one for one in everyone if one.pid not in process.adopted and _is_job(one.pid, process.groups)]


def _is_job(pid: int, groups: tuple[int, ...]) -> bool:
    try:
        return os.getsid(pid) in groups and os.getpgid(pid) not in groups
    except ProcessLookupError:
        return False


def send(one: RunningProcess, number: int) -> None:
    """Send a signal to this very process, even if it is not a child of procman: its pid may belong to another by now."""
    try:
        fd = os.pidfd_open(one.pid)
    except OSError:  # it has ended, or the system has no pidfds (before Linux 5.3)
        return
    try:
        if (now := read_process(one.pid)) is not None and now.start_ticks == one.start_ticks:
            signal.pidfd_send_signal(fd, number)
    except (ProcessLookupError, PermissionError):  # ended, or of another user: KILL will be reported as ineffective
        return
    finally:
        os.close(fd)


def whose_output(pid: int, processes: Iterable[Process]) -> Process | None:
    """The process of an instance whose output this process still has: a daemon that has left everything else seldom
    closes its output too.
    """
    written = set()
    for fd in (1, 2):
        with contextlib.suppress(OSError):  # it is gone, has closed it, or hides it
            written.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    open_ones = (
        (process, stream) for process in (processes if written else ()) for stream in process.streams if stream.fd >= 0
    )
    return next((process for process, stream in open_ones if _other_end(stream) in written), None)


def _other_end(stream: ChildStream) -> str:
    """What /proc calls the end that the child has of a pipe or a terminal."""
    if not stream.terminal:
        return f"pipe:[{os.fstat(stream.fd).st_ino}]"
    with contextlib.suppress(OSError):  # it has hung up
        return f"/dev/pts/{struct.unpack('i', fcntl.ioctl(stream.fd, TIOCGPTN, bytes(4)))[0]}"
    return ""


def environment_of(pid: int) -> bytes | None:
    """The environment that it was started with; None if it cannot be read: it has ended, is another user's, or /proc is
    missing.
    """
    return read(f"/proc/{pid}/environ")
