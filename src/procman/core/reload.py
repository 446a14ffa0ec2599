"""What a reload changes: compares two plans by value, and says what is desired under the new one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from procman.core import wording
from procman.core.actions import Action, CloseSockets, OpenSockets
from procman.core.commands import Granted, is_rolled, resize
from procman.core.desired import Desired, Move, RestartMove, Role, StartMove, StopMove
from procman.core.operations import Need, Want, up
from procman.core.phases import Instance, Ready
from procman.core.policies import ListenSocket
from procman.core.slots import Slots, World
from procman.core.spec import Plan, ProcessSpec, refuse_count
from procman.core.view import Change, Kind
from procman.text.words import type_of


class Difference(Struct, frozen=True):
    """Types that are new, that were removed, and whose spec has changed."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __str__(self) -> str:
        named = (("added", self.added), ("removed", self.removed), ("changed", self.changed))
        return "; ".join(f"{what} {', '.join(types)}" for what, types in named if types) or "nothing changed"


def compare(old: Plan, new: Plan) -> Difference:
    return Difference(
        tuple(t for t in new.types if t not in old.types),
        tuple(t for t in old.types if t not in new.types),
        tuple(t for t in new.types if t in old.types and new.types[t] != old.types[t]),
    )


Lingering = dict[str, tuple[ListenSocket, ...]]
"""Shared sockets, by type, that are open still and that its spec does not have any more."""


def sockets(old: Plan, new: Plan, lingering: Lingering) -> tuple[list[Action], Lingering]:
    """The shared sockets that another plan opens, and those that it leaves open until `closable`: instances with the
    old settings still serve there, and may have to continue. The sockets of a removed type are closed with it.
    """
    left: Lingering = {}
    actions: list[Action] = []
    for t, spec in new.types.items():
        had = old.types[t].sockets if t in old.types else ()
        if set(spec.sockets) - set(had):
            actions.append(OpenSockets(t, spec.sockets))
        kept = tuple(one for one in dict.fromkeys((*lingering.get(t, ()), *had)) if one not in spec.sockets)
        if kept:
            left[t] = kept
    for t, spec in old.types.items():
        if t not in new.types and (gone := (*lingering.get(t, ()), *spec.sockets)):
            actions.append(CloseSockets(t, gone))
    return actions, left


def closable(lingering: Lingering, rollouts: Collection[str], desired: Desired) -> tuple[list[Action], Lingering]:
    """The sockets to close that no instance can come back to: those of types that are not being replaced any more."""
    moving = {type_of(name) for name, move in desired.moves.items() if isinstance(move, RestartMove)}
    over = {t for t in lingering if t not in rollouts and t not in moving}
    closed: list[Action] = [CloseSockets(t, lingering[t]) for t in lingering if t in over]
    return closed, {t: kept for t, kept in lingering.items() if t not in over}


def counts_after(plan: Plan, counts: Mapping[str, int], scaled: Collection[str]) -> dict[str, int]:
    """Counts under the new plan: those set at run time stay where they are allowed; the others come from the inputs."""
    after = {}
    for type_name, configured in plan.counts.items():
        count = counts.get(type_name, 0) if type_name in scaled else configured
        after[type_name] = configured if refuse_count(plan, type_name, count) else count
    return after


class Reloaded(NamedTuple):
    """The result of a reload: `respecified` are slots that keep running and get another spec."""

    granted: Granted
    difference: Difference
    respecified: list[Instance]


def decide(plan: Plan, world: World) -> Reloaded:
    """What is desired under the new plan. What is stopped stays stopped; what is wanted, or ended, is restarted."""
    difference = compare(world.plan, plan)
    desired, touched = world.desired, []
    for t in difference.removed:
        desired, names = resize(replace(world, desired=desired), t, 0, wording.REMOVED)
        touched += names
        if t in desired.surge:
            desired = desired.moving({f"{t}.{desired.surge[t]}": StopMove(wording.REMOVED)})
    desired = replace(desired, scaled=tuple(t for t in desired.scaled if t in plan.types))
    counts = counts_after(plan, desired.counts, desired.scaled)
    for t, count in counts.items():  # first, so that one that is removed is not started again
        desired, names = resize(World(plan, desired, world.slots), t, count, wording.SCALED_DOWN_BY_RELOAD)
        touched += names
    desired = _without_others(desired, plan)
    respecified = []
    for t in difference.changed:
        moves, stay = _respecify(plan.types[t], desired, world.slots)
        desired = desired.moving(moves)
        touched += [name for name in desired.names(t) if name in moves]
        respecified += stay
    needs = {name: _need(name, desired, plan, world.slots) for name in touched}
    desired = desired.moving(companions(plan, world.slots))
    respecified += _reworded(plan, world.slots)
    change = Change(event=Kind.RELOADED, text=f"reloaded: {difference}")
    return Reloaded(Granted(desired, touched, needs, "procman reload", change), difference, respecified)


def _without_others(desired: Desired, plan: Plan) -> Desired:
    """What is desired of the types that still exist."""
    return replace(
        desired,
        counts={t: desired.counts[t] for t in plan.types},
        gapped={t: numbers for t, numbers in desired.gapped.items() if t in plan.types},
        surge={t: number for t, number in desired.surge.items() if t in plan.types},
    )


def _need(name: str, desired: Desired, plan: Plan, slots: Slots) -> Need:
    i = slots.get(name)
    if isinstance(desired.moves.get(name), StopMove):
        return Need(Want.DOWN)
    return up(plan.types[type_of(name)], i.generation if i is not None else 0)


def _respecify(spec: ProcessSpec, desired: Desired, slots: Slots) -> tuple[dict[str, Move], list[Instance]]:
    """New settings for a type: the slots that are restarted for them, and those that only get them, because they are
    not wanted, or are replaced in the rollout.
    """
    moves: dict[str, Move] = {}
    stay = []
    for i in slots.of(spec.type):
        role = desired.role(spec.type, i.index)
        if i.spec == spec or role is Role.LEAVING:
            continue
        if role is Role.SURGE and isinstance(i.phase, Ready):
            stay.append(replace(i, spec=spec))  # whatever it runs, it takes the place of the others
        elif i.wanted and not isinstance(desired.moves.get(i.name), StopMove):
            rolled = is_rolled(i, spec, (), desired) or _can_go_back(i)
            moves[i.name] = RestartMove(wording.RELOADED, rolled)
        else:
            stay.append(replace(i, spec=spec))
    return moves, stay


def _can_go_back(i: Instance) -> bool:
    """Whether a failure of the new settings leads back to the old ones, even for the only instance of a type.
    A one-off is not run again for that.
    """
    return isinstance(i.phase, Ready) and not i.spec.oneshot


def _reworded(plan: Plan, slots: Slots) -> list[Instance]:
    """Companions with other words, as after an upgrade, and otherwise the same: nothing has to be restarted for that."""
    known = [(i, plan.companions[i.spec.type]) for i in slots.companions() if i.spec.type in plan.companions]
    return [replace(i, spec=spec) for i, spec in known if replace(i.spec, words=spec.words) == spec]


def companions(plan: Plan, slots: Slots) -> dict[str, Move]:
    """One instance of each companion of the plan, with its spec there."""
    gone = [i.name for i in slots.companions() if i.spec.type not in plan.companions]
    moves: dict[str, Move] = dict.fromkeys(gone, StopMove(wording.REMOVED_BY_RELOAD))
    return moves | {f"{t}.1": StartMove() for t in plan.companions}
