"""How long a start has taken and because of which types: the critical path through the dependencies.

The last instance to be ready determines the end; the dependency that its type waited for last determines when it could
begin, and so on back to a type without dependencies. Each type's part starts where the one before it was reached, and
the parts add up to the whole time.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from procman.core import wording
from procman.core.actions import Publish
from procman.core.facts import BecameReady, Fact, Rested, Started
from procman.core.phases import Done, Instance
from procman.core.policies import Dependency, Until
from procman.core.snapshot import Moments, StartupState
from procman.core.spec import Plan
from procman.core.view import Operation, OperationState, PathStep
from procman.text.words import type_of


def noted(state: StartupState, fact: Fact, i: Instance, now: float) -> StartupState:
    """Record when an instance has reached a state that others may wait for; the first time of each counts."""
    moments = state.moments.get(i.name, Moments())
    match fact:
        case Started() if moments.started is None:
            moments = replace(moments, started=now)
        case BecameReady() if moments.ready is None:
            moments = replace(moments, ready=now)
        case Rested() if isinstance(i.phase, Done) and moments.done is None:
            moments = replace(moments, done=now, ready=now if moments.ready is None else moments.ready)
        case _:
            return state
    return replace(state, moments=state.moments | {i.name: moments})


def end(
    state: StartupState, start: Operation | None, plan: Plan, counts: Mapping[str, int], now: float
) -> tuple[StartupState | None, tuple[Publish, ...]]:
    """Once everything is ready, report how long that has taken and because of which types. None once there is an outcome."""
    if start is None or start.state is OperationState.RUNNING:
        return (state if start is not None else None), ()
    if start.state is not OperationState.DONE:
        return None, ()
    return None, (wording.all_ready(critical_path(state, plan, counts), now - state.began_at),)


def critical_path(state: StartupState, plan: Plan, counts: Mapping[str, int]) -> tuple[PathStep, ...]:
    """From the first type to the last; empty if nothing has been reached."""
    ends = {
        name: at
        for name, moments in state.moments.items()
        if (spec := plan.types.get(type_of(name))) is not None
        and (at := _at(moments, Until.DONE if spec.oneshot else Until.READY)) is not None
    }
    if not ends:
        return ()
    last = max(ends, key=lambda name: ends[name])
    type_name, reached_at = type_of(last), ends[last]
    path: list[PathStep] = []
    while True:
        before = _met_last(type_name, state, plan, counts)
        began_at = before[1] if before is not None else state.began_at
        path.append(PathStep(type_name, round(max(0.0, reached_at - began_at), 3)))
        if before is None:
            return tuple(reversed(path))
        type_name, reached_at = before


def _met_last(type_name: str, state: StartupState, plan: Plan, counts: Mapping[str, int]) -> tuple[str, float] | None:
    """The dependency that a type has waited for the longest, and when that wait ended."""
    met = [
        (one.type, at)
        for one in plan.types[type_name].depends_on
        if one.type in plan.types and counts.get(one.type, 0) > 0 and (at := _met_at(one, state)) is not None
    ]
    return max(met, key=lambda step: step[1], default=None)


def _met_at(one: Dependency, state: StartupState) -> float | None:
    found = [_at(moments, one.until) for name, moments in state.moments.items() if type_of(name) == one.type]
    times = [at for at in found if at is not None]
    return (max if one.every else min)(times) if times else None


def _at(moments: Moments, until: Until) -> float | None:
    match until:
        case Until.STARTED:
            return moments.started
        case Until.READY:
            return moments.ready
        case Until.DONE:
            return moments.done
