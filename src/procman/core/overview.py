"""The read model of a whole formation, made on request: for `ps`, or a client that has just connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from procman.core import order, wording
from procman.core.desired import RegroupMove, RestartMove, Role, StopMove
from procman.core.formation import NO_COUNTS, Formation
from procman.core.order import Blockers
from procman.core.phases import UP, Draining, Instance, Ready, Starting, Stopping, StopReason, Unhealthy, Waiting
from procman.core.spec import ProcessSpec, is_companion
from procman.core.view import FleetView, InstanceView, TypeView
from procman.later import later

if TYPE_CHECKING:
    from procman.core import followers, policies, replacing
else:
    followers = later(__name__, "procman.core.followers")
    policies = later(__name__, "procman.core.policies")
    replacing = later(__name__, "procman.core.replacing")

HOST = "127.0.0.1"
"""The address at which instances can be reached from the same machine."""


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
    """One row of ps. The reason of a waiting instance is what it waits for."""
    view = view_of(i, now, crash_loop=formation.crashes.loops(i, now))
    role = formation.desired.role(i.spec.type, i.index)
    if role is not Role.REGULAR and not is_companion(i.spec.type):
        view = replace(view, role=role.value)
    if role is Role.SURGE:
        view = replacing.extra_row(formation, view)
    stopped = isinstance(i.phase, (Draining, Stopping)) and i.phase.reason is StopReason.ASKED
    if role is Role.REGULAR and i.wanted and stopped:  # it was leaving, and no other number is free
        view = replace(view, reason=f"{view.reason}; then it is started again")
    if isinstance(i.phase, Waiting):
        missing = blocked(formation, i).explain(formation.slots, now)
        return replace(view, reason=f"waiting for {missing}" if missing else "about to be started")
    coming = _coming(formation, i, now)
    return replace(view, reason=f"{view.reason}; {coming}" if view.reason else coming) if coming else view


def _coming(formation: Formation, i: Instance, now: float) -> str:
    """What will happen to a running instance, and what that waits for."""
    move = formation.desired.moves.get(i.name)
    if move is None or not isinstance(i.phase, UP):
        return ""
    needing = stops_after(formation, i)
    if needing is not None:
        return f"stops after {needing.name}"
    if isinstance(move, RegroupMove):
        return f"to be {move.why.text}"
    missing = due_after(formation, i).explain(formation.slots, now)
    return f"restart due after {missing}" if missing else ""


def blocked(formation: Formation, i: Instance) -> Blockers:
    """What keeps an instance from being started."""
    return order.blockers(i.spec, formation.world, formation.groups)


def due_after(formation: Formation, i: Instance) -> Blockers:
    """What a restart that is due waits for: dependencies that have not come back."""
    move, desired = formation.desired.moves.get(i.name), formation.desired
    if not isinstance(move, RestartMove) or not followers.is_held(move, desired, formation.slots):
        return Blockers()
    return Blockers(tuple(policies.Dependency(type=t) for t in followers.unready(move.after, desired, formation.slots)))


def stops_after(formation: Formation, i: Instance) -> Instance | None:
    """The instance that this one waits for before it is asked to end with everything else."""
    desired = formation.desired
    if desired.closing is None or not isinstance(desired.moves.get(i.name), StopMove) or not isinstance(i.phase, UP):
        return None
    return order.needed_until_its_end(i.spec.type, order.dependents(formation.plan), formation.slots)


def type_view(formation: Formation, spec: ProcessSpec) -> TypeView:
    name, desired = spec.type, formation.desired.count(spec.type)
    slots, looping = formation.slots.of(name), formation.crashes.looping(name)
    counts = formation.counters.get(name, NO_COUNTS)
    return TypeView(
        type=name,
        desired=desired,
        ready=sum(isinstance(i.phase, Ready) for i in slots),
        updated=sum(isinstance(i.phase, UP) and i.spec == spec for i in slots),
        starts=counts.starts,
        exits=counts.exits,
        crash_loop=looping,
        rollout=formation.rollouts.shown(name, formation.desired, slots),
        autoscaled=name in formation.plan.autoscaled,
    )


def view_of(i: Instance, now: float, *, crash_loop: bool) -> InstanceView:
    """One row of ps at this moment."""
    leader, reason = i.leader, wording.why_it_is(i)
    return InstanceView(
        name=i.name,
        type=i.spec.type,
        phase=i.phase.shown,
        pid=leader.pid if leader is not None else None,
        port=i.spec.port_of(i.index),
        restarts=i.record.restarts,
        generation=i.generation,
        uptime=now - leader.started_at if leader is not None else None,
        age=now - i.phase_since,
        reason=wording.reason_of(i, now, crash_loop=crash_loop),
        last_exit=str(i.record.last_exit) if i.record.last_exit else None,
        crash_loop=crash_loop,
        reason_code=reason.code.value if reason is not None else None,
        host=HOST if i.spec.port is not None else None,
        ready=isinstance(i.phase, Ready),
        probe=_said(i) or None,
    )


def _said(i: Instance) -> str:
    """A probe's last answer, or what the program says of itself."""
    match i.phase:
        case Ready(status=said) | Starting(answer=said) | Unhealthy(answer=said):
            return said
        case _:
            return ""
