"""How a stop goes: asked politely, a last call to the whole group, KILL, and what is left after that is unkillable.

Part of the machine in instance.py, which holds the table; the order of signals is docs/reference/signals.md.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from procman.core.actions import Action, SetTimer, Signal, SignalProcess, Target
from procman.core.events import Adopted
from procman.core.spec import StopMode
from procman.core.state import ASKED_FOR, Cause, Instance, Phase, Stage, Step, told
from procman.core.view import Kind
from procman.text.words import duration

REPEAT_EVERY = 1.0
"""An instance that was not ready yet may lose the stop signal (Erlang does in its first 300 ms): seconds to a repeat."""

LAST_CALL = 2.0
"""Seconds before the deadline at which the whole group gets the signal; at half time where the grace is under twice that."""

UNKILLABLE_AFTER = 5.0
"""Seconds after KILL at which what is still there is called unkillable (a process in uninterruptible sleep)."""


def begin(i: Instance, cause: Cause, why: str, now: float) -> Step:
    """Ask it to end: the stop signal, and CONT so that a process that was suspended can act on it."""
    i = replace(
        i,
        phase=Phase.STOPPING,
        cause=cause,
        stage=Stage.POLITE,
        since=now,
        reason=why,
        deadline=now + i.stop.grace,
        token=i.token + 1,
    )
    news = told(i, Kind.STOPPING, f"stopping {i.name}: {why}", quiet=True)
    if i.stop.grace <= 0:
        i, actions = kill(i, now)
        return i, (news, *actions)
    first = {StopMode.TOP_DOWN: (Target.TOP,), StopMode.GROUP: (Target.ALL,), StopMode.LEADER: (Target.LEADER,)}
    signals = [s for target in first[i.stop.mode] for s in _signals(i, target)]
    return i, (news, *signals, _next_press(i, now))


def clear(i: Instance, cause: Cause, news: Action, now: float) -> Step:
    """It ended by itself: KILL what is left of its group; what left the group is asked, then killed."""
    i = replace(
        i,
        phase=Phase.STOPPING,
        cause=cause,
        stage=Stage.LAST_CALL,
        since=now,
        deadline=now + i.stop.grace,
        token=i.token + 1,
    )
    kill = Signal(i.name, i.generation, "KILL", Target.GROUP)
    return i, (news, kill, *_signals(i, Target.ADOPTED), SetTimer(i.name, i.token, i.deadline))


def press(i: Instance, now: float) -> Step:
    """A deadline of a stop has come: repeat, last call, KILL, unkillable."""
    match i.stage:
        case Stage.POLITE if i.stop.mode is not StopMode.TOP_DOWN and now >= i.deadline:
            return _kill_late(i, now)
        case Stage.POLITE if now >= i.deadline - _lead(i):
            # where procman itself was suspended past the deadline, the last call still comes before KILL
            late = max(i.deadline, now + _lead(i))
            i = replace(i, stage=Stage.LAST_CALL, deadline=late, token=i.token + 1)
            return i, (*_signals(i, Target.ALL), SetTimer(i.name, i.token, i.deadline))
        case Stage.POLITE:
            i = replace(i, token=i.token + 1)
            return i, (*_signals(i, Target.LEADER), _next_press(i, now))
        case Stage.LAST_CALL:
            return _kill_late(i, now)
        case Stage.KILLED:
            i = replace(i, stage=Stage.UNKILLABLE, reason="unkillable: KILL had no effect")
            text = f"{i.name} (pid {i.pid}) is unkillable: still there {UNKILLABLE_AFTER:.0f} s after KILL"
            return i, (told(i, Kind.UNKILLABLE, text),)
        case Stage.UNKILLABLE | None:
            return i, ()
        case _:
            assert_never(i.stage)


def _kill_late(i: Instance, now: float) -> Step:
    asked = i.cause in ASKED_FOR
    what = "did not stop" if asked else "left processes that did not stop"
    i, actions = kill(i, now)
    return i, (told(i, Kind.KILLED, f"{i.name} {what} in {duration(i.stop.grace)}: killed"), *actions)


def kill(i: Instance, now: float) -> Step:
    i = replace(i, stage=Stage.KILLED, deadline=now, token=i.token + 1)
    kill = Signal(i.name, i.generation, "KILL", Target.ALL)
    return i, (kill, SetTimer(i.name, i.token, now + UNKILLABLE_AFTER))


def kill_again(i: Instance) -> tuple[Action, ...]:
    """Asked once more: KILL, without another five seconds of patience."""
    return (Signal(i.name, i.generation, "KILL", Target.ALL),)


def _lead(i: Instance) -> float:
    """How long before the deadline the whole group is called, in seconds."""
    if i.stop.mode is not StopMode.TOP_DOWN:
        return 0.0
    return LAST_CALL if i.stop.grace >= 2 * LAST_CALL else i.stop.grace / 2


def _next_press(i: Instance, now: float) -> SetTimer:
    at = i.deadline - _lead(i)
    if i.ready_at is None:
        at = min(at, now + REPEAT_EVERY)
    return SetTimer(i.name, i.token, at)


def _signals(i: Instance, target: Target) -> tuple[Action, ...]:
    stop = Signal(i.name, i.generation, i.stop.signal, target)
    return stop, Signal(i.name, i.generation, "CONT", target)


def adopted(i: Instance, event: Adopted) -> tuple[Action, ...]:
    """Top-down: a member of the group gets the signal once its own parent is gone. What left the group gets it too."""
    if i.stage in (Stage.KILLED, Stage.UNKILLABLE):
        return (SignalProcess(event.pid, "KILL"),)
    if i.stage is Stage.LAST_CALL or i.stop.mode is StopMode.GROUP:  # the group has been signalled as a whole
        called = event.in_group
    else:
        called = i.stop.mode is StopMode.LEADER
    if called:
        return ()
    return SignalProcess(event.pid, i.stop.signal), SignalProcess(event.pid, "CONT")
