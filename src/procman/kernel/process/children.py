"""The children that the kernel lists as ours, and making orphaned descendants our children."""

from __future__ import annotations

import os
import sys

from procman import libc

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphaned descendants become this process's children instead of init's."""


def become_subreaper() -> bool:
    """Become the parent of every orphaned descendant (PID 1 is that already); False where the system cannot do it."""
    if os.getpid() == 1:
        return True
    if sys.platform != "linux":
        return False
    try:
        return libc.call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError):  # Python without it, or another C library
        return False


class Children:
    """The pids of our children as the kernel lists them, including zombies. Linux; `known` is False where the list is
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
            except OSError:  # a kernel without CONFIG_PROC_CHILDREN: look at every process instead
                self._list = -1

    def __call__(self) -> list[int]:
        if not self.known:
            return []
        if self._list < 0:
            return _children_by_parent(self._me)
        parts = []
        at = 0
        while part := os.pread(self._list, 65536, at):  # a page at a time
            parts.append(part)
            at += len(part)
        return list(map(int, b"".join(parts).split()))


def _children_by_parent(parent: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    fields = stat.read().rpartition(b")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            if int(fields[1]) == parent:
                found.append(int(name))
    return found
