"""One instance's life: `step(instance, event, now) -> (instance, actions, facts)`, a pure function of frozen values.

The machine, one row a phase (what is not named is ignored):

    phase     shown as   StartWanted WaitWanted StopWanted RestartWanted       HaltWanted Spawned          SpawnFailed       Exited       Emptied       Probed Released Reported   TimerFired
    DOWN      stopped    spawn       WAITING               spawn
    WAITING   waiting    spawn       others     DOWN       other spec
    SPAWNING  starting   wanted                 unwanted   anew, after Spawned noted      STARTING or stop BACKOFF or FAILED
    STARTING  starting                          stop       stop, anew          stop                                          CLEARING                                              READY, or stop: not ready
    READY     ready                             stop       stop, anew          stop                                          CLEARING                                   UNHEALTHY
    UNHEALTHY unhealthy                         stop       stop, anew          stop                                          CLEARING                   READY           READY
    DRAINING  draining   wanted                 unwanted   wanted, anew                                                      STOPPING                          STOPPING            STOPPING
    STOPPING  stopping   wanted                 unwanted   wanted, anew                                                      status noted DOWN or spawn                            escalate
    CLEARING  by verdict wanted                 unwanted   wanted, anew                                                                   by verdict                               KILL, unkillable
    BACKOFF   backoff                WAITING    DOWN       spawn now                                                                                                               spawn
    FAILED    failed     spawn       WAITING    DOWN       spawn
    DONE      done       spawn       WAITING    DOWN       spawn

A stop leads to DRAINING first where one that was ready is held, or its type drains, else to STOPPING. With a readiness probe
an answer makes STARTING ready, and the deadline ends it; with a health probe READY and UNHEALTHY change by answers.
What HaltWanted stops is WAITING after that, or FAILED with its group (halting.py).

KillAsked sends KILL at once in every phase that has a process, and ends a backoff. Adopted moves nothing: in STOPPING
and CLEARING the process is asked to end too, else it is kept where it is. The phases are values (phases.py), each with
just what it needs; `wanted` is the only other dimension.

Every event of a life names it by `generation`; every timer carries the `token` of the instance's one live deadline.
A mismatch is dropped in `step` and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from msgspec.structs import replace

from procman.core import restart
from procman.core.actions import SetTimer, Spawn
from procman.core.events import (
    Adopted,
    Emptied,
    Exited,
    ExitStatus,
    HaltWanted,
    KillAsked,
    Notified,
    Probed,
    Released,
    Reported,
    RestartWanted,
    SlotEvent,
    Spawned,
    SpawnFailed,
    StartWanted,
    StopWanted,
    TimerFired,
    WaitWanted,
)
from procman.core.facts import Died, EndedItself, Fact, LeaderEnded, Rested, Started
from procman.core.phases import (
    AT_REST,
    STOP_AFTER_SPAWN,
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
    Leader,
    Ready,
    Spawning,
    Starting,
    Step,
    Stopping,
    StopReason,
    StopStep,
    Unhealthy,
    Waiting,
    counted,
    enter,
    noted,
)
from procman.core.restart import Outcome
from procman.core.timers import SlotTimer
from procman.core.view import Reason, ReasonCode
from procman.later import later

if TYPE_CHECKING:
    from procman.core import daemons, halting, hints, readiness, stopping, wording
else:
    daemons = later(__name__, "procman.core.daemons")
    halting = later(__name__, "procman.core.halting")
    hints = later(__name__, "procman.core.hints")
    readiness = later(__name__, "procman.core.readiness")
    stopping = later(__name__, "procman.core.stopping")
    wording = later(__name__, "procman.core.wording")


def step(i: Instance, event: SlotEvent, now: float) -> Step:
    """The instance after the event, what to do, and what it means. Late and foreign events change nothing."""
    match event:
        case StartWanted():
            return _start_wanted(i, now)
        case WaitWanted():
            return _wait_wanted(i, event, now)
        case StopWanted():
            return _stop_wanted(i, event, now)
        case RestartWanted():
            return _restart_wanted(i, event, now)
        case HaltWanted():
            return halting.halt(i, event, now)
        case KillAsked():
            return _kill_asked(i, now)
        case TimerFired():
            return _timer(i, now) if event.token == i.token else Step(i)
    if event.generation != i.generation:
        return Step(i)
    match event:
        case Spawned():
            return _spawned(i, event, now)
        case SpawnFailed():
            return _spawn_failed(i, event, now)
        case Exited():
            return _exited(i, event, now)
        case Emptied():
            return _emptied(i, now)
        case Probed() | Notified() | Reported():
            return readiness.heard(i, event, now)
        case Released():
            return stopping.released(i, event, now) if isinstance(i.phase, Draining) else Step(i)
        case Adopted():
            return daemons.adopted(i, event)
        case _:
            assert_never(event)


# ---- what is wanted


def _start_wanted(i: Instance, now: float) -> Step:
    match i.phase:
        case Waiting(retry=True):
            return _spawn(noted(i, restarts=i.record.restarts + 1), now)
        case Down() | Failed() | Done() | Waiting():
            return _spawn(_afresh(i), now)
        case Spawning() | Draining() | Stopping() | Clearing():
            return Step(replace(i, wanted=True))
        case Starting() | Ready() | Unhealthy() | Backoff():
            return Step(i)
        case _:
            assert_never(i.phase)


def _wait_wanted(i: Instance, event: WaitWanted, now: float) -> Step:
    if isinstance(i.phase, Waiting):
        return Step(replace(i, phase=replace(i.phase, on=event.on)))
    if isinstance(i.phase, Backoff):
        i = enter(i, Waiting(event.on, retry=True), now)
    elif isinstance(i.phase, AT_REST):
        i = replace(enter(_afresh(i), Waiting(event.on), now), wanted=True)
    else:
        return Step(i)
    return Step(i, (wording.waits(i, event.on),))


def _stop_wanted(i: Instance, event: StopWanted, now: float) -> Step:
    i, why = replace(i, wanted=False), event.why
    match i.phase:
        case Down():
            return Step(i)
        case Spawning() as phase:
            return Step(replace(i, phase=replace(phase, why=why)))
        case Stopping() as phase:
            return Step(replace(i, phase=replace(phase, reason=StopReason.ASKED, why=why)))
        case Clearing() as phase:  # whoever wants it after this wants a new life
            return Step(replace(i, phase=replace(phase, then=AfterClearing.RESPAWN, why=why)))
        case Draining():
            return stopping.go_on(i, StopReason.ASKED, event)
        case Starting() | Ready() | Unhealthy():
            return stopping.ask(i, StopReason.ASKED, event, now)
        case Waiting() | Backoff() | Failed() | Done():
            return _down(i, why, now)
        case _:
            assert_never(i.phase)


def _restart_wanted(i: Instance, event: RestartWanted, now: float) -> Step:
    i = replace(i, spec=event.spec, wanted=True)
    match i.phase:
        case Down() | Backoff() | Failed() | Done():
            return _spawn(_afresh(i), now)
        case Waiting():
            return Step(i)
        case Spawning() as phase:
            then = AfterSpawn.KILL if phase.then is AfterSpawn.KILL else AfterSpawn.REPLACE
            return Step(replace(i, phase=replace(phase, then=then, why=event.why)))
        case Stopping() as phase:
            return Step(replace(i, phase=replace(phase, reason=StopReason.REPLACED, why=event.why)))
        case Clearing() as phase:
            return Step(replace(i, phase=replace(phase, then=AfterClearing.RESPAWN, why=event.why)))
        case Draining():
            return stopping.go_on(i, StopReason.REPLACED, event)
        case Starting() | Ready() | Unhealthy():
            return stopping.ask(i, StopReason.REPLACED, event, now)
        case _:
            assert_never(i.phase)


def _kill_asked(i: Instance, now: float) -> Step:
    match i.phase:
        case Spawning() as phase:
            return Step(replace(i, wanted=False, phase=replace(phase, then=AfterSpawn.KILL)))
        case Stopping(step=step) | Clearing(step=step) if step in (StopStep.KILL_SENT, StopStep.UNKILLABLE):
            return Step(replace(i, wanted=False), (stopping.kill_all(i),))
        case Starting(leader) | Ready(leader) | Unhealthy(leader) | Draining(leader):
            return stopping.kill_at_once(replace(i, wanted=False), leader, wording.KILLED, now)
        case Stopping() | Clearing():
            return stopping.kill(replace(i, wanted=False), now)
        case Backoff() | Waiting():
            return _stop_wanted(i, StopWanted(wording.KILLED), now)
        case Down() | Failed() | Done():
            return Step(i)
        case _:
            assert_never(i.phase)


# ---- what the kernel saw


def _spawned(i: Instance, event: Spawned, now: float) -> Step:
    if not isinstance(i.phase, Spawning):
        return Step(i)
    phase = i.phase
    probed = i.spec.ready is not None or i.spec.health is not None
    leader = Leader(event.pid, now, phase.stop, event.shell, probed)
    started = (Started(i.name, i.generation),)
    why = phase.why or wording.STOPPED
    if phase.then is AfterSpawn.KILL:
        return stopping.kill_at_once(i, leader, why, now)._replace(facts=started)
    reason = STOP_AFTER_SPAWN.get(phase.then) if i.wanted else StopReason.ASKED
    if reason is not None:
        return stopping.begin(i, leader, stopping.StopCause(reason, why), now)._replace(facts=started)
    i = enter(i, Starting(leader), now)
    return Step(i, (*readiness.begin(i, now), wording.started(i)), started)


def _spawn_failed(i: Instance, event: SpawnFailed, now: float) -> Step:
    if not isinstance(i.phase, Spawning):
        return Step(i)
    status = ExitStatus(event.code)
    then, stopped = i.phase.then, i.phase.why
    i = noted(i, last_exit=status)
    if not i.wanted:
        return _down(i, stopped, now)
    if then in (AfterSpawn.REGROUP, AfterSpawn.FAIL):
        return halting.halted(i, stopped or wording.STOPPED, now, failed=then is AfterSpawn.FAIL)
    if then is not AfterSpawn.RUN:
        return _spawn(_afresh(i), now)
    record = i.record
    i = noted(i, ended_at=now, died_at=now, failures=record.failures + 1, early_exits=record.early_exits + 1)
    outcome, rule = restart.judge_failed_start(i.spec, event.code, i.record.failures)
    facts: tuple[Fact, ...] = (EndedItself(i.name, status), Died(i.name, outcome is Outcome.RETRY))
    reason = f"cannot start: {event.why}"
    if outcome is not Outcome.RETRY:
        i = enter(i, Failed(Reason(ReasonCode.GAVE_UP, f"{reason}; {rule}")), now)
        return Step(i, (wording.failed_to_start(i),), (*facts, Rested(i.name)))
    delay = restart.backoff(i.spec.restart, i.record.failures, event.jitter)
    news = wording.did_not_start(i, event.why, delay)
    i, actions, _ = _back_off(i, Reason(ReasonCode.CANNOT_START, reason), delay, now)
    return Step(i, (news, *actions), facts)


def _exited(i: Instance, event: Exited, now: float) -> Step:
    if not i.alive:
        return Step(i)
    i = noted(i, last_exit=event.status)
    gone = LeaderEnded(i.name, i.generation, event.status)
    if isinstance(i.phase, Stopping):
        return Step(replace(i, phase=replace(i.phase, exit=event.status)), (), (gone,))
    if isinstance(i.phase, Draining) or not i.wanted:  # a stop had been asked for: what is left of it is to end
        i, actions, _ = stopping.begin_in(i, now)
        return Step(replace(i, phase=replace(i.phase, exit=event.status)), actions, (gone,))
    assert isinstance(i.phase, UP)
    leader = i.phase.leader
    unready = isinstance(i.phase, Starting) and i.spec.ready is not None
    i = counted(i, now)
    outcome, rule = restart.judge(i.spec, event.status, i.record.failures, unready=unready)
    lived = now - leader.started_at
    how = wording.end_of(i, event, lived, again=outcome is Outcome.RETRY, unready=unready)
    hint = hints.of_success(i.spec, event.status, lived, event.daemon) if outcome is Outcome.DONE else rule
    delay = restart.backoff(i.spec.restart, i.record.failures, event.jitter)
    then, code = _AFTER_END[outcome]
    why = Reason(code, f"{how.reason}; {rule}" if outcome is Outcome.GIVE_UP else how.reason)
    facts: tuple[Fact, ...] = (gone, EndedItself(i.name, event.status))
    if outcome is not Outcome.DONE:
        i = noted(i, died_at=now)
        facts = (*facts, Died(i.name, outcome is Outcome.RETRY))
    phase = Clearing(leader, then, why, StopStep.TERM_SENT, now + leader.stop.grace, delay)
    i = enter(i, phase, now)
    return Step(i, (wording.ended(i, outcome, how, hint), *stopping.clean_up(i, phase)), facts)


_AFTER_END = {
    Outcome.RETRY: (AfterClearing.BACKOFF, ReasonCode.ENDED),
    Outcome.GIVE_UP: (AfterClearing.FAILED, ReasonCode.GAVE_UP),
    Outcome.DONE: (AfterClearing.DONE, ReasonCode.ENDED),
}


def _emptied(i: Instance, now: float) -> Step:
    match i.phase:
        case Stopping(why=why) | Clearing(why=why) if not i.wanted:
            return _down(i, why, now)
        case Stopping(reason=StopReason.NOT_READY | StopReason.UNHEALTHY, why=why):
            return _ended_for_its_state(i, why, now)
        case Stopping(reason=StopReason.REGROUPED | StopReason.GROUP_FAILED as reason, why=why):
            return halting.halted(i, why, now, failed=reason is StopReason.GROUP_FAILED)
        case Stopping():
            return _spawn(_afresh(i), now)
        case Clearing(then=then, why=why, delay=delay):
            return _cleared(i, then, why, delay, now)
        case _:
            return Step(i)


def _ended_for_its_state(i: Instance, why: Reason, now: float) -> Step:
    """It was not ready in time, or unhealthy: to be tried again as if it had ended by itself."""
    outcome, rule = restart.judge_failed_start(i.spec, 1, i.record.failures)
    if outcome is Outcome.RETRY:
        return _back_off(i, why, restart.backoff(i.spec.restart, i.record.failures, 0.0), now)
    why = Reason(ReasonCode.GAVE_UP, f"{why.text}; {rule}")
    i = enter(i, Failed(why), now)
    return Step(i, (wording.failed_to_start(i),), (Rested(i.name),))


def _cleared(i: Instance, then: AfterClearing, why: Reason, delay: float, now: float) -> Step:
    match then:
        case AfterClearing.RESPAWN:
            return _spawn(_afresh(i), now)
        case AfterClearing.BACKOFF:
            return _back_off(i, why, delay, now)
        case AfterClearing.FAILED:
            i = enter(i, Failed(why), now)
            return Step(i, (wording.is_failed_at_rest(i, why),), (Rested(i.name),))
        case AfterClearing.DONE:
            i = enter(i, Done(why), now)
            return Step(i, (wording.is_done_at_rest(i, why),), (Rested(i.name),))
        case _:
            assert_never(then)


def _timer(i: Instance, now: float) -> Step:
    match i.phase:
        case Starting() as phase:
            return readiness.deadline(i, phase, now)
        case Backoff():
            return _spawn(noted(i, restarts=i.record.restarts + 1), now)
        case Stopping() as phase:
            return stopping.escalate(i, phase, now)
        case Clearing() as phase:
            return stopping.escalate_clearing(i, phase, now)
        case Draining():
            return stopping.next_step_of_drain(i, i.phase, now)
        case Down() | Waiting() | Spawning() | Ready() | Unhealthy() | Failed() | Done():
            return Step(i)
        case _:
            assert_never(i.phase)


# ---- the ways from phase to phase


def _afresh(i: Instance) -> Instance:
    """A person's word starts the counts of failures anew."""
    return noted(i, failures=0, early_exits=0, died_at=None)


def _spawn(i: Instance, now: float) -> Step:
    i = replace(enter(i, Spawning(i.spec.stop), now), wanted=True, generation=i.generation + 1)
    return Step(i, (Spawn(i.name, i.generation, i.spec, i.index),))


def _down(i: Instance, why: Reason | None, now: float) -> Step:
    """Nothing of it is left, and it is not wanted."""
    news = wording.stopped(i)
    return Step(enter(i, Down(why), now), (news,), (Rested(i.name),))


def _back_off(i: Instance, why: Reason, delay: float, now: float) -> Step:
    i = enter(i, Backoff(why, now + delay, delay), now)
    return Step(i, (SetTimer(SlotTimer(i.name), i.token, now + delay), wording.backs_off(i, delay)))
