"""What follows an end: of the leader, of the last process of an instance, or of a start that failed.

Part of the machine in instance.py, which holds the table. How often and how soon a restart comes is in restart.py.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from procman.core import hints, restart, stopping, wording
from procman.core.actions import SetTimer
from procman.core.events import Exited, ExitStatus, SpawnFailed
from procman.core.facts import Died, EndedItself, Fact, LeaderEnded, Rested
from procman.core.phases import (
    UP,
    AfterClearing,
    AfterSpawn,
    Backoff,
    Clearing,
    Done,
    Down,
    Draining,
    Failed,
    Instance,
    Spawning,
    Starting,
    Step,
    Stopping,
    StopReason,
    StopStep,
    Waiting,
    afresh,
    counted,
    enter,
    noted,
    noted_death,
    spawn,
)
from procman.core.restart import Outcome
from procman.core.timers import SlotTimer
from procman.core.view import Reason, ReasonCode


def spawn_failed(i: Instance, event: SpawnFailed, now: float) -> Step:
    if not isinstance(i.phase, Spawning):
        return Step(i)
    then, status = i.phase.then, ExitStatus(event.code)
    i = noted(i, last_exit=status, exit_asked=False)
    if not i.wanted or then is not AfterSpawn.RUN:
        return spawn_cancelled(i, now)
    i = noted_death(counted(i, now), now)
    outcome, rule = restart.judge_failed_start(i.spec, event.code, i.record.failures)
    facts: tuple[Fact, ...] = (EndedItself(status), Died(outcome is Outcome.RETRY))
    reason = f"cannot start: {event.why}"
    if outcome is not Outcome.RETRY:
        i, actions, rested = _fail(i, Reason(ReasonCode.GAVE_UP, f"{reason}; {rule}"), now)
        return Step(i, actions, (*facts, *rested))
    delay = restart.backoff(i.spec.restart, i.record.failures, event.jitter)
    published = wording.did_not_start(i, event.why, delay)
    i, actions, _ = _back_off(i, Reason(ReasonCode.CANNOT_START, reason), delay, now)
    return Step(i, (published, *actions), facts)


def spawn_cancelled(i: Instance, now: float) -> Step:
    """There is no process. If the instance is wanted again it is started now, with the spec that it has by now."""
    if not isinstance(i.phase, Spawning):
        return Step(i)
    then, why = i.phase.then, i.phase.why
    if i.wanted and then in (AfterSpawn.REGROUP, AfterSpawn.FAIL):
        return halted(i, why or wording.STOPPED, now, failed=then is AfterSpawn.FAIL)
    return spawn(afresh(i), now) if i.wanted else down(i, why, now)


def exited(i: Instance, event: Exited, now: float) -> Step:
    if not i.alive:
        return Step(i)
    i = noted(i, last_exit=event.status, exit_asked=isinstance(i.phase, Stopping))
    gone = LeaderEnded(event.status)
    if isinstance(i.phase, Stopping):
        return Step(replace(i, phase=replace(i.phase, exit=event.status)), (), (gone,))
    if isinstance(i.phase, Draining) or not i.wanted:  # a stop had been asked for: end what is left of it
        i, actions, _ = stopping.begin_in(i, now)
        return Step(replace(i, phase=replace(i.phase, exit=event.status)), actions, (gone,))
    assert isinstance(i.phase, UP)
    leader = i.phase.leader
    unready = isinstance(i.phase, Starting) and i.spec.ready is not None
    i = counted(i, now)
    outcome, rule = restart.judge(i.spec, event.status, i.record.failures, unready=unready)
    lived = now - leader.started_at
    how = wording.end_of(i, event, lived, again=outcome is Outcome.RETRY, unready=unready)
    hint = hints.of_success(i.spec, event, lived) if outcome is Outcome.DONE else rule
    delay = restart.backoff(i.spec.restart, i.record.failures, event.jitter)
    then, code = _AFTER_END[outcome]
    besides = hints.IN_BACKGROUND if hint.startswith(hints.IN_BACKGROUND) else rule
    why = Reason(code, f"{how.reason}; {besides}" if besides else how.reason)
    facts: tuple[Fact, ...] = (gone, EndedItself(event.status))
    if outcome is not Outcome.DONE:
        i = noted_death(i, now)
        facts = (*facts, Died(outcome is Outcome.RETRY))
    phase = Clearing(leader, then, why, StopStep.TERM_SENT, now + leader.stop.grace, delay)
    i = enter(i, phase, now)
    return Step(i, (wording.ended(i, outcome, how, hint), *stopping.clean_up(i, phase)), facts)


_AFTER_END = {
    Outcome.RETRY: (AfterClearing.BACKOFF, ReasonCode.ENDED),
    Outcome.GIVE_UP: (AfterClearing.FAILED, ReasonCode.GAVE_UP),
    Outcome.DONE: (AfterClearing.DONE, ReasonCode.ENDED),
}


def emptied(i: Instance, now: float) -> Step:
    match i.phase:
        case Stopping(why=why) | Clearing(why=why) if not i.wanted:
            return down(i, why, now)
        case Stopping(reason=StopReason.NOT_READY | StopReason.UNHEALTHY, why=why):
            return _ended_for_its_state(i, why, now)
        case Stopping(reason=StopReason.REGROUPED | StopReason.GROUP_FAILED as reason, why=why):
            return halted(i, why, now, failed=reason is StopReason.GROUP_FAILED)
        case Stopping():
            return spawn(afresh(i), now)
        case Clearing(then=then, why=why, delay=delay):
            return _cleared(i, then, why, delay, now)
        case _:
            return Step(i)


def _ended_for_its_state(i: Instance, why: Reason, now: float) -> Step:
    """It was not ready in time, or unhealthy: restarted as if it had ended by itself."""
    outcome, rule = restart.judge_failed_start(i.spec, 1, i.record.failures)
    if outcome is Outcome.RETRY:
        return _back_off(i, why, restart.backoff(i.spec.restart, i.record.failures, 0.0), now)
    return _fail(i, Reason(ReasonCode.GAVE_UP, f"{why.text}; {rule}"), now)


def _cleared(i: Instance, then: AfterClearing, why: Reason, delay: float, now: float) -> Step:
    match then:
        case AfterClearing.RESPAWN:
            return spawn(afresh(i), now)
        case AfterClearing.BACKOFF:
            return _back_off(i, why, delay, now)
        case AfterClearing.FAILED:
            return _fail(i, why, now, logged=False)
        case AfterClearing.DONE:
            i = enter(i, Done(why), now)
            return Step(i, (wording.is_done_at_rest(i, why),), (Rested(),))
        case _:
            assert_never(then)


# ---- the ways out


def down(i: Instance, why: Reason | None, now: float) -> Step:
    """Nothing of it is left, and it is not wanted: it is down."""
    before, i = i.phase, enter(i, Down(why), now)
    return Step(i, (wording.stopped(i, before),), (Rested(),))


def halted(i: Instance, why: Reason, now: float, *, failed: bool) -> Step:
    """Nothing of it is left after a stop with its group: it waits for its turn, or is failed with the whole group."""
    if failed:
        return _fail(noted(i, ended_at=now), why, now, logged=False)
    i = enter(i, Waiting((), retry=True), now)
    return Step(i, (wording.waits(i, ()),))


def _fail(i: Instance, why: Reason, now: float, *, logged: bool = True) -> Step:
    i = enter(i, Failed(why), now)
    return Step(i, (wording.is_failed(i, why, logged=logged),), (Rested(),))


def _back_off(i: Instance, why: Reason, delay: float, now: float) -> Step:
    i = enter(i, Backoff(why, now + delay, delay), now)
    return Step(i, (SetTimer(SlotTimer(i.name), i.token, now + delay), wording.backs_off(i, delay)))
