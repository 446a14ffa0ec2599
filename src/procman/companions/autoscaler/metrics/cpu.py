"""`cpu`: CPU time of each instance's whole tree, of one core, over the time since the last look.

What a start costs is no load: the measuring begins when an instance is ready. So that a new one is measured at the first
look after that, samples are taken in between while there is any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.core.demand import ReplicaState

if TYPE_CHECKING:
    from procman.companions.autoscaler.fleet import TypeSeen

SHORTEST = 0.5
"""Seconds between two looks below which ticks of 10 ms say too little; the look before then stays the one compared with."""


class CpuGauge:
    """Remembers what each process had used at the look before, a new one at its first sample."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, int], tuple[float, float]] = {}

    def sample(self, seen: TypeSeen, now: float) -> None:
        """Begin to measure those that have become ready."""
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
                # A part of the tree that ended unwaited takes its time with it: no less than 0.
                values[instance.name] = max(0.0, instance.cpu - used) / passed
                at, used = now, instance.cpu
            remembered[process] = at, used
        self._before = remembered
        return values
