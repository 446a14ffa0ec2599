"""Why an instance is as it is, what comes next, and what a person can do; by the same functions that decide it."""

from __future__ import annotations

from msgspec import Struct

from procman.core import overview, readiness
from procman.core.desired import RegroupMove, RestartMove, Role, is_rolling
from procman.core.formation import Formation
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
from procman.core.spec import is_companion
from procman.core.view import InstanceView
from procman.text.words import duration


class CompanionWords(Struct, frozen=True):
    """What a companion is there for, what does not happen while it cannot work, and what a person can do meanwhile."""

    purpose: str
    without: str
    help: str = ""


COMPANIONS = {
    "@watch": CompanionWords(
        "it restarts the types whose files change", "until then no change of a file restarts anything"
    ),
    "@autoscale": CompanionWords(
        "it scales the types that have `autoscale:` by their metrics",
        "until then the counts that depend on it stay, or go to their `fallback`",
        "`procman autoscale` shows readings and decisions; `procman scale TYPE=N --force` sets a count meanwhile",
    ),
    "@balancer": CompanionWords(
        "it keeps the load balancer in step with the instances that are ready",
        "until then new instances may get no requests, and a stop waits for its `drain` at most",
    ),
}
"""By type. Every companion of the registry has a row here."""


def explain(formation: Formation, name: str, now: float) -> tuple[str, ...]:
    """Sentences: its state and since when, what comes next, what can be done. Empty for an unknown instance."""
    i = formation.slots.get(name)
    if i is None:
        return ()
    if is_companion(i.spec.type):
        return _companion(formation, i, now)
    lines = [_state(i, overview.row(formation, i, now)), _next(formation, i, now)]
    move = formation.desired.moves.get(i.name)
    rollout = formation.rollouts.shown(i.spec.type, formation.desired, formation.slots.of(i.spec.type))
    if isinstance(move, RestartMove) and move.after:
        lines.append(f"it is restarted when {' and '.join(move.after)} is ready again")
    elif isinstance(move, RegroupMove) and isinstance(i.phase, UP):
        lines.append(f"it is to be {move.why.text}, when those behind it in its group have stopped")
    elif is_rolling(move):
        lines.append(f"it is replaced in its turn: the rollout of {i.spec.type} is at {rollout}")
        lines += _waits_for_the_extra(formation, i)
    elif rollout is not None and rollout.startswith("aborted"):
        lines.append(f"the last rollout of {i.spec.type} was {rollout}")
    match formation.desired.role(i.spec.type, i.index):
        case Role.SURGE:
            lines.append(f"it is stopped when the others of {i.spec.type} have been replaced: {rollout}")
        case Role.LEAVING:
            lines.append(f"{i.spec.type} does without it: its number is free when nothing of it is left")
        case _:
            pass
    return (*(line for line in lines if line), *_hint(formation, i))


def _companion(formation: Formation, i: Instance, now: float) -> tuple[str, ...]:
    """It is started again whatever it ends with, so it never needs a person to do that."""
    words = COMPANIONS.get(i.spec.type, CompanionWords("", ""))  # one of another version has none
    lines = [_state(i, overview.row(formation, i, now)), words.purpose]
    match i.phase:
        case Unhealthy():
            lines += ["it tries again by itself: mend what it reports, nothing has to be restarted", words.without]
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
        case Down():
            return f"{i.name} is {row.reason or 'stopped'}"
        case _:
            return f"{i.name} has been {row.phase} for {age}{reason}"


def _waits_for_the_extra(formation: Formation, i: Instance) -> list[str]:
    extra = formation.desired.surge.get(i.spec.type)
    slot = formation.slots.at(i.spec.type, extra) if extra is not None else None
    if slot is None or isinstance(slot.phase, Ready):
        return []
    return [f"the extra instance {slot.name} has to be ready first (`procman why {slot.name}`)"]


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
            return "it is ready a second after its start"
        case Unhealthy():
            return "it is back in rotation at the next good check"
        case Draining():
            return f"after the stop signal it {'is started again' if i.wanted else 'stays down'}"
        case Stopping() | Clearing():
            return f"{'it is started again' if i.wanted else 'it is stopped'} when nothing of it is left"
        case Backoff(until=until):
            return f"it is started again in {duration(until - now)}"
        case Down() | Ready() | Failed() | Done():
            return ""


def _hint(formation: Formation, i: Instance) -> tuple[str, ...]:
    match i.phase:
        case Waiting():
            failed = overview.blocked(formation, i).hopeless(formation.slots)
            return (f"`procman restart {failed}` starts what it waits for",) if failed is not None else ()
        case Down() | Failed() | Done():
            return (f"`procman restart {i.name}` starts it",)
        case Backoff() | Unhealthy() | Starting():
            return (f"`procman logs {i.name}` shows its output",)
        case _:
            return ()
