"""The machine: its clocks, and how much memory procman may still use."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from procman.companions.autoscaler.loop import Surroundings

if TYPE_CHECKING:
    from procman.companions.program import CompanionFaults

MEMINFO = "/proc/meminfo"
CGROUP = "/sys/fs/cgroup"


def free_memory(meminfo: str = MEMINFO, cgroup: str = CGROUP) -> int | None:
    """Bytes that new processes can use: those of the machine, or the rest of the cgroup's limit; None where unknown."""
    known = [free for free in (_available(meminfo), _left_of_limit(cgroup)) if free is not None]
    return min(known, default=None)


def _available(path: str) -> int | None:
    """MemAvailable of proc(5): the kernel's own estimate, including caches that it can drop."""
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name == "MemAvailable":
                    return int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):  # not Linux, or in another form than proc(5) has it
        return None
    return None


def _left_of_limit(folder: str) -> int | None:
    """The rest of the limit of cgroup version 2: memory.max less memory.current, without caches that can be dropped."""
    limit, used = _number(f"{folder}/memory.max"), _number(f"{folder}/memory.current")
    if limit is None or used is None:
        return None
    return max(0, limit - used + _inactive(f"{folder}/memory.stat"))


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):  # no such cgroup, or "max": no limit
        return None


def _inactive(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("inactive_file "))
    except (OSError, ValueError, IndexError):
        return 0


def own_cgroup(listing: str = "/proc/self/cgroup", root: str = CGROUP) -> str:
    """The folder of this process's cgroup, version 2; the root's where unknown."""
    try:
        with open(listing, encoding="utf-8") as file:
            for line in file:
                if line.startswith("0::"):
                    return os.path.normpath(f"{root}/{line[3:].strip()}")
    except OSError:  # not Linux
        return root
    return root


def this_machine(faults: CompanionFaults) -> Surroundings:
    """The real surroundings of the loop."""
    return Surroundings(time.monotonic, partial(datetime.now, UTC), partial(free_memory, cgroup=own_cgroup()), faults)
