"""The read model of a whole formation, made when somebody asks for it: `ps`, a client that has just connected."""

from __future__ import annotations

from msgspec.structs import replace

from procman.core import order, replacing, wording
from procman.core.desired import Role
from procman.core.formation import Formation
from procman.core.phases import Draining, Instance, Stopping, StopReason, Waiting
from procman.core.spec import ProcessSpec, is_companion
from procman.core.view import FleetView, InstanceView, TypeView


def of(formation: Formation, now: float) -> FleetView:
    """Everything, at this moment."""
    desired, slots = formation.desired, formation.slots
    return FleetView(
        formation=dict(desired.counts),
        instances=tuple(row(formation, i, now) for i in slots),
        stopping=desired.closing is not None,
        types=tuple(type_view(formation, spec) for spec in formation.plan.types.values()),
        companions=tuple(row(formation, i, now) for i in slots.companions()),
    )


def row(formation: Formation, i: Instance, now: float) -> InstanceView:
    """One row of ps. The reason of one that waits is what keeps it waiting."""
    view = wording.view_of(i, now, crash_loop=formation.crashes.loops(i, now))
    role = formation.desired.role(i.spec.type, i.index)
    if role is not Role.REGULAR and not is_companion(i.spec.type):
        view = replace(view, role=role.value)
    if role is Role.SURGE:
        view = replacing.extra_row(formation, view)
    stopped = isinstance(i.phase, Draining | Stopping) and i.phase.reason is StopReason.ASKED
    if role is Role.REGULAR and i.wanted and stopped:  # it was on its way out, and no other number is free
        view = replace(view, reason=f"{view.reason}; then it is started again")
    if not isinstance(i.phase, Waiting):
        return view
    unmet = order.unmet(i.spec, formation.desired, formation.slots)
    missing = "; ".join(order.explain(one, formation.slots, now) for one in unmet)
    return replace(view, reason=f"waiting for {missing}" if missing else "about to be started")


def type_view(formation: Formation, spec: ProcessSpec) -> TypeView:
    name, desired = spec.type, formation.desired.count(spec.type)
    rollout = formation.rollouts.shown(name, formation.desired.pending(name))
    slots, looping = formation.slots.of(name), formation.crashes.looping(name)
    return formation.counters.view(spec, desired, slots, crash_loop=looping, rollout=rollout)
