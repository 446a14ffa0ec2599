"""Whether the system has killed a process for lack of memory: one number of our cgroup explains a death by KILL. Linux
only.
"""

from __future__ import annotations

import os
import time

from procman.text.words import duration

ROOT = "/sys/fs/cgroup"
NOTE = "out of memory: the kernel's OOM killer has killed a process"

AT_ONCE = 10.0
"""Seconds between two readings for which a new count is about the death at hand; later it may be about an older one."""


class OomNotes:
    """Reports each count of the kernel once. Deaths below our cgroup are included (cgroups(7)), and so our instances'."""

    def __init__(self, root: str = ROOT, membership: str = "/proc/self/cgroup") -> None:
        self._fd = _open(root, membership)
        self._count = self._read()
        self._read_at = time.monotonic()

    def note(self, now: float) -> str:
        """NOTE where the OOM killer has killed a process since the last call, and how long ago that may be; else ""."""
        before, self._count = self._count, self._read()
        passed, self._read_at = now - self._read_at, now
        if self._count <= before:
            return ""
        return NOTE if passed < AT_ONCE else f"{NOTE} in the last {duration(passed)}"

    def _read(self) -> int:
        if self._fd < 0:
            return 0
        try:
            lines = os.pread(self._fd, 4096, 0).splitlines()
        except OSError:  # the cgroup was removed
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith(b"oom_kill ")), 0)


def _open(root: str, membership: str) -> int:
    """The file with the count: `memory.events` of version 2, `memory.oom_control` of version 1; -1 if there is none."""
    try:
        with open(membership, encoding="utf-8", errors="surrogateescape") as lines:
            groups = [line.rstrip("\n").split(":", 2) for line in lines]
    except OSError:
        return -1
    for _, controllers, path in (group for group in groups if len(group) == 3):
        if not controllers:
            # the second: mounted from our own cgroup on
            candidates = [f"{root}{path}/memory.events", f"{root}/memory.events"]
        elif "memory" in controllers.split(","):
            candidates = [f"{root}/memory{path}/memory.oom_control", f"{root}/memory/memory.oom_control"]
        else:
            continue
        for candidate in candidates:
            try:
                return os.open(candidate, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
    return -1
