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
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from procman.kernel.output.stream import ChildStream
    from procman.kernel.process.process import Process

MANY = 16
"""So many processes are asked for their children one by one, which takes 40 µs each. For more, all processes are listed
where that takes less: 10 µs for each that is no leader.
"""

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
    """What was seen, only before a stop."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], Process] = {}  # by pid and birth
        self._listed = os.path.exists("/proc/thread-self/children")  # else there is no CONFIG_PROC_CHILDREN

    def remember(self, whose: Mapping[int, Process], leaders: Collection[int]) -> None:
        """The descendants of these processes belong to the same instances. `leaders` have procman as their parent."""
        for one, process in self.of(whose, leaders):
            self.attribute(one, process)

    def attribute(self, one: RunningProcess, whose: Process) -> None:
        self._seen[one.pid, one.start_ticks] = whose

    def seen(self, pid: int) -> Process | None:
        """Whose descendant this process was when that was remembered."""
        one = read_process(pid) if self._seen else None
        return self._seen.get((pid, one.start_ticks)) if one is not None else None

    def forget(self) -> None:
        self._seen.clear()

    def of(self, whose: Mapping[int, Process], leaders: Collection[int] = ()) -> list[tuple[RunningProcess, Process]]:
        """All descendants of these processes, each with the instance's process that it comes from."""
        children = self._lookup(len(whose), leaders)
        found: list[tuple[RunningProcess, Process]] = []
        parents, known = list(whose.items()), set(whose)
        while parents:
            parent, process = parents.pop()
            for one in children(parent):
                if one.pid not in known:
                    known.add(one.pid)
                    found.append((one, process))
                    parents.append((one.pid, process))
        return found

    def _lookup(self, count: int, leaders: Collection[int]) -> Callable[[int], Iterable[RunningProcess]]:
        """The quickest way to the children of so many processes."""
        if self._listed and count <= MANY:
            return _running_children
        others = {int(name) for name in _listed_processes()}.difference(leaders)
        if self._listed and len(others) > 4 * count:
            return _running_children
        by_parent: dict[int, list[RunningProcess]] = {}
        for one in map(read_process, others):
            if one is not None:
                by_parent.setdefault(one.parent, []).append(one)
        return lambda parent: by_parent.get(parent, ())


def _running_children(pid: int) -> list[RunningProcess]:
    return [one for one in map(read_process, children_of(pid)) if one is not None]


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
    everyone = [one for one, _ in Descent().of({process.pid: process})]
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
    """The environment that it was started with; None where it cannot be read: it has ended, is another user's, or /proc is
    missing.
    """
    return _read(f"/proc/{pid}/environ")
