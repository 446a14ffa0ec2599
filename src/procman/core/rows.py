"""What is shown of a formation: a row for each instance and each type."""

from __future__ import annotations

from msgspec.structs import replace

from procman.core import blockers, wording
from procman.core.blockers import Blockers
from procman.core.formation import Formation
from procman.core.phases import Instance, Waiting
from procman.core.spec import ProcessSpec
from procman.core.view import FleetView, InstanceView, TypeView


def fleet(formation: Formation, now: float) -> FleetView:
    return FleetView(
        formation=dict(formation.desired.counts),
        instances=tuple(instance(formation, i, now) for i in formation.slots),
        stopping=formation.desired.closing is not None,
        types=tuple(of_type(formation, spec) for spec in formation.plan.types.values()),
        companions=tuple(instance(formation, i, now) for i in formation.slots.companions()),
    )


def instance(formation: Formation, i: Instance, now: float) -> InstanceView:
    """One row of ps. What it waits for is told by what keeps it waiting."""
    row = wording.view_of(i, now, crash_loop=formation.crashes.loops(i, now))
    if not isinstance(i.phase, Waiting):
        return row
    told = blocked(formation, i).explain(formation.slots, now)
    return replace(row, reason=f"waiting for {told}" if told else "about to be started")


def blocked(formation: Formation, i: Instance) -> Blockers:
    """What keeps an instance from being started."""
    return blockers.of(i.spec, formation.desired, formation.grouped, formation.groups)


def of_type(formation: Formation, spec: ProcessSpec) -> TypeView:
    t = spec.type
    rollout = formation.rollouts.shown(t, formation.pending(t))
    slots, loop = formation.slots.of(t), formation.crashes.looping(t)
    return formation.counters.view(spec, formation.desired.count(t), slots, crash_loop=loop, rollout=rollout)
