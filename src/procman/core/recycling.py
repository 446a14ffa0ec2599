"""When an instance is too old or too large, and is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.core.actions import Action, SetTimer
from procman.core.phases import Instance
from procman.core.timers import RecycleTimer
from procman.core.view import Reason, ReasonCode
from procman.text.words import duration

if TYPE_CHECKING:
    from procman.core.policies import Recycle

GOLDEN = 0.618034
"""Its multiples, modulo 1, are far apart: instances that were started together are not replaced together."""

RETRY_AFTER = 600.0
"""Seconds after which a replacement that failed is tried again, at most."""


def begin(i: Instance, now: float) -> list[Action]:
    """A process was started: set the timer for its age."""
    recycle = i.spec.recycle
    if recycle is None or recycle.age is None:
        return []
    age = recycle.age * (1 + recycle.jitter * (i.index * GOLDEN % 1))
    return [SetTimer(RecycleTimer(i.name), i.generation, now + age)]


def again(i: Instance, now: float) -> list[Action]:
    """When its replacement is tried again, after a replacement for its age has failed."""
    if i.spec.recycle is None or i.spec.recycle.age is None:
        return []
    return [SetTimer(RecycleTimer(i.name), i.generation, now + min(i.spec.recycle.age, RETRY_AFTER))]


def limits(recycle: Recycle) -> str:
    """`it is replaced when it is older than 12h 0m or larger than 300 MiB`."""
    age = [f"older than {duration(recycle.age)}"] if recycle.age is not None else []
    size = [f"larger than {recycle.memory >> 20} MiB"] if recycle.memory is not None else []
    return f"it is replaced when it is {' or '.join(age + size)}"


def too_old(i: Instance) -> Reason | None:
    recycle = i.spec.recycle
    if recycle is None or recycle.age is None:
        return None
    return Reason(ReasonCode.RECYCLED, f"recycled: older than {duration(recycle.age)}")


def too_large(i: Instance, memory: int) -> Reason | None:
    recycle = i.spec.recycle
    if recycle is None or recycle.memory is None or memory <= recycle.memory:
        return None
    return Reason(ReasonCode.RECYCLED, f"recycled: {memory >> 20} MiB of at most {recycle.memory >> 20}")
