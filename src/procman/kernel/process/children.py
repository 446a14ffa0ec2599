"""What the system lists: our children, and every process with its parent. Also makes orphaned descendants our children."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

from msgspec import Struct

from procman import libc

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphaned descendants become this process's children instead of init's."""

PF_EXITING = 0x4
"""A flag in proc_pid_stat(5): the process ends, and has neither memory nor an environment any more."""


def become_subreaper() -> bool:
    """Become the parent of every orphaned descendant (PID 1 is that already); False if the system cannot do it."""
    if os.getpid() == 1:
        return True
    if sys.platform != "linux":
        return False
    try:
        return libc.call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError):  # Python without it, or another C library
        return False


class Children:
    """The pids of our children as the kernel lists them, including zombies. Linux; `known` is False if the list is
    missing.

    The list is opened once, so that a lack of descriptors cannot hide a child. A /proc of another PID namespace lists
    another process's children under our number, and does not count (pid_namespaces(7): mount a new one).
    """

    def __init__(self) -> None:
        self._me = os.getpid()
        self._list = -1
        try:
            self.known = os.readlink("/proc/self") == str(self._me)
        except OSError:
            self.known = False
        if self.known:
            try:
                path = f"/proc/{self._me}/task/{self._me}/children"
                self._list = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:  # a kernel without CONFIG_PROC_CHILDREN: every process is read instead
                self._list = -1

    def __call__(self) -> list[int]:
        if not self.known:
            return []
        if self._list < 0:
            pids = map(int, filter(str.isdecimal, os.listdir("/proc")))  # raises: no list does not mean no child
            return [one.pid for one in by_parent(pids).get(self._me, ())]
        parts = []
        at = 0
        while part := os.pread(self._list, 65536, at):  # a page at a time
            parts.append(part)
            at += len(part)
        return list(map(int, b"".join(parts).split()))


class RunningProcess(Struct, frozen=True, gc=False):
    """One process. `start_ticks`, since the boot, distinguishes it from a later process with its pid. `ended`: it is a
    zombie, or about to be one.
    """

    pid: int
    parent: int
    start_ticks: int
    name: str
    ended: bool


def read(path: str) -> bytes | None:
    """A file of /proc, with no call that is not needed; None if it cannot be read, or its process has gone."""
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
    """The process of this pid; None if it does not exist any more."""
    stat = read(f"/proc/{pid}/stat")
    if stat is None:
        return None
    head, _, rest = stat.rpartition(b")")
    fields = rest.split()
    name = head.partition(b"(")[2].decode(errors="replace")
    ended = int(fields[6]) & PF_EXITING != 0 and int(fields[17]) <= 1  # other threads may go on without the first
    return RunningProcess(pid, int(fields[1]), int(fields[19]), name, ended)


def all_pids() -> list[int]:
    """Every process that the system shows; none without /proc."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def by_parent(pids: Iterable[int]) -> dict[int, list[RunningProcess]]:
    """These processes by their parent's pid: 10 µs each."""
    found: dict[int, list[RunningProcess]] = {}
    for one in map(read_process, pids):
        if one is not None:
            found.setdefault(one.parent, []).append(one)
    return found


def ancestors(pid: int) -> Iterator[int]:
    """The pids of its parent, of that one's parent and so on, as far as the system shows them."""
    while pid > 1 and (one := read_process(pid)) is not None:
        pid = one.parent
        yield pid
