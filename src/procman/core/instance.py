"""One instance's life: `step(instance, event, now) -> (instance, actions)`, a pure function of frozen values.

The machine, one row a phase (what is not named is ignored):

    phase      shown as   StartWanted    StopWanted        RestartWanted         Spawned    SpawnFailed     Exited               Emptied    TimerFired
    DOWN       stopped    spawn                    spawn
    SPAWNING   starting   wanted    unwanted       again, after     STARTING   BACKOFF/FAILED
                                                   Spawned          or stop
    STARTING   starting             stop: asked    stop: replaced                              clean-up: by verdict            READY
    READY      ready                stop: asked    stop: replaced                              clean-up: by verdict
    STOPPING   stopping   wanted    unwanted       wanted, anew                                status noted         by cause   repeat, last call,
                                                                                               (asked, replaced)    and wanted KILL, unkillable
    BACKOFF    backoff              DOWN           spawn now                                                                   spawn
    FAILED     failed     spawn     DOWN           spawn
    DONE       done       spawn     DOWN           spawn

KillAsked sends KILL at once in every phase that has a process, and ends a backoff. Adopted moves nothing: in STOPPING
the process is asked to end too, else it is kept where it is. `wanted` and `phase` are the only two dimensions:
`cause` is what STOPPING is for, `stage` how far it has gone.

Every event of a life names it by `generation`; every timer carries the `token` of the instance's one live deadline.
A mismatch is dropped in `step` and nowhere else.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from procman.core import restart, stopping
from procman.core.actions import Action, ShareDaemon, SetTimer, Spawn
from procman.core.events import (
    Adopted,
    Emptied,
    Exited,
    ExitStatus,
    KillAsked,
    StopWanted,
    StartWanted,
    RestartWanted,
    SlotEvent,
    Spawned,
    SpawnFailed,
    TimerFired,
)
from procman.core.restart import Outcome
from procman.core.state import Cause, Instance, Phase, Stage, Step, told
from procman.core.view import Kind, duration, times

READY_AFTER = 1.0
"""Seconds of life after which an instance without a readiness check is ready."""


def step(i: Instance, event: SlotEvent, now: float) -> Step:
    """The instance after the event, and what to do. Late and foreign events change nothing."""
    match event:
        case StartWanted():
            return _raised(i, now)
        case StopWanted():
            return _lowered(i, event, now)
        case RestartWanted():
            return _replaced(i, event, now)
        case KillAsked():
            return _kill_asked(i, now)
        case TimerFired():
            return _timer(i, now) if event.token == i.token else (i, ())
    if event.generation != i.generation:
        return i, ()
    match event:
        case Spawned():
            return _spawned(i, event, now)
        case SpawnFailed():
            return _spawn_failed(i, event, now)
        case Exited():
            return _exited(i, event, now)
        case Emptied():
            return _emptied(i, now)
        case Adopted():
            return i, _adopted(i, event)
        case _:
            assert_never(event)


# ---- what is wanted


def _raised(i: Instance, now: float) -> Step:
    match i.phase:
        case Phase.DOWN | Phase.FAILED | Phase.DONE:
            return _spawn(_afresh(i), now)
        case Phase.SPAWNING | Phase.STOPPING:
            return replace(i, wanted=True), ()
        case Phase.STARTING | Phase.READY | Phase.BACKOFF:
            return i, ()
        case _:
            assert_never(i.phase)


def _lowered(i: Instance, event: StopWanted, now: float) -> Step:
    match i.phase:
        case Phase.DOWN:
            return i, ()
        case Phase.SPAWNING:
            return replace(i, wanted=False, reason=event.why), ()
        case Phase.STOPPING:  # also where it had ended by itself: whoever wants it after this wants a new life
            return replace(i, wanted=False, cause=Cause.ASKED, reason=event.why), ()
        case Phase.STARTING | Phase.READY:
            return stopping.begin(replace(i, wanted=False), Cause.ASKED, event.why, now)
        case Phase.BACKOFF | Phase.FAILED | Phase.DONE:
            return _down(replace(i, wanted=False, reason=event.why), now)
        case _:
            assert_never(i.phase)


def _replaced(i: Instance, event: RestartWanted, now: float) -> Step:
    i = replace(i, spec=event.spec, wanted=True)
    match i.phase:
        case Phase.DOWN | Phase.BACKOFF | Phase.FAILED | Phase.DONE:
            return _spawn(_afresh(i), now)
        case Phase.SPAWNING | Phase.STOPPING:
            return replace(i, cause=Cause.REPLACED, reason=event.why), ()
        case Phase.STARTING | Phase.READY:
            return stopping.begin(i, Cause.REPLACED, event.why, now)
        case _:
            assert_never(i.phase)


def _kill_asked(i: Instance, now: float) -> Step:
    match i.phase:
        case Phase.SPAWNING:
            return replace(i, wanted=False, stage=Stage.KILLED), ()
        case Phase.STOPPING if i.stage in (Stage.KILLED, Stage.UNKILLABLE):
            return replace(i, wanted=False), stopping.kill_again(i)
        case Phase.STARTING | Phase.READY | Phase.STOPPING:
            i = replace(i, wanted=False, phase=Phase.STOPPING, cause=i.cause or Cause.ASKED, since=now)
            return stopping.kill(i, now)
        case Phase.BACKOFF:
            return _lowered(i, StopWanted("killed"), now)
        case Phase.DOWN | Phase.FAILED | Phase.DONE:
            return i, ()
        case _:
            assert_never(i.phase)


# ---- what the kernel saw


def _spawned(i: Instance, event: Spawned, now: float) -> Step:
    if i.phase is not Phase.SPAWNING:
        return i, ()
    i = replace(i, pid=event.pid, born=now)
    if i.stage is Stage.KILLED:
        return stopping.kill(replace(i, phase=Phase.STOPPING, cause=Cause.ASKED, since=now), now)
    if not i.wanted:
        return stopping.begin(i, Cause.ASKED, i.reason, now)
    if i.cause is Cause.REPLACED:
        return stopping.begin(i, Cause.REPLACED, i.reason, now)
    i = replace(i, phase=Phase.STARTING, since=now)
    news = told(i, Kind.STARTED, f"{i.name} started (pid {event.pid})", quiet=True)
    return i, (SetTimer(i.name, i.token, now + READY_AFTER), news)


def _spawn_failed(i: Instance, event: SpawnFailed, now: float) -> Step:
    if i.phase is not Phase.SPAWNING:
        return i, ()
    status = ExitStatus(event.code)
    i = replace(i, exit=status, last_exit=status)
    if not i.wanted:
        return _down(i, now)
    if i.cause is Cause.REPLACED:
        return _spawn(_afresh(i), now)
    i = replace(i, ended=now, failures=i.failures + 1, early=i.early + 1)
    outcome, rule = restart.judge_failed_start(i.spec, event.code, i.failures)
    reason = f"cannot start: {event.why}"
    if outcome is not Outcome.RETRY:
        i = replace(i, phase=Phase.FAILED, since=now, reason=f"{reason}; {rule}")
        return i, (told(i, Kind.FAILED, f"{i.name} failed: {i.reason}"),)
    i = replace(i, reason=reason, delay=restart.backoff(i.spec.restart, i.failures, event.jitter))
    news = told(i, Kind.START_FAILED, f"{i.name} did not start: {event.why}; {_again(i)}", retry_in=i.delay)
    i, actions = _back_off(i, now)
    return i, (news, *actions)


def _exited(i: Instance, event: Exited, now: float) -> Step:
    if not i.alive:
        return i, ()
    i = replace(i, exit=event.status, last_exit=event.status)
    if i.phase is Phase.STOPPING:
        return i, ()
    if i.ready_at is not None and now - i.ready_at >= i.spec.restart.reset_after:
        i = replace(i, failures=0)
    lived = now - i.born
    i = replace(i, ended=now, failures=i.failures + 1, early=i.early + 1 if i.ready_at is None else 0)
    outcome, rule = restart.judge(i.spec, event.status, i.failures)
    how = restart.described(event.status, lived)
    row = f" {times(i.failures)}" if outcome is Outcome.RETRY and i.failures > 1 else ""
    note = f": {event.note}" if event.note else ""
    i = replace(
        i,
        phase=Phase.STOPPING,
        reason=how + row + note,
        delay=restart.backoff(i.spec.restart, i.failures, event.jitter),
    )
    ended = f"{how} after {duration(lived)}{',' if row else ''}{row}{note}"
    news: Action
    match outcome:
        case Outcome.RETRY:
            cause = Cause.CRASHED
            news = told(i, Kind.ENDED, f"{i.name} ended: {ended}; {_again(i)}", retry_in=i.delay)
        case Outcome.GIVE_UP:
            cause = Cause.GAVE_UP
            i = replace(i, reason=f"{i.reason}; {rule}")
            news = told(i, Kind.ENDED, f"{i.name} failed: {ended}; {rule}")
        case Outcome.DONE:
            cause = Cause.ENDED
            news = told(i, Kind.ENDED, f"{i.name} is done: {ended}" + (f" ({rule})" if rule else ""))
        case _:
            assert_never(outcome)
    return stopping.clear(i, cause, news, now)


def _emptied(i: Instance, now: float) -> Step:
    if i.phase is not Phase.STOPPING:
        return i, ()
    if not i.wanted:
        return _down(i, now)
    match i.cause:
        case Cause.ASKED | Cause.REPLACED | None:
            return _spawn(_afresh(i), now)
        case Cause.CRASHED:
            return _back_off(i, now)
        case Cause.GAVE_UP:
            i = _rested(i, Phase.FAILED, now)
            return i, (told(i, Kind.FAILED, f"{i.name} failed: {i.reason}", quiet=True),)
        case Cause.ENDED:
            i = _rested(i, Phase.DONE, now)
            return i, (told(i, Kind.DONE, f"{i.name} is done: {i.reason}", quiet=True),)
        case _:
            assert_never(i.cause)


def _adopted(i: Instance, event: Adopted) -> tuple[Action, ...]:
    """One that left the group while its instance lives serves the whole type (epmd serves every node)."""
    if i.phase is Phase.STOPPING:
        return stopping.adopted(i, event)
    if event.in_group:
        return ()
    return ShareDaemon(i.name, event.pid), told(i, Kind.ADOPTED, f"{i.name} has a daemon (pid {event.pid})", quiet=True)


def _timer(i: Instance, now: float) -> Step:
    match i.phase:
        case Phase.STARTING:
            i = replace(i, phase=Phase.READY, since=now, ready_at=now, early=0)
            return i, (told(i, Kind.READY, f"{i.name} is ready", quiet=True),)
        case Phase.BACKOFF:
            return _spawn(replace(i, restarts=i.restarts + 1), now)
        case Phase.STOPPING:
            return stopping.press(i, now)
        case Phase.DOWN | Phase.SPAWNING | Phase.READY | Phase.FAILED | Phase.DONE:
            return i, ()
        case _:
            assert_never(i.phase)


# ---- the ways from phase to phase


def _afresh(i: Instance) -> Instance:
    """A person's word starts the counts of failures anew."""
    return replace(i, failures=0, early=0)


def _spawn(i: Instance, now: float) -> Step:
    i = replace(
        i,
        phase=Phase.SPAWNING,
        wanted=True,
        generation=i.generation + 1,
        token=i.token + 1,
        pid=None,
        stop=i.spec.stop,
        cause=None,
        stage=None,
        exit=None,
        since=now,
        born=now,
        ready_at=None,
    )
    return i, (Spawn(i.name, i.generation, i.spec, i.index),)


def _rested(i: Instance, phase: Phase, now: float) -> Instance:
    return replace(i, phase=phase, pid=None, cause=None, stage=None, since=now, token=i.token + 1)


def _down(i: Instance, now: float) -> Step:
    clean = i.last_exit is None or i.last_exit.code in (0, i.stop.exit_code) or i.phase is not Phase.STOPPING
    ended = f": {i.exit}" if i.exit and i.phase is Phase.STOPPING else ""
    i = _rested(i, Phase.DOWN, now)
    return i, (told(i, Kind.STOPPED, f"{i.name} stopped{ended}", quiet=clean),)


def _back_off(i: Instance, now: float) -> Step:
    i = replace(_rested(i, Phase.BACKOFF, now), deadline=now + i.delay)
    news = told(i, Kind.BACKOFF, f"{i.name}: {_again(i)}", quiet=True, retry_in=i.delay)
    return i, (SetTimer(i.name, i.token, i.deadline), news)


def _again(i: Instance) -> str:
    return f"starting again in {duration(i.delay)}" if i.delay > 0 else "starting again at once"
