"""Who descends from whom, by the pids of parents, which everybody may read (proc_pid_stat(5)).

A process can leave its session and group and hide its environment (ssh-agent), and one of another user hides it anyhow.
Then its parents tell where it comes from, while they live: so what is seen before a stop is kept. And its output does, as
long as it is the pipe or the terminal that procman reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from procman.kernel.output.stream import ChildStream
    from procman.kernel.process.process import Process

FRESH = 0.05
"""Seconds for which a look at all processes is good: one for all that are stopped together."""

TIOCGPTN = 0x80045430
"""The number of a terminal, asked at its master (ioctl_tty(2))."""


class RunningProcess(NamedTuple):
    """One process; `born` in ticks since the boot tells it from another that gets its pid later."""

    pid: int
    parent: int
    born: int
    name: str


class Descent:
    """What the last looks have shown. Costs 10 µs a process of the machine, and only before a stop."""

    def __init__(self) -> None:
        self._children: dict[int, list[RunningProcess]] = {}
        self._looked_at = -FRESH

    def of(self, pids: list[int], now: float) -> list[RunningProcess]:
        """All descendants of these."""
        if now >= self._looked_at + FRESH:
            self._looked_at = now
            self._children = {}
            for one in _everyone():
                self._children.setdefault(one.parent, []).append(one)
        found: list[RunningProcess] = []
        parents, known = list(pids), set(pids)
        while parents:
            fresh = [one for one in self._children.get(parents.pop(), ()) if one.pid not in known]
            found += fresh
            known.update(one.pid for one in fresh)
            parents += [one.pid for one in fresh]
        return found


def _everyone() -> list[RunningProcess]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    return [one for name in names if name.isdecimal() and (one := look_at(int(name))) is not None]


def look_at(pid: int) -> RunningProcess | None:
    """None where there is no such process any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, rest = file.read().rpartition(b")")
    except OSError:
        return None
    fields = rest.split()
    return RunningProcess(pid, int(fields[1]), int(fields[19]), head.partition(b"(")[2].decode(errors="replace"))


def descends(pid: int, ancestors: set[int]) -> bool:
    """Whether one of these is above it."""
    while pid > 1:
        one = look_at(pid)
        if one is None:  # it has gone, or there is no /proc
            return False
        pid = one.parent
        if pid in ancestors:
            return True
    return False


def whose_output(pid: int, lives: Iterable[Process]) -> Process | None:
    """The life whose output this process still has: a daemon that has left all else seldom closes that too."""
    written = set()
    for fd in (1, 2):
        with contextlib.suppress(OSError):  # it is gone, has closed it, or hides it
            written.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    open_ones = ((life, stream) for life in (lives if written else ()) for stream in life.streams if stream.fd >= 0)
    return next((life for life, stream in open_ones if _other_end(stream) in written), None)


def _other_end(stream: ChildStream) -> str:
    """What /proc calls the end that the child has of a pipe or a terminal."""
    if not stream.terminal:
        return f"pipe:[{os.fstat(stream.fd).st_ino}]"
    with contextlib.suppress(OSError):  # it has hung up
        return f"/dev/pts/{struct.unpack('i', fcntl.ioctl(stream.fd, TIOCGPTN, bytes(4)))[0]}"
    return ""


def environment_of(pid: int) -> bytes | None:
    """What it was started with; None where it cannot be read: it is gone, another user's, or there is no /proc."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return environ.read()
    except OSError:
        return None
