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
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from procman.kernel.output.stream import ChildStream
    from procman.kernel.process.process import Process

FRESH = 0.05
"""Seconds for which what was seen is valid: long enough for all that one stop asks for."""

MAIN_THREAD_ONLY = 3
"""The links of a folder with one folder in it, as `/proc/PID/task` of a process with one thread."""

PF_EXITING = 0x4
"""A flag in proc_pid_stat(5): the process ends, and has neither memory nor an environment any more."""

TIOCGPTN = 0x80045430
"""The number of a terminal, asked at its master (ioctl_tty(2))."""


class RunningProcess(Struct, frozen=True, gc=False):
    """One process. `start_ticks`, since the boot, distinguishes it from a later process with its pid. `ended`: it is a
    zombie, or about to be one.
    """

    pid: int
    parent: int
    start_ticks: int
    name: str
    ended: bool


class Descent:
    """What was seen last. It costs 20 µs for each process that is asked for, and only before a stop."""

    def __init__(self) -> None:
        self._children: dict[int, list[RunningProcess]] = {}
        self._listed_at = -FRESH
        self._seen: dict[tuple[int, int], Process] = {}  # by pid and birth
        self._listed = os.path.exists("/proc/thread-self/children")  # else there is no CONFIG_PROC_CHILDREN

    def remember(self, pids: list[int], whose: Process, now: float) -> None:
        """The descendants of these processes belong to this instance's."""
        for one in self.of(pids, now):
            self.attribute(one, whose)

    def attribute(self, one: RunningProcess, whose: Process) -> None:
        self._seen[one.pid, one.start_ticks] = whose

    def seen(self, pid: int) -> Process | None:
        """Whose descendant this process was when that was remembered."""
        one = read_process(pid) if self._seen else None
        return self._seen.get((pid, one.start_ticks)) if one is not None else None

    def forget(self) -> None:
        self._seen.clear()

    def of(self, pids: list[int], now: float) -> list[RunningProcess]:
        """All descendants of these processes."""
        if now >= self._listed_at + FRESH:
            self._listed_at = now
            self._children = {} if self._listed else _by_parent()
        found: list[RunningProcess] = []
        parents, known = list(pids), set(pids)
        while parents:
            fresh = {one.pid: one for one in self._of(parents.pop()) if one.pid not in known}
            if fresh:
                found += fresh.values()
                known.update(fresh)
                parents += fresh
        return found

    def _of(self, parent: int) -> list[RunningProcess]:
        if self._listed and parent not in self._children:
            found = [read_process(pid) for pid in children_of(parent)]
            self._children[parent] = [one for one in found if one is not None]
        return self._children.get(parent, [])


def _by_parent() -> dict[int, list[RunningProcess]]:
    """All processes by parent, where the system lists no children: 10 µs each."""
    children: dict[int, list[RunningProcess]] = {}
    for name in _listed_processes():
        one = read_process(int(name))
        if one is not None:
            children.setdefault(one.parent, []).append(one)
    return children


def runs_as_we_do(pid: int) -> bool:
    """Whether this process belongs to procman's user, so that a refused signal has another reason."""
    try:
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    except OSError:  # it has gone, or there is no /proc
        return False


def children_of(pid: int) -> list[int]:
    """The children that each of its threads has made; none where it has gone."""
    folder = f"/proc/{pid}/task"
    try:
        threads = [str(pid)] if os.stat(folder).st_nlink == MAIN_THREAD_ONLY else os.listdir(folder)
    except OSError:
        return []
    return [int(child) for thread in threads for child in (_read(f"{folder}/{thread}/children") or b"").split()]


def _read(path: str) -> bytes | None:
    """A file of /proc, with no call that is not needed; None where it cannot be read, or its process has gone."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts = []
        while part := os.read(file, 65536):
            parts.append(part)
    except OSError:  # ESRCH: it has ended meanwhile
        return None
    finally:
        os.close(file)
    return b"".join(parts)


def read_process(pid: int) -> RunningProcess | None:
    """The process of this pid; None where there is none any more."""
    stat = _read(f"/proc/{pid}/stat")
    if stat is None:
        return None
    head, _, rest = stat.rpartition(b")")
    fields = rest.split()
    name = head.partition(b"(")[2].decode(errors="replace")
    ended = int(fields[6]) & PF_EXITING != 0 and int(fields[17]) <= 1  # other threads may go on without the first
    return RunningProcess(pid, int(fields[1]), int(fields[19]), name, ended)


def all_ended(group: int) -> bool:
    """Whether this group has members, and all are zombies: their parent, which is not procman, has yet to reap them, and may
    never do it. Without /proc that cannot be known, and none counts as ended. 10 µs for each process of the system.
    """
    stats = (_read(f"/proc/{name}/stat") for name in _listed_processes())
    members = [fields for stat in stats if stat and int((fields := stat.rpartition(b")")[2].split())[2]) == group]
    # a process whose first thread has ended is shown as a zombie, too, while its other threads run
    return bool(members) and all(fields[0] in b"ZX" and int(fields[17]) <= 1 for fields in members)


def _listed_processes() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def descends(pid: int, ancestors: set[int]) -> bool:
    """Whether one of these is an ancestor of it."""
    while pid > 1:
        one = read_process(pid)
        if one is None:  # it has ended, or there is no /proc
            return False
        pid = one.parent
        if pid in ancestors:
            return True
    return False


def jobs_of(process: Process) -> list[RunningProcess]:
    """The descendants of the leader that are in its session, or in that of the terminal, and in neither's group: a shell with
    job control (`bash -i`, `set -m`) puts each of its jobs into a group of its own. Needed only where another process
    leads the session, at a terminal: elsewhere procman adopts the jobs as their shell ends.
    """
    everyone = Descent().of([process.pid], 0.0)
    return [one for one in everyone if one.pid not in process.adopted and _is_job(one.pid, process.groups)]


def _is_job(pid: int, groups: tuple[int, ...]) -> bool:
    try:
        return os.getsid(pid) in groups and os.getpgid(pid) not in groups
    except ProcessLookupError:
        return False


def send(one: RunningProcess, number: int) -> None:
    """Send a signal to this very process, also if it is no child of procman: its pid may belong to another by now."""
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
    """The process of an instance whose output this process still has: a daemon that has left all else seldom closes that too."""
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
    """The environment that it was started with; None where it cannot be read: it has ended, is another user's, or /proc is
    missing.
    """
    return _read(f"/proc/{pid}/environ")
