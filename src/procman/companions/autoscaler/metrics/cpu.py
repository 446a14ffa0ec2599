"""`cpu`: CPU time of each instance's whole tree, of one core, over the time since the last look."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procman.companions.autoscaler.fleet import TypeSeen

SHORTEST = 0.5
"""Seconds between two looks below which ticks of 10 ms say too little; the look before then stays the one compared with."""


class CpuGauge:
    """Remembers what each process had used at the look before. A new process is missing at its first look."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, int], tuple[float, float]] = {}

    def read(self, seen: TypeSeen, now: float) -> dict[str, float]:
        values = {}
        remembered = {}
        for instance in seen.instances:
            if instance.cpu is None:
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
