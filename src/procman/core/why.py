"""Why an instance is as it is, what comes next, and what a person can do; by the same functions that decide it."""

from __future__ import annotations

from procman.core import order, overview, readiness, replacing
from procman.core.desired import RegroupMove, Role, is_rolling
from procman.core.formation import Formation
from procman.core.order import Blockers
from procman.core.phases import (
    UP,
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
    Stopping,
    Unhealthy,
    Waiting,
)
from procman.core.policies import OnUnhealthy
from procman.core.spec import CompanionWords, is_companion
from procman.core.view import InstanceView, ReasonCode
from procman.text.words import duration, times


def explain(formation: Formation, name: str, now: float) -> tuple[str, ...]:
    """Sentences: its state and since when, what comes next, what can be done. Empty for an unknown instance."""
    i = formation.slots.get(name)
    if i is None:
        return ()
    if is_companion(i.spec.type):
        return _companion(formation, i, now)
    due = overview.due_after(formation, i)
    lines = [_state(i, overview.row(formation, i, now)), _before(i), _next(formation, i, now)]
    lines += [*_move(formation, i, due, now), *_role(formation, i)]
    return (*(line for line in lines if line), *_hint(formation, i, due))


def _move(formation: Formation, i: Instance, due: Blockers, now: float) -> list[str]:
    """What will happen to it, and what that waits for."""
    move, type_name = formation.desired.moves.get(i.name), i.spec.type
    rollout = formation.rollouts.shown(type_name, formation.desired, formation.slots.of(type_name))
    needing, closing = overview.stops_after(formation, i), formation.desired.closing
    trial = formation.rollouts.trial_left(i, now)
    if needing is not None and closing is not None:
        left = order.all_asked_at(closing.since, closing.grace) - now
        return [f"it is asked to end when {needing.name} has ended, in {duration(left)} at the latest"]
    if due.dependencies:
        return [f"it is restarted when {' and '.join(due.needs())} again"]
    if isinstance(move, RegroupMove) and isinstance(i.phase, UP):
        return [f"it will be {move.why.text}, when those after it in its group have stopped"]
    if is_rolling(move):
        turn = f"it is replaced in its turn ({move.why.text}): the rollout of {type_name} is at {rollout}"
        return [turn, *_waits_for(formation, i, now)]
    if trial is not None:
        return [f"it must stay ready for another {duration(trial)}: the rollout of {type_name} is at {rollout}"]
    if rollout is not None and rollout.startswith("aborted"):
        return [f"the last rollout of {type_name} was {rollout}"]
    return []


def _role(formation: Formation, i: Instance) -> list[str]:
    type_name = i.spec.type
    match formation.desired.role(type_name, i.index):
        case Role.SURGE:
            rollout = formation.rollouts.shown(type_name, formation.desired, formation.slots.of(type_name))
            return [f"it is stopped when the others of {type_name} have been replaced: {rollout}"]
        case Role.LEAVING:
            return [f"{type_name} needs it no longer: its number is free when its last process has ended"]
        case _:
            return []


def _companion(formation: Formation, i: Instance, now: float) -> tuple[str, ...]:
    """It is always started again, however it ends, so no person has to do that."""
    words = i.spec.words or CompanionWords()  # one of an older version has none
    lines = [_state(i, overview.row(formation, i, now)), words.purpose]
    match i.phase:
        case Unhealthy():
            lines += ["it tries again by itself: fix what it reports; nothing has to be restarted", words.without]
        case Backoff():
            lines += [_next(formation, i, now), words.without]
        case _:
            lines.append(_next(formation, i, now))
    return (*(line for line in (*lines, words.help) if line), f"`procman logs {i.name}` shows what it reported")


def _state(i: Instance, row: InstanceView) -> str:
    """Its state, since when, and why."""
    age, reason = duration(row.age), f": {row.reason}" if row.reason else ""
    match i.phase:
        case Waiting():
            return f"{i.name} has been waiting for {age}, {(row.reason or '').removeprefix('waiting ')}"
        case Unhealthy():
            return f"{i.name} has been unhealthy for {age}{reason.replace('unhealthy: ', '', 1)}"
        case Backoff():
            return f"{i.name} has been in backoff for {age}{reason}"
        case Failed() | Done():
            return f"{i.name} {'failed' if isinstance(i.phase, Failed) else 'was done'} {age} ago{reason}"
        case Down(why) if why is not None and why.code is not ReasonCode.SHUTDOWN:
            return f"{i.name} was {row.reason}"
        case Down():
            return f"{i.name} is stopped{reason}"
        case _:
            return f"{i.name} has been {row.phase} for {age}{reason}"


def _before(i: Instance) -> str:
    """How the previous runs ended, if it was started because of that."""
    record = i.record
    if not isinstance(i.phase, Spawning | Starting) or not record.failures or record.last_exit is None:
        return ""
    row = f", {times(record.failures)}" if record.failures > 1 else ""
    return f"the previous run ended: {record.last_exit}{row}"


def _waits_for(formation: Formation, i: Instance, now: float) -> list[str]:
    """What has to come before its turn in a rollout."""
    slot = formation.world.surge(i.spec.type)
    if slot is not None and not isinstance(slot.phase, Ready):
        return [f"the extra instance {slot.name} has to be ready first (`procman why {slot.name}`)"]
    for other in formation.slots.of(i.spec.type):
        trial = formation.rollouts.trial_left(other, now)
        if trial is not None:
            return [f"{other.name} has to stay ready for another {duration(trial)} first"]
    return []


def _next(formation: Formation, i: Instance, now: float) -> str:
    match i.phase:
        case Waiting():
            needs = " and ".join(overview.blocked(formation, i).needs())
            return f"it is started as soon as {needs}" if needs else "it is about to be started"
        case Spawning():
            return "its process is being made"
        case Starting() if i.spec.ready is not None:
            left = i.phase.leader.started_at + i.spec.ready.timeout - now
            answer = i.phase.answer or readiness.silence(i.spec.ready.probe)
            return f"not ready so far: {answer}; restarted in {duration(left)} if that stays so"
        case Starting():
            return "it counts as ready a second after its start"
        case Unhealthy(failed_checks=failed):
            health, back = i.spec.health, "it is back in rotation at the next good check"
            if not failed or health is None or health.on_failure is not OnUnhealthy.RESTART:
                return back
            return f"{back}, and restarted after {health.failures} failed ones in a row ({failed} so far)"
        case Draining(held_by=held_by):
            then = f"it {'is started again' if i.wanted else 'stays down'}"
            early = (
                f"it gets no new requests; when none is left, {', '.join(held_by)} lets it stop at once"
                if held_by
                else ""
            )
            return f"{early}; then {then}" if early else f"after the stop signal {then}"
        case Stopping() | Clearing():
            return f"{'it is started again' if i.wanted else 'it is stopped'} when nothing of it is left"
        case Backoff(until=until):
            return f"it is started again in {duration(until - now)}"
        case Ready() if i.spec.recycle is not None:
            return replacing.limits(i.spec.recycle)
        case Ready() if i.spec.oneshot:
            return "it is a one-off: done when it has ended with success"
        case Down() | Ready() | Failed() | Done():
            return ""


def _hint(formation: Formation, i: Instance, due: Blockers) -> tuple[str, ...]:
    match i.phase:
        case Waiting() | Ready():
            waits = overview.blocked(formation, i) if isinstance(i.phase, Waiting) else due
            ended = waits.to_start(formation.slots)
            return (f"`procman restart {ended}` starts what it waits for",) if ended is not None else ()
        case Down() | Failed() | Done():
            return (f"`procman restart {i.name}` starts it",)
        case Backoff() | Unhealthy() | Starting():
            return (f"`procman logs {i.name}` shows its output",)
        case _:
            return ()
