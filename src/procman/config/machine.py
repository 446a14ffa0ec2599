"""How many processors this process may use: for counts such as `cpus-1` and `50%`."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator

COUNT_WORD = r"(?a:cpus(?:-(?P<less>\d{1,4}))?|(?P<share>\d{1,5})%)"
"""`cpus`, `cpus-1`, `50%`."""

_MOUNT = "/sys/fs/cgroup"


def read_count(word: str, processors: Callable[[], int] | None = None) -> int:
    """The count that a word stands for, at least 1; a share is rounded up. Raises ValueError for any other word."""
    match = re.fullmatch(COUNT_WORD, word.strip())
    if match is None:
        raise ValueError("expected a whole number from 0, or a word such as cpus, cpus-1 or 50%")
    here = (processors or usable_processors)()
    if match["share"] is not None:
        return max(1, math.ceil(here * int(match["share"]) / 100))
    return max(1, here - int(match["less"] or 0))


def usable_processors() -> int:
    """The processors that its affinity and the quota of its control groups allow; a fraction counts as one more."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in _quotas("/proc/self/cgroup", _MOUNT)]
    return max(1, min(allowed, *quotas)) if quotas else max(1, allowed)


def _quotas(table: str, mount: str) -> Iterator[float]:
    """The processors that each control group above this process grants: cgroups(7), version 2 and 1."""
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:  # no such system
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _along(mount, path, _second_version)
        elif "cpu" in controllers.split(","):
            yield from _along(f"{mount}/{controllers}", path, _first_version)


def _along(top: str, path: str, quota: Callable[[str], float | None]) -> Iterator[float]:
    """The folders of a group and of all groups above it. In a container the path may be the host's, with the group at
    the top of the mount.
    """
    folder = os.path.normpath(top + path)
    while folder.startswith(top):
        try:
            found = quota(folder)
        except (OSError, ValueError):  # no quota is set there, or the path is not of this mount
            found = None
        if found is not None:
            yield found
        folder = os.path.dirname(folder)


def _second_version(folder: str) -> float | None:
    quota, period = _words(f"{folder}/cpu.max")
    return None if quota == "max" else int(quota) / int(period)


def _first_version(folder: str) -> float | None:
    (quota,), (period,) = _words(f"{folder}/cpu.cfs_quota_us"), _words(f"{folder}/cpu.cfs_period_us")
    return None if int(quota) < 0 else int(quota) / int(period)


def _words(path: str) -> list[str]:
    with open(path, encoding="ascii") as file:
        return file.read().split()
