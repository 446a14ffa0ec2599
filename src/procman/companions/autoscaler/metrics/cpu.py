"""`cpu`: CPU time of each instance's whole tree since the last poll, in percent of one core.

The cost of starting does not count as load: measuring begins when an instance is ready. So that a new instance has a
value at the first poll after that, samples are taken in between while there are new instances.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.core.demand import ReplicaState

if TYPE_CHECKING:
    from procman.companions.autoscaler.fleet import TypeSeen

SHORTEST = 0.5
"""Seconds between two polls below which ticks of 10 ms are too coarse; then the previous poll remains the base of the
comparison.
"""


class CpuGauge:
    """Remembers how much CPU each process had used at the last poll, and a new one at its first sample."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, int], tuple[float, float]] = {}

    def sample(self, seen: TypeSeen, now: float) -> None:
        """Start to measure instances that have become ready."""
        for instance in seen.instances:
            if instance.cpu is not None and instance.state is ReplicaState.READY:
                self._before.setdefault((instance.name, instance.generation), (now, instance.cpu))

    def read(self, seen: TypeSeen, now: float) -> dict[str, float]:
        values = {}
        remembered = {}
        for instance in seen.instances:
            if instance.cpu is None or instance.state is not ReplicaState.READY:
                continue
            process = instance.name, instance.generation
            at, used = self._before.get(process, (now, instance.cpu))
            passed = now - at
            if passed >= SHORTEST:
                # a part of the tree that ended without being waited for takes its time with it, so at least 0
                values[instance.name] = max(0.0, instance.cpu - used) / passed
                at, used = now, instance.cpu
            remembered[process] = at, used
        self._before = remembered
        return values
