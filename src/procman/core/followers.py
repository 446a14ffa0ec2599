"""Restarts that follow another's: types that depend on one with `restart: true` are restarted after it.

A follower's restart becomes due when a process of its dependency has ended, and happens once the dependency is ready
again. Until then the follower keeps running. A restart that is due is a move of the follower, so that a stop, a
person's restart or an upgrade treats it like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from procman.core.desired import Desired, Move, RestartMove, Role
from procman.core.phases import AT_REST, Backoff, Clearing, Done, Instance, Ready, Waiting
from procman.core.slots import Slots
from procman.core.spec import Plan, ProcessSpec
from procman.core.view import Reason, ReasonCode
from procman.text.words import type_of


def followed(spec: ProcessSpec) -> tuple[str, ...]:
    """The types whose restart this one follows."""
    return tuple(one.type for one in spec.depends_on if one.restart)


def owed(one: Instance, plan: Plan, desired: Desired, slots: Slots) -> dict[str, Move]:
    """A process of this instance has ended: the restarts that follow. None at the end of everything, or of its slot."""
    moves: dict[str, Move] = {}
    ended = one.spec.type
    if desired.closing is not None or desired.role(ended, one.index) is Role.LEAVING:
        return moves
    for spec in plan.types.values():
        if ended not in followed(spec):
            continue
        for i in slots.of(spec.type):
            before = desired.moves.get(i.name)
            if before is None and i.wanted and not isinstance(i.phase, (Waiting, *AT_REST)):
                why = Reason(ReasonCode.FOLLOWED, f"restarted after {ended}")
                moves[i.name] = RestartMove(why, rolling=desired.count(spec.type) > 1, after=(ended,))
            elif isinstance(before, RestartMove) and ended not in before.after:
                moves[i.name] = replace(before, after=(*before.after, ended))
    return moves


def moving(desired: Desired) -> set[str]:
    """Slots with moves that are certain to happen, as a restart that is due may wait for ever."""
    return {n for n, move in desired.moves.items() if not (isinstance(move, RestartMove) and move.after)}


def is_moot(i: Instance, move: Move, desired: Desired, slots: Slots) -> bool:
    """Whether a restart that is due is not needed any more: it does not start an instance that has ended for good, and
    does not hurry one that starts by itself after its dependency is back.
    """
    if not isinstance(move, RestartMove) or move.why.code is not ReasonCode.FOLLOWED:
        return False
    ended = isinstance(i.phase, Backoff | Clearing) and not unready(move.after, desired, slots)
    return ended or isinstance(i.phase, AT_REST)


def in_order(desired: Desired, plan: Plan) -> Desired:
    """Restarts that were asked for together: followers come after their dependencies, and not a second time."""
    restarted = {type_of(name) for name, move in desired.moves.items() if isinstance(move, RestartMove)}
    moves: dict[str, Move] = {}
    for name, move in desired.moves.items():
        spec = plan.types.get(type_of(name))
        after = tuple(t for t in followed(spec) if t in restarted) if spec is not None else ()
        if isinstance(move, RestartMove) and not set(after) <= set(move.after):
            moves[name] = replace(move, after=tuple(dict.fromkeys((*move.after, *after))))
    return desired.moving(moves)


def unready(types: Iterable[str], desired: Desired, slots: Slots) -> tuple[str, ...]:
    """Dependencies that are not all back: some instance is still to be restarted or away, or there is none."""
    return tuple(t for t in types if desired.count(t) and not _is_back(t, desired, slots))


def is_held(move: RestartMove, desired: Desired, slots: Slots) -> bool:
    """Whether a restart has to wait for the dependencies that it comes after. A restart that follows theirs waits for
    as long as that takes; one that was asked for does not wait for those that nothing brings back.
    """
    late = unready(move.after, desired, slots)
    return bool(late) and (move.why.code is ReasonCode.FOLLOWED or _are_coming(late, desired, slots))


def _are_coming(types: Iterable[str], desired: Desired, slots: Slots) -> bool:
    """Whether an instance of these types is on its way, or is about to be restarted."""
    return any(_is_coming(i, desired, slots) for t in types for i in slots.of(t))


def _is_coming(i: Instance, desired: Desired, slots: Slots) -> bool:
    if i.unkillable:
        return False
    if i.wanted and not isinstance(i.phase, (Ready, *AT_REST)):
        return True
    move = desired.moves.get(i.name)
    if isinstance(move, RestartMove) and is_held(move, desired, slots):
        return _are_coming(unready(move.after, desired, slots), desired, slots)
    return move is not None


def _is_back(type_name: str, desired: Desired, slots: Slots) -> bool:
    if any(isinstance(move, RestartMove) and type_of(name) == type_name for name, move in desired.moves.items()):
        return False
    standing = [i for i in slots.of(type_name) if i.wanted]
    back = [i for i in standing if isinstance(i.phase, Ready | Done)]
    return bool(back) and all(isinstance(i.phase, (Ready, *AT_REST)) for i in standing)
