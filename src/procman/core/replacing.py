"""What a rollout does to a formation: it starts, with an extra instance where its type surges, continues, is aborted,
and ends.

Which instances may be replaced at a moment is decided in rollout.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from procman.core import recycling, wording
from procman.core.actions import Action, SetTimer
from procman.core.desired import Desired, Move, RestartMove, StartMove, free_number, is_rolling
from procman.core.events import Measured, SlotEvent, StopTerms, StopWanted
from procman.core.phases import UP, Instance, Ready, Waiting
from procman.core.rollout import Rollout, away
from procman.core.spec import Plan, ProcessSpec, room_of
from procman.core.timers import RolloutTimer
from procman.core.view import InstanceView, Kind, Reason, ReasonCode
from procman.text.words import type_of

if TYPE_CHECKING:
    from procman.core.operations import Loops, Operations
    from procman.core.rollout import Rollouts
    from procman.core.slots import Slots


if TYPE_CHECKING:

    class Replaceable(Protocol):
        """What is needed of a formation."""

        plan: Plan
        desired: Desired
        slots: Slots
        rollouts: Rollouts
        operations: Operations
        out: list[Action]

        def step(self, i: Instance, event: SlotEvent, now: float) -> None: ...
        def share_sockets(self, before: Plan) -> None: ...
        def terms(self, i: Instance, now: float) -> StopTerms: ...
        def looping(self, now: float) -> Loops: ...
        def publish(self, kind: Kind, text: str) -> None: ...


# ---- begin


def begin(formation: Replaceable, desired: Desired, before: Plan) -> Desired:
    """What is desired, with the rollouts that a command leads to. Rollouts that fail go back to the previous specs."""
    moves, specs = formation.desired.moves, formation.plan.types
    rolling = {n: type_of(n) for n, move in desired.moves.items() if is_rolling(move)}
    types = [t for n, t in rolling.items() if desired.moves[n] != moves.get(n) or before.types.get(t) != specs[t]]
    for type_name in dict.fromkeys(types):
        old = before.types.get(type_name) or formation.plan.types[type_name]
        desired = _begin(formation, desired, old)
    return desired


def _begin(formation: Replaceable, desired: Desired, old: ProcessSpec) -> Desired:
    type_name = old.type
    if (running := formation.rollouts.get(type_name)) is not None:  # those that run what is not proven yet come first
        first_again = {n: desired.moves[n] for n in running.replaced if n in desired.moves}
        desired = replace(desired, moves=first_again | desired.moves)
    number = desired.surge.get(type_name)
    i = formation.slots.at(type_name, number) if number is not None else None
    if number is None:
        number = _number_of_extra(formation, desired, type_name)
        if number is not None:
            name = f"{type_name}.{number}"
            moves: dict[str, Move] = {name: StartMove()}
            desired = replace(desired, surge=desired.surge | {type_name: number}, moves=moves | desired.moves)
    # an existing extra instance says nothing about a later spec, so another one is started first
    outdated = i is not None and i.spec != formation.plan.types[type_name] and i.name not in desired.moves
    first = (f"{type_name}.{number}",) if number is not None and not outdated else ()
    formation.rollouts.begin(type_name, Rollout(old=old, total=desired.pending(type_name), replaced=first, batch=first))
    return desired


def _number_of_extra(formation: Replaceable, desired: Desired, type_name: str) -> int | None:
    """The number of an extra instance; None where the type has none, no instance in rotation is to be replaced, or no
    number is free.
    """
    spec, slots = formation.plan.types[type_name], formation.slots
    if spec.rolling is None or not spec.rolling.surge:
        return None
    if not any(isinstance(i.phase, Ready) and is_rolling(desired.moves.get(i.name)) for i in slots.of(type_name)):
        return None
    return free_number(desired, type_name, slots.taken(spec), room_of(formation.plan, type_name))


def recycle_old(formation: Replaceable, name: str, generation: int) -> None:
    i = formation.slots.get(name)
    if i is not None and i.generation == generation:
        _recycle(formation, i, recycling.too_old(i))


def recycle_large(formation: Replaceable, event: Measured, now: float) -> None:
    i = formation.slots.get(event.name)
    if i is not None and i.generation == event.generation and not formation.rollouts.pauses(i.spec.type, now):
        _recycle(formation, i, recycling.too_large(i, event.memory))


def _recycle(formation: Replaceable, i: Instance, why: Reason | None) -> None:
    """Replace one that is too old or too large, when its type's rollout allows it. An extra instance is stopped anyway."""
    desired, type_name = formation.desired, i.spec.type
    if why is None or not isinstance(i.phase, UP) or i.index not in desired.numbers(type_name):
        return
    if i.name in desired.moves or desired.closing is not None:
        return
    desired = desired.moving({i.name: RestartMove(why, rolling=True)})
    if formation.rollouts.get(type_name) is None:
        desired = _begin(formation, desired, i.spec)
    else:
        formation.rollouts.one_more(type_name)
    formation.desired = desired


# ---- go on, and end


def go_on(formation: Replaceable, type_name: str, now: float) -> None:
    """See whether a batch is ready again, and whether all have been replaced and are back in rotation."""
    slots, desired = formation.slots.of(type_name), formation.desired
    at = formation.rollouts.settle(type_name, slots, now)
    if at is not None:
        formation.out.append(SetTimer(RolloutTimer(type_name), 0, at))
    numbers, rollout = desired.numbers(type_name), formation.rollouts.get(type_name)
    if rollout is None or desired.pending(type_name) > 0:
        return
    if not rollout.back and not {*rollout.batch}.isdisjoint(desired.names(type_name)):
        return
    if away([i for i in slots if i.index in numbers]) == 0:
        formation.rollouts.forget(type_name)
        dismiss(formation, type_name, wording.ROLLED_OUT, now)
        _judge(formation, type_name, now)


def settled(formation: Replaceable, type_name: str, now: float) -> None:
    """A deadline has come: the batch may have stayed ready for long enough."""
    if formation.rollouts.settled(type_name, now):
        _judge(formation, type_name, now)


def _judge(formation: Replaceable, type_name: str, now: float) -> None:
    """Operations need instances that have stayed ready: report those that have."""
    for i in formation.slots.of(type_name):
        if not formation.rollouts.is_on_trial(i):
            formation.out += formation.operations.moved(i.name, i, formation.looping(now))


def dismiss(formation: Replaceable, type_name: str, why: Reason, now: float) -> None:
    """The extra instance of a type is not needed any more."""
    number = formation.desired.surge.get(type_name)
    if number is None:
        return
    surge = {t: n for t, n in formation.desired.surge.items() if t != type_name}
    moves = {name: move for name, move in formation.desired.moves.items() if name != f"{type_name}.{number}"}
    formation.desired = replace(formation.desired, surge=surge, moves=moves)
    i = formation.slots.at(type_name, number)
    if i is not None:
        formation.step(i, StopWanted(why, formation.terms(i, now)), now)


def ended(formation: Replaceable, i: Instance, now: float) -> None:
    """The extra instance has ended for good, so the others cannot follow it."""
    rollout = formation.rollouts.get(i.spec.type)
    if rollout is not None and not rollout.back:
        abort(formation, rollout, i, now)


def abort(formation: Replaceable, rollout: Rollout, i: Instance, now: float) -> None:
    """Instances that were not replaced stay, and follow what they depend on. Those that were replaced go back to the
    old spec, which stays in force.
    """
    type_name, old = i.spec.type, rollout.old
    why, desired = wording.name_and_reason(i), formation.desired
    rest = {n: m for n, m in desired.moves.items() if type_of(n) != type_name or not isinstance(m, RestartMove)}
    regular = [one for one in formation.slots.of(type_name) if one.index in desired.numbers(type_name)]
    touched = [one.name for one in regular if one.wanted and one.spec != old]
    if formation.plan.types[type_name] != old:
        before, formation.plan = formation.plan, replace(formation.plan, types=formation.plan.types | {type_name: old})
        formation.share_sockets(before)
    owed = {one.name: follows for one in regular if (follows := _owed(desired.moves.get(one.name))) is not None}
    if touched or type_name in desired.surge:
        formation.rollouts.begin(type_name, Rollout(old=old, total=len(touched), back=True))
    extra = _extra_goes_back(formation, old) if touched or away(regular) else []
    for one in regular:
        if is_rolling(move := desired.moves.get(one.name)) and move.why.code is ReasonCode.RECYCLED:
            formation.out += recycling.again(one, now)
            formation.rollouts.pause(type_name, now + recycling.RETRY_AFTER)
    back: dict[str, Move] = dict.fromkeys([*extra, *touched], RestartMove(wording.ROLLED_BACK, rolling=True))
    waiting = {one.name: StartMove() for one in formation.slots.of(type_name) if _is_to_start(one, desired)}
    formation.desired = replace(desired, moves=owed | waiting | rest | back)
    formation.rollouts.abort(type_name, why)
    if i.index == desired.surge.get(type_name):
        formation.rollouts.keep(i.name)
    formation.publish(Kind.ABORTED, wording.aborted_line(type_name, why, back=bool(touched)))
    names = {one.name for one in formation.slots.of(type_name)}
    reason = Reason(ReasonCode.ROLLED_BACK, f"rollout of {type_name} aborted: {why}")
    formation.out += formation.operations.abort(names, reason, i.name)


def _is_to_start(one: Instance, desired: Desired) -> bool:
    """Whether it was not running, and is to run although no rollout replaces it any more."""
    asked = not one.wanted and isinstance(desired.moves.get(one.name), RestartMove)
    return asked or isinstance(one.phase, Waiting)


def _owed(move: Move | None) -> RestartMove | None:
    """What is left of a restart in an aborted rollout if a dependency has been restarted: the restart that follows."""
    if not isinstance(move, RestartMove) or not move.after:
        return None
    return replace(move, why=Reason(ReasonCode.FOLLOWED, f"restarted after {', '.join(move.after)}"))


def _extra_goes_back(formation: Replaceable, old: ProcessSpec) -> list[str]:
    """The extra instance stays until all others are back; returns its name, where it has to be restarted for that. A
    ready one continues, and is started from the old spec if it ends.
    """
    number = formation.desired.surge.get(old.type)
    i = formation.slots.at(old.type, number) if number is not None else None
    if i is None or i.spec == old:
        return []
    if isinstance(i.phase, Ready):
        formation.slots.put(replace(i, spec=old))
        return []
    return [i.name]


# ---- shown


def extra_row(formation: Replaceable, row: InstanceView) -> InstanceView:
    """The row of an extra instance, with its purpose as the reason."""
    done = formation.rollouts.progress(row.type, formation.desired, formation.slots.of(row.type))
    return replace(row, reason=wording.extra_reason(row.reason, done))
