"""Commands of people: each is checked and becomes another `Desired`, or is refused. Nothing is started or stopped here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import replace

from procman.core import select, wording
from procman.core.actions import Action, Signal, Target
from procman.core.desired import Desired, Move, RestartMove, StartMove, StopMove
from procman.core.operations import Need, Want, needs_of_counts, up
from procman.core.phases import Instance, Ready
from procman.core.requests import AwaitedState, Hold, Restart, Scale, SendSignal, Stop, Wait
from procman.core.select import Refusal
from procman.core.slots import World
from procman.core.spec import ProcessSpec, refuse_count, room_of
from procman.core.view import Change, CountChange, Kind, Reason, ReasonCode
from procman.errors import nearest
from procman.text.words import index_of, type_of


class Granted(Struct, frozen=True):
    """A command that is granted: what is desired now, the slots concerned, what its operation needs, and the change."""

    desired: Desired
    touched: list[str] = []
    needs: dict[str, Need] = {}
    what: str = ""
    change: Change | None = None
    actions: tuple[Action, ...] = ()
    holds: Hold | None = None


Decision: TypeAlias = Granted | Refusal


def scale(command: Scale, world: World) -> Decision:
    plan, desired = world.plan, world.desired
    target = dict(command.to)
    for type_name, by in command.by.items():
        target[type_name] = desired.count(type_name) + by
    for type_name, count in target.items():
        refusal = select.refuse_type(type_name, plan.types) or refuse_count(plan, type_name, count)
        if refusal:
            return refusal
        if type_name in plan.autoscaled and not command.force:
            return wording.autoscaled(type_name)
    if command.remove:
        refusal = _refuse_extras(command.remove, world) or _refuse_removal(command.remove, target, world)
        if refusal:
            return refusal
    counts = desired.counts
    changed = {t: CountChange(counts[t], n) for t, n in target.items() if counts[t] != n}
    after = replace(desired, scaled=tuple(sorted({*desired.scaled, *target})))
    touched: list[str] = []
    for t, n in target.items():
        remove = [index_of(name) for name in command.remove if type_of(name) == t]
        after, names = resize(World(plan, after, world.slots), t, n, wording.SCALED_DOWN, remove)
        touched += names
    change = None
    if changed:
        text = f"{wording.scaled(changed)}{f': {command.why}' if command.why else ''}"
        one = next(iter(changed)) if len(changed) == 1 else None
        change = Change(event=Kind.SCALED, text=text, type=one, counts=changed)
    what = "scale " + " ".join(f"{t}={n}" for t, n in target.items()) if target else ""
    needs = needs_of_counts(after, target, touched, plan)
    settled = {i.name for t in target for i in world.regular(t) if _is_settled(i, after)}
    needs = {name: need for name, need in needs.items() if name not in settled or need.want is Want.DOWN}
    return Granted(after, touched, needs, what, change)


def _is_settled(i: Instance, desired: Desired) -> bool:
    """Whether a scaling that keeps it waits for nothing of it: it is ready and stays, or it was or is being stopped, which
    no scaling changes.
    """
    move = desired.moves.get(i.name)
    stays = move is None and isinstance(i.phase, Ready) and not i.spec.oneshot
    return stays or not i.wanted or isinstance(move, StopMove)


def _refuse_removal(names: tuple[str, ...], target: Mapping[str, int], world: World) -> Refusal | None:
    """Why these instances cannot be removed; None if they can. The count must be lowered by as many."""
    standing = dict.fromkeys(i.name for i in world.standing())
    chosen = dict.fromkeys(names)
    for name in chosen:
        if name not in standing:
            return f"cannot remove {name}: there is no such instance", nearest(name, standing)
        t = type_of(name)
        removed, count = [other for other in chosen if type_of(other) == t], world.desired.count(t)
        if len(removed) > count - target.get(t, count):
            reason = (
                f"{t}={target[t]} stops {max(0, count - target[t])} of {count}"
                if t in target
                else f"{t} keeps its count"
            )
            hint = f"`procman scale {t}={count - len(removed)} --remove {','.join(removed)}` does"
            return f"cannot remove {', '.join(removed)}: {reason}", hint
    return None


MAIN_TYPE = "web"
"""The type that a signal scales, where there are several."""


def scale_by_signal(by: int, world: World) -> Decision:
    counts = world.desired.counts
    main = MAIN_TYPE if MAIN_TYPE in counts else next(iter(counts)) if len(counts) == 1 else None
    return scale(Scale(by={main: by}), world) if main is not None else (wording.no_main_type(MAIN_TYPE), "")


def resize(
    world: World, type_name: str, count: int, why: Reason, remove: Collection[int] = ()
) -> tuple[Desired, list[str]]:
    """What is desired with another count of a type, and the slots that start or stop: the lowest free numbers are started,
    and the highest existing ones stop, `remove` before them.
    """
    desired, room = world.desired, room_of(world.plan, type_name)
    before = desired.numbers(type_name)
    stay = [number for number in before if number <= room and number not in remove][:count]
    new = sorted(islice(_next_numbers(world, type_name, count), count - len(stay)))
    start = [f"{type_name}.{number}" for number in new]
    stop = [f"{type_name}.{number}" for number in sorted(set(before).difference(stay), reverse=True)]
    moves: dict[str, Move] = {**dict.fromkeys(start, StartMove()), **dict.fromkeys(stop, StopMove(why))}
    touched = [name for name in stop if world.slots.get(name) is not None] + start
    return desired.moving(moves).numbered(type_name, stay + new), touched


def _next_numbers(world: World, type_name: str, count: int) -> Iterator[int]:
    """The numbers for more instances, in order, as far as one looks: there may be a thousand.

    A number is free if no slot has it. If there are not enough free numbers, leaving slots are started again once they
    are down, and finally the extra instance of a rollout becomes a regular one. A single instance always waits for its
    number: others know its port, and it may be one that must not run twice.
    """
    held, extra = frozenset(world.desired.numbers(type_name)), world.desired.surge.get(type_name)
    late = frozenset(world.slots.taken(world.plan.types[type_name])) if count > 1 else frozenset[int]()
    room = room_of(world.plan, type_name)
    numbers = range(1, room + 1)
    yield from (number for number in numbers if number not in held and number != extra and number not in late)
    yield from (number for number in numbers if number not in held and number != extra and number in late)
    if extra is not None and extra <= room and extra not in held:
        yield extra


def restart(command: Restart, world: World) -> Decision:
    chosen = _selected(command.names, world)
    if not isinstance(chosen, list):
        return chosen
    desired = world.desired
    reason = Reason(ReasonCode.RESTARTED, command.why) if command.why else wording.RESTARTED
    rolls = {i.name for i in chosen if not command.together and is_rolled(i, i.spec, command.names, desired)}
    moves: dict[str, Move] = {i.name: RestartMove(reason, i.name in rolls) for i in chosen}
    needs = {i.name: up(i.spec, i.generation) for i in chosen}
    granted = _granted(desired.moving(moves), chosen, needs, "procman restart")
    if not command.why or granted.change is None:
        return granted
    said = f"{command.why}: restarting {select.listed(chosen)}"
    return replace(granted, what=said, change=replace(granted.change, text=said, logged=False, quiet=True))


def is_rolled(i: Instance, spec: ProcessSpec, names: tuple[str, ...], desired: Desired) -> bool:
    """Whether a rollout replaces it: it was not named, and is one of several, or its type has an extra instance."""
    several = desired.count(spec.type) > 1 or (spec.rolling is not None and spec.rolling.surge > 0)
    return i.name not in names and several and spec.max != 1


def stop(command: Stop, world: World) -> Decision:
    if not command.names and not command.all:
        return "cannot stop: no instance is named", "name some, or say --all"
    chosen = _selected(command.names, world)
    if not isinstance(chosen, list):
        return chosen
    moves: dict[str, Move] = {i.name: StopMove(wording.STOPPED) for i in chosen}
    return _granted(world.desired.moving(moves), chosen, {i.name: Need(Want.DOWN) for i in chosen}, "procman stop")


def send_signal(command: SendSignal, world: World) -> Decision:
    chosen = select.matching(command.names, [*world.standing(), *world.extras()], world.plan.types)
    if not isinstance(chosen, list):
        return chosen
    alive = [i for i in chosen if (i.alive if command.leader else i.pid is not None)]
    if not alive:
        return f"cannot signal {select.listed(chosen) or 'nothing'}: no process is running", "see `procman ps`"
    target = Target.LEADER if command.leader else Target.GROUP
    signals = tuple(Signal(i.name, i.generation, command.signal, target) for i in alive)
    return Granted(world.desired, [i.name for i in alive], actions=signals)


def hold(command: Hold, world: World) -> Decision:
    for name in command.names:
        refusal = select.refuse_type(name, world.plan.types)
        if refusal:
            return refusal
    return Granted(world.desired, holds=command)


_WANTS = {AwaitedState.READY: Want.UP, AwaitedState.DONE: Want.DONE, AwaitedState.STOPPED: Want.DOWN}


def wait(command: Wait, world: World) -> Decision:
    chosen = _selected(command.names, world)
    if not isinstance(chosen, list):
        return chosen
    need = Need(_WANTS[command.until])
    names = [i.name for i in chosen]
    return Granted(world.desired, names, dict.fromkeys(names, need), f"wait for {select.listed(chosen) or 'nothing'}")


def _selected(names: tuple[str, ...], world: World) -> list[Instance] | Refusal:
    """The selected regular slots. An extra instance belongs to its rollout."""
    return _refuse_extras(names, world) or select.matching(names, world.standing(), world.plan.types)


def _refuse_extras(names: tuple[str, ...], world: World) -> Refusal | None:
    return next((wording.is_extra(i.name, i.spec.type) for i in world.extras() if i.name in names), None)


def _granted(desired: Desired, chosen: list[Instance], needs: dict[str, Need], what: str) -> Granted:
    said = f"{what}: {select.listed(chosen)}"
    change = Change(event=Kind.COMMAND, text=said) if chosen else None
    return Granted(desired, [i.name for i in chosen], needs, said, change)


def decide(command: Scale | Restart | Stop | SendSignal | Wait | Hold, world: World) -> Decision:
    """The decision on a command, except Reload and Shutdown, which change more than what is desired."""
    match command:
        case Scale():
            return scale(command, world)
        case Restart():
            return restart(command, world)
        case Stop():
            return stop(command, world)
        case SendSignal():
            return send_signal(command, world)
        case Wait():
            return wait(command, world)
        case Hold():
            return hold(command, world)
        case _:
            assert_never(command)
