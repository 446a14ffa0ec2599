"""The machine: its clocks, and how much memory procman may still use."""

from __future__ import annotations

import os
import re
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
    """Bytes that new processes can use: those of the machine, or the rest of the cgroup's limit; None if unknown."""
    known = [free for free in (_available(meminfo), _left_of_limit(cgroup)) if free is not None]
    return min(known, default=None)


def _available(path: str) -> int | None:
    """MemAvailable of proc(5): the kernel's own estimate, including caches that it can drop."""
    kilobytes = _first(path, r"^MemAvailable:\s+(\d+) kB$")
    return int(kilobytes) * 1024 if kilobytes else None


def _left_of_limit(folder: str) -> int | None:
    """The rest of the limit of cgroup version 2: memory.max less memory.current, without caches that can be dropped."""
    limit, used = _first(f"{folder}/memory.max", r"^(\d+)$"), _first(f"{folder}/memory.current", r"^(\d+)$")
    if limit is None or used is None:
        return None
    return max(0, int(limit) - int(used) + int(_first(f"{folder}/memory.stat", r"^inactive_file (\d+)$") or 0))


def own_cgroup(listing: str = "/proc/self/cgroup", root: str = CGROUP) -> str:
    """The folder of this process's cgroup, version 2; the root's where unknown."""
    return os.path.normpath(f"{root}/{_first(listing, r'^0::(.*)$') or ''}")


def _first(path: str, pattern: str) -> str | None:
    """What a file of the system says; None if there is no such file (not Linux), or no such line (no limit)."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return None
    return found[1] if found else None


def this_machine(faults: CompanionFaults) -> Surroundings:
    """The real surroundings of the loop."""
    return Surroundings(time.monotonic, partial(datetime.now, UTC), partial(free_memory, cgroup=own_cgroup()), faults)
