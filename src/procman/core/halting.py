"""Stopping an instance together with its group: after that it waits for its turn, or is failed with the whole group.

Part of the machine in instance.py, which holds the table; groups.py decides when.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from procman.core import stopping, wording
from procman.core.events import HaltWanted
from procman.core.facts import Rested
from procman.core.phases import (
    AfterClearing,
    AfterSpawn,
    Backoff,
    Clearing,
    Done,
    Down,
    Draining,
    Failed,
    Instance,
    Ready,
    Spawning,
    Starting,
    Step,
    Stopping,
    StopReason,
    Unhealthy,
    Waiting,
    enter,
    noted,
)
from procman.core.view import Reason

OWN = (StopReason.NOT_READY, StopReason.UNHEALTHY)
"""Stops because of an instance's own state: a restart of its group comes after what follows from them."""


def halt(i: Instance, event: HaltWanted, now: float) -> Step:
    reason = StopReason.GROUP_FAILED if event.failed else StopReason.REGROUPED
    match i.phase:
        case Spawning(then=AfterSpawn.KILL):
            return Step(i)
        case Spawning() as phase:
            then = AfterSpawn.FAIL if event.failed else AfterSpawn.REGROUP
            return Step(replace(i, phase=replace(phase, then=then, why=event.why)))
        case Starting() | Ready() | Unhealthy():
            return stopping.ask(i, reason, event, now)
        case Draining(reason=was) | Stopping(reason=was) if not i.wanted or was is reason:
            return Step(i)
        case Draining():
            return stopping.go_on(i, reason, event)
        case Stopping(reason=was) as phase if event.failed or was not in OWN:
            return Step(replace(i, phase=replace(phase, reason=reason, why=event.why)))
        case Clearing() as phase if i.wanted and event.failed and phase.then is not AfterClearing.DONE:
            return Step(replace(i, phase=replace(phase, then=AfterClearing.FAILED, why=event.why)))
        case Clearing(then=AfterClearing.RESPAWN) as phase if i.wanted:  # not at once, but in its turn
            return Step(replace(i, phase=replace(phase, then=AfterClearing.BACKOFF, why=event.why, delay=0.0)))
        case Waiting() | Backoff() if event.failed:
            return halted(i, event.why, now, failed=True)
        case Down() | Waiting() | Stopping() | Clearing() | Backoff() | Failed() | Done():
            return Step(i)
        case _:
            assert_never(i.phase)


def halted(i: Instance, why: Reason, now: float, *, failed: bool) -> Step:
    """Nothing of it is left."""
    if not failed:
        i = enter(i, Waiting((), retry=True), now)
        return Step(i, (wording.waits(i, ()),))
    i = enter(noted(i, ended_at=now), Failed(why), now)
    return Step(i, (wording.is_failed_at_rest(i, why),), (Rested(i.name),))
