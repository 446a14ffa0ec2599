"""What a rollout does to a formation: it starts, with an extra instance where its type surges, continues, is aborted,
and ends.

Which instances may be replaced at a moment is decided in rollout.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from procman.core import wording
from procman.core.actions import Action, SetTimer
from procman.core.desired import Desired, Move, RestartMove, StartMove, is_rolling
from procman.core.events import Measured, SlotEvent, StopTerms, StopWanted
from procman.core.phases import UP, Instance, Ready, Waiting
from procman.core.rollout import Rollout, away
from procman.core.spec import Plan, ProcessSpec, room_of
from procman.core.timers import RecycleTimer, RolloutTimer
from procman.core.view import InstanceView, Kind, Reason, ReasonCode
from procman.text.words import duration, type_of

if TYPE_CHECKING:
    from procman.core.operations import Loops, Operations
    from procman.core.policies import Recycle
    from procman.core.rollout import Rollouts
    from procman.core.slots import Slots, World

GOLDEN = 0.618034
"""Its multiples, modulo 1, are far apart: instances that were started together are not replaced together."""

RETRY_AFTER = 600.0
"""Seconds after which a replacement for age that failed is tried again, at most."""

if TYPE_CHECKING:

    class Replaceable(Protocol):
        """What is needed of a formation."""

        plan: Plan
        desired: Desired
        slots: Slots
        rollouts: Rollouts
        operations: Operations
        out: list[Action]

        @property
        def world(self) -> World: ...
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
    if (
        running := formation.rollouts.running.get(type_name)
    ) is not None:  # those that run what is not proven yet come first
        first_again = {n: desired.moves[n] for n in running.replaced if n in desired.moves}
        desired = replace(desired, moves=first_again | desired.moves)
    number, i = desired.surge.get(type_name), formation.world.surge(type_name)
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
    """The number of an extra instance; None if the type has none, none in rotation is replaced, or none is free."""
    spec, slots = formation.plan.types[type_name], formation.slots
    if spec.rolling is None or not spec.rolling.surge:
        return None
    if not any(isinstance(i.phase, Ready) and is_rolling(desired.moves.get(i.name)) for i in slots.of(type_name)):
        return None
    held, taken = desired.numbers(type_name), slots.taken(spec)
    return next((n for n in range(1, room_of(formation.plan, type_name) + 1) if n not in held and n not in taken), None)


def watch_age(i: Instance, now: float, *, again: bool = False) -> list[Action]:
    """The timer for its age. `again`: what was to come in its place failed, so that is tried again."""
    recycle = i.spec.recycle
    if recycle is None or recycle.age is None:
        return []
    age = min(recycle.age, RETRY_AFTER) if again else recycle.age * (1 + recycle.jitter * (i.index * GOLDEN % 1))
    return [SetTimer(RecycleTimer(i.name), i.generation, now + age)]


def recycle_old(formation: Replaceable, name: str, generation: int) -> None:
    i = formation.slots.get(name)
    recycle = i.spec.recycle if i is not None and i.generation == generation else None
    if i is not None and recycle is not None and recycle.age is not None:
        _recycle(formation, i, f"older than {duration(recycle.age)}")


def recycle_large(formation: Replaceable, event: Measured, now: float) -> None:
    """Replace one that is too large, unless a replacement for age or memory has just failed."""
    i = formation.slots.get(event.name)
    if i is None or i.generation != event.generation or now < formation.rollouts.pauses.get(i.spec.type, now):
        return
    recycle = i.spec.recycle
    if recycle is not None and recycle.memory is not None and event.memory > recycle.memory:
        _recycle(formation, i, f"{event.memory >> 20} MiB of at most {recycle.memory >> 20}")


def _recycle(formation: Replaceable, i: Instance, why: str) -> None:
    """Replace it when its type's rollout allows that. An extra instance is stopped anyway."""
    desired, type_name = formation.desired, i.spec.type
    if not isinstance(i.phase, UP) or i.index not in desired.numbers(type_name):
        return
    if i.name in desired.moves or desired.closing is not None:
        return
    reason = Reason(ReasonCode.RECYCLED, f"recycled: {why}")
    desired = desired.moving({i.name: RestartMove(reason, rolling=True)})
    running = formation.rollouts.running
    if type_name in running:
        running[type_name] = replace(running[type_name], total=running[type_name].total + 1)
    else:
        desired = _begin(formation, desired, i.spec)
    formation.desired = desired


# ---- go on, and end


def go_on(formation: Replaceable, type_name: str, now: float) -> None:
    """See whether a batch is ready again, and whether all have been replaced and are back in rotation."""
    slots, desired = formation.slots.of(type_name), formation.desired
    at = formation.rollouts.settle(type_name, slots, now)
    if at is not None:
        formation.out.append(SetTimer(RolloutTimer(type_name), 0, at))
    rollout = formation.rollouts.running.get(type_name)
    if rollout is None or desired.pending(type_name) > 0:
        return
    if not rollout.back and not {*rollout.batch}.isdisjoint(desired.names(type_name)):
        return
    if away(formation.world.regular(type_name)) == 0:
        del formation.rollouts.running[type_name]
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
    i, number = formation.world.surge(type_name), formation.desired.surge.get(type_name)
    surge = {t: n for t, n in formation.desired.surge.items() if t != type_name}
    moves = {name: move for name, move in formation.desired.moves.items() if name != f"{type_name}.{number}"}
    formation.desired = replace(formation.desired, surge=surge, moves=moves)
    if i is not None:
        formation.step(i, StopWanted(why, formation.terms(i, now)), now)


def ended(formation: Replaceable, i: Instance, now: float) -> None:
    """The extra instance has ended for good, so the others cannot follow it."""
    rollout = formation.rollouts.running.get(i.spec.type)
    if rollout is not None and not rollout.back:
        abort(formation, rollout, i, now)


def abort(formation: Replaceable, rollout: Rollout, i: Instance, now: float) -> None:
    """What was replaced goes back to the old spec, which stays in force; the rest follows what it depends on."""
    type_name, old = i.spec.type, rollout.old
    why, desired = wording.name_and_reason(i), formation.desired
    rest = {n: m for n, m in desired.moves.items() if type_of(n) != type_name or not isinstance(m, RestartMove)}
    regular = formation.world.regular(type_name)
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
            formation.out += watch_age(one, now, again=True)
            formation.rollouts.pauses[type_name] = now + RETRY_AFTER
    back: dict[str, Move] = dict.fromkeys([*extra, *touched], RestartMove(wording.ROLLED_BACK, rolling=True))
    waiting = {one.name: StartMove() for one in formation.slots.of(type_name) if _is_to_start(one, desired)}
    formation.desired = replace(desired, moves=owed | waiting | rest | back)
    formation.rollouts.aborted[type_name] = why
    if i.index == desired.surge.get(type_name):
        formation.rollouts.kept.add(i.name)  # what it wrote says why, and outlasts it
    formation.publish(Kind.ABORTED, wording.aborted_line(type_name, why, back=bool(touched)))
    names = {one.name for one in formation.slots.of(type_name)}
    reason = Reason(ReasonCode.ROLLED_BACK, f"rollout of {type_name} aborted: {why}")
    formation.out += formation.operations.abort(reason, names, i.name)


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
    i = formation.world.surge(old.type)
    if i is None or i.spec == old:
        return []
    if isinstance(i.phase, Ready):
        formation.slots.put(replace(i, spec=old))
        return []
    return [i.name]


# ---- shown


def limits(recycle: Recycle) -> str:
    """`it is replaced when it is older than 12h 0m or larger than 300 MiB`."""
    age = [f"older than {duration(recycle.age)}"] if recycle.age is not None else []
    size = [f"larger than {recycle.memory >> 20} MiB"] if recycle.memory is not None else []
    return f"it is replaced when it is {' or '.join(age + size)}"


def extra_row(formation: Replaceable, row: InstanceView) -> InstanceView:
    """The row of an extra instance, with its purpose as the reason."""
    done = formation.rollouts.progress(row.type, formation.desired, formation.slots.of(row.type))
    return replace(row, reason=wording.extra_reason(row.reason, done))
