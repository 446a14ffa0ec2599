"""One instance: `step(instance, event, now) -> (instance, actions, facts)`, a pure function of frozen values.

The machine, one row per phase (what is not named is ignored):

    phase     shown as   StartWanted WaitWanted StopWanted RestartWanted       HaltWanted Spawned          SpawnFailed       SpawnCancelled Unreadable Exited       Emptied       Probed Released Reported  TimerFired
    DOWN      stopped    spawn       WAITING               spawn
    WAITING   waiting    spawn       others     DOWN       other spec
    SPAWNING  starting   wanted                 unwanted   anew, after Spawned noted      STARTING or stop BACKOFF or FAILED DOWN or spawn
    STARTING  starting                          stop       stop, anew          stop                                                         KILL       CLEARING                                             READY, or stop: not ready
    READY     ready                             stop       stop, anew          stop                                                         KILL       CLEARING                                   UNHEALTHY
    UNHEALTHY unhealthy                         stop       stop, anew          stop                                                         KILL       CLEARING                   READY           READY
    DRAINING  draining   wanted                 unwanted   wanted, anew                                                                     KILL       STOPPING                          STOPPING           STOPPING
    STOPPING  stopping   wanted                 unwanted   wanted, anew                                                                     KILL       status noted DOWN or spawn                           escalate
    CLEARING  by verdict wanted                 unwanted   wanted, anew                                                                                             by verdict                              KILL, unkillable
    BACKOFF   backoff                WAITING    DOWN       spawn now                                                                                                                                        spawn
    FAILED    failed     spawn       WAITING    DOWN       spawn
    DONE      done       spawn       WAITING    DOWN       spawn

A stop leads to DRAINING first where one that was ready is held, or its type drains, else to STOPPING. With a readiness probe
an answer makes STARTING ready, and the deadline ends it; with a health probe READY and UNHEALTHY change by answers.
What HaltWanted stops is WAITING after that, or FAILED with its group.

KillAsked sends KILL at once in every phase that has a process, and ends a backoff. Adopted moves nothing: in STOPPING
and CLEARING the process is asked to end too, else it is kept where it is. The phases are values (phases.py), each with
just what it needs; `wanted` is the only other dimension.

Every event of a run names it by `generation`; every timer carries the `token` of the instance's one deadline.
A mismatch is dropped in `step` and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from msgspec.structs import replace

from procman.core import events as saw
from procman.core.actions import CancelSpawn, ShareDaemon
from procman.core.facts import Started
from procman.core.phases import (
    AT_REST,
    STOP_AFTER_SPAWN,
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
    afresh,
    enter,
    noted,
    spawn,
)
from procman.core.view import Reason
from procman.later import later

if TYPE_CHECKING:
    from procman.core import ends, hints, readiness, stopping, wording
else:
    ends = later(__name__, "procman.core.ends")
    hints = later(__name__, "procman.core.hints")
    readiness = later(__name__, "procman.core.readiness")
    stopping = later(__name__, "procman.core.stopping")
    wording = later(__name__, "procman.core.wording")


def step(i: Instance, event: saw.SlotEvent, now: float) -> Step:
    """The instance after the event, what to do, and what it means. Late and foreign events change nothing."""
    if isinstance(event, saw.ProcessEvent):
        return _happened(i, event, now) if event.generation == i.generation else Step(i)
    match event:  # what is frequent comes first
        case saw.TimerFired():
            return _timer(i, now) if event.token == i.token else Step(i)
        case saw.StartWanted():
            return _start_wanted(i, now)
        case saw.StopWanted():
            return _stop_wanted(i, event, now)
        case saw.WaitWanted():
            return _wait_wanted(i, event, now)
        case saw.RestartWanted():
            return _restart_wanted(i, event, now)
        case saw.HaltWanted():
            return _halt_wanted(i, event, now)
        case saw.KillAsked():
            return _kill_asked(i, now)
        case _:
            assert_never(event)


def _happened(i: Instance, event: saw.RunEvent | saw.Adopted, now: float) -> Step:
    match event:
        case saw.Exited():
            return ends.exited(i, event, now)
        case saw.Emptied():
            return ends.emptied(i, now)
        case saw.Spawned():
            return _spawned(i, event, now)
        case saw.SpawnFailed():
            return ends.spawn_failed(i, event, now)
        case saw.SpawnCancelled():
            return ends.spawn_cancelled(i, now)
        case saw.Unreadable():
            return stopping.unreadable(i, event)
        case saw.Probed():
            return readiness.probed(i, event, now)
        case saw.Notified():
            return readiness.notified(i, event, now)
        case saw.Reported():
            return readiness.reported(i, event, now)
        case saw.Released():
            return stopping.released(i, event, now) if isinstance(i.phase, Draining) else Step(i)
        case saw.Adopted():
            return _adopted(i, event)
        case _:
            assert_never(event)


# ---- what is wanted


def _start_wanted(i: Instance, now: float) -> Step:
    match i.phase:
        case Waiting(retry=True):
            return spawn(noted(i, restarts=i.record.restarts + 1), now)
        case Down() | Failed() | Done() | Waiting():
            return spawn(afresh(i), now)
        case Spawning() | Draining() | Stopping() | Clearing():
            return Step(replace(i, wanted=True))
        case Starting() | Ready() | Unhealthy() | Backoff():
            return Step(i)
        case _:
            assert_never(i.phase)


def _wait_wanted(i: Instance, event: saw.WaitWanted, now: float) -> Step:
    if isinstance(i.phase, Waiting):
        return Step(replace(i, phase=replace(i.phase, on=event.on)))
    if isinstance(i.phase, Backoff):
        i = enter(i, Waiting(event.on, retry=True), now)
    elif isinstance(i.phase, AT_REST):
        i = replace(enter(afresh(i), Waiting(event.on), now), wanted=True)
    else:
        return Step(i)
    return Step(i, (wording.waits(i, event.on),))


def _stop_wanted(i: Instance, event: saw.StopWanted, now: float) -> Step:
    i, why = replace(i, wanted=False), event.why
    match i.phase:
        case Starting() | Ready() | Unhealthy():
            return stopping.ask(i, StopReason.ASKED, event, now)
        case Down():
            return Step(i)
        case Spawning() as phase:
            return Step(replace(i, phase=replace(phase, why=why)), (CancelSpawn(i.name, i.generation),))
        case Stopping() as phase:
            return stopping.hurry(i, phase, event, now)
        case Clearing() as phase:  # a later start is a new run
            return Step(replace(i, phase=replace(phase, then=AfterClearing.RESPAWN, why=why)))
        case Draining():
            return stopping.go_on(i, StopReason.ASKED, event)
        case Waiting() | Backoff() | Failed() | Done():
            return ends.down(i, why, now)
        case _:
            assert_never(i.phase)


def _restart_wanted(i: Instance, event: saw.RestartWanted, now: float) -> Step:
    i = replace(i, spec=event.spec, wanted=True)
    match i.phase:
        case Down() | Backoff() | Failed() | Done():
            return spawn(afresh(i), now)
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


OWN_STOPS = (StopReason.NOT_READY, StopReason.UNHEALTHY)
"""Stops because of an instance's own state: a restart of its group comes after what follows from them."""


def _halt_wanted(i: Instance, event: saw.HaltWanted, now: float) -> Step:
    """It stops together with its group; groups.py decides when."""
    reason = StopReason.GROUP_FAILED if event.failed else StopReason.REGROUPED
    match i.phase:
        case Spawning(then=AfterSpawn.KILL):
            return Step(i)
        case Spawning() as phase:
            then = AfterSpawn.FAIL if event.failed else AfterSpawn.REGROUP
            return Step(replace(i, phase=replace(phase, then=then, why=event.why)))
        case Starting() | Ready() | Unhealthy():
            return stopping.ask(i, reason, event, now)
        case Draining(reason=was) | Stopping(reason=was) if not i.wanted or was is reason:
            return Step(i)
        case Draining():
            return stopping.go_on(i, reason, event)
        case Stopping(reason=was) as phase if event.failed or was not in OWN_STOPS:
            return Step(replace(i, phase=replace(phase, reason=reason, why=event.why)))
        case Clearing() as phase if i.wanted and event.failed and phase.then is not AfterClearing.DONE:
            return Step(replace(i, phase=replace(phase, then=AfterClearing.FAILED, why=event.why)))
        case Clearing(then=AfterClearing.RESPAWN) as phase if i.wanted:  # not at once, but in its turn
            return Step(replace(i, phase=replace(phase, then=AfterClearing.BACKOFF, why=event.why, delay=0.0)))
        case Waiting() | Backoff() if event.failed:
            return ends.halted(i, event.why, now, failed=True)
        case Down() | Waiting() | Stopping() | Clearing() | Backoff() | Failed() | Done():
            return Step(i)
        case _:
            assert_never(i.phase)


def _kill_asked(i: Instance, now: float) -> Step:
    match i.phase:
        case Spawning() as phase:
            i = replace(i, wanted=False, phase=replace(phase, then=AfterSpawn.KILL))
            return Step(i, (CancelSpawn(i.name, i.generation),))
        case Stopping(step=step) | Clearing(step=step) if step in (StopStep.KILL_SENT, StopStep.UNKILLABLE):
            return Step(replace(i, wanted=False), (stopping.kill_all(i),))
        case Starting(leader) | Ready(leader) | Unhealthy(leader) | Draining(leader):
            return stopping.kill_at_once(replace(i, wanted=False), leader, wording.KILLED, now)
        case Stopping() | Clearing():
            return stopping.kill(replace(i, wanted=False), now)
        case Backoff() | Waiting():
            return _stop_wanted(i, saw.StopWanted(wording.KILLED), now)
        case Down() | Failed() | Done():
            return Step(i)
        case _:
            assert_never(i.phase)


# ---- what the kernel saw


def _spawned(i: Instance, event: saw.Spawned, now: float) -> Step:
    if not isinstance(i.phase, Spawning):
        return Step(i)
    phase = i.phase
    probed = i.spec.ready is not None or i.spec.health is not None
    leader = Leader(event.pid, now, phase.stop, event.shell, probed)
    started = (Started(),)
    why = phase.why or wording.STOPPED
    if phase.then is AfterSpawn.KILL:
        return stopping.kill_at_once(i, leader, why, now)._replace(facts=started)
    reason = STOP_AFTER_SPAWN.get(phase.then) if i.wanted else StopReason.ASKED
    if reason is not None:
        return stopping.begin(i, leader, stopping.StopCause(reason, why), now)._replace(facts=started)
    i = enter(i, Starting(leader), now)
    return Step(i, (*readiness.begin(i, now), wording.started(i)), started)


def _adopted(i: Instance, event: saw.Adopted) -> Step:
    """A process that left the group of a running instance serves the whole type (epmd serves every node)."""
    match i.phase:
        case Stopping() as phase:
            return Step(i, stopping.adopted(phase, event))
        case Clearing() as phase:
            asked = stopping.adopted(phase, event)
            if not hints.went_to_background(i.spec, phase, i.record, in_group=event.in_group):
                return Step(i, asked)
            why = Reason(phase.why.code, f"{phase.why.text}; {hints.IN_BACKGROUND}")
            i = replace(i, phase=replace(phase, why=why))
            return Step(i, (wording.went_to_background(i, event.pid), *asked))
        case _ if event.in_group:
            return Step(i)
        case _:
            return Step(i, (ShareDaemon(i.name, event.pid), wording.has_daemon(i, event.pid)))


def _timer(i: Instance, now: float) -> Step:
    match i.phase:
        case Starting() as phase:
            return readiness.deadline(i, phase, now)
        case Backoff():
            return spawn(noted(i, restarts=i.record.restarts + 1), now)
        case Stopping() | Clearing() as phase:
            return stopping.escalate(i, phase, now)
        case Draining():
            return stopping.next_step_of_drain(i, i.phase, now)
        case Down() | Waiting() | Spawning() | Ready() | Unhealthy() | Failed() | Done():
            return Step(i)
        case _:
            assert_never(i.phase)
