"""What Linux's /proc tells of processes: trees, CPU time, memory, context switches. Reads, and changes nothing."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

TICK = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """One line of /proc/PID/stat. `started`, in ticks since the boot, tells it from a later one of the same pid."""

    pid: int
    comm: str
    state: str
    parent: int
    session: int
    cpu: float  # seconds, user and system
    started: int


def processes() -> dict[int, Process]:
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with contextlib.suppress(OSError, IndexError):  # it ended meanwhile
                found[int(entry)] = process(int(entry))
    return found


def process(pid: int) -> Process:
    """proc(5): the name stands in parentheses and may hold any character."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        head, _, tail = stat.read().rpartition(b")")
    f = tail.split()
    cpu = (int(f[11]) + int(f[12])) / TICK
    comm = head.partition(b"(")[2].decode(errors="replace")
    return Process(pid, comm, f[0].decode(), int(f[1]), int(f[3]), cpu, int(f[19]))


def tree(root: int, among: dict[int, Process] | None = None) -> list[Process]:
    """The process and all its descendants."""
    among = processes() if among is None else among
    children: dict[int, list[Process]] = {}
    for each in among.values():
        children.setdefault(each.parent, []).append(each)
    found, todo = [], [among[root]] if root in among else []
    while todo:
        each = todo.pop()
        found.append(each)
        todo += children.get(each.pid, [])
    return found


def mentions(pid: int, text: str) -> bool:
    """Whether its command line, environment or working directory names this text."""
    for name in ("cmdline", "environ"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
            if text.encode() in file.read():
                return True
    with contextlib.suppress(OSError):
        return text in os.readlink(f"/proc/{pid}/cwd")
    return False


class Memory(NamedTuple):
    """In kB. `pss` shares out the pages that several processes have; `private` are those that nobody else has."""

    rss: int
    pss: int
    private: int


def memory(pid: int) -> Memory:
    sizes = {"Rss:": 0, "Pss:": 0, "Private_Clean:": 0, "Private_Dirty:": 0}
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        for line in rollup:
            key, _, value = line.partition(" ")
            if key in sizes:
                sizes[key] = int(value.split()[0])
    return Memory(sizes["Rss:"], sizes["Pss:"], sizes["Private_Clean:"] + sizes["Private_Dirty:"])


def switches(pid: int) -> int:
    """Voluntary context switches of all threads: how often it went to sleep, and so how often it had been woken."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/status") as status:
            total += sum(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))
    return total


def minor_faults(pid: int) -> int:
    """Page faults that needed no disk."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return int(stat.read().rpartition(b")")[2].split()[7])


def on_cpu(pid: int) -> float:
    """Seconds that its threads have run, to the nanosecond, where `cpu` counts in ticks of 10 ms."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/schedstat") as schedstat:
            total += int(schedstat.read().split()[0])
    return total / 1e9


def descriptors(pid: int) -> list[str]:
    """What each of its open descriptors is: a path, or `socket:[inode]` and the like."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


def sockets(pid: int) -> int:
    return len({what for what in descriptors(pid) if what.startswith("socket:")})


def zombies(parent: int) -> int:
    return sum(each.parent == parent and each.state == "Z" for each in processes().values())
