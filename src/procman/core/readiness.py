"""When an instance is ready, and when it is no longer: probes, deadlines, and what programs report themselves.

Part of the machine in instance.py, which holds the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from procman.core import restart, wording
from procman.core.actions import Action, SetTimer, StartProbe, StopProbe
from procman.core.events import Notified, Probed, Reported
from procman.core.facts import BecameReady, Died
from procman.core.phases import (
    Instance,
    Ready,
    Starting,
    Step,
    Stopping,
    StopReason,
    Unhealthy,
    counted,
    enter,
    noted,
    noted_death,
)
from procman.core.restart import Outcome
from procman.core.timers import SlotTimer
from procman.core.view import Reason
from procman.later import later

if TYPE_CHECKING:
    from procman.core import policies, stopping
else:
    policies = later(__name__, "procman.core.policies")
    stopping = later(__name__, "procman.core.stopping")

READY_AFTER = 1.0
"""Seconds after its start when an instance without a readiness check is ready."""


MOST_TIME = 3600.0
"""Most seconds that a program gets when it asks for more time to become ready, from that message on. It may ask again.
"""


def begin(i: Instance, now: float) -> tuple[Action, ...]:
    """The process exists: what makes it ready, and until when."""
    ready = i.spec.ready
    if ready is None:
        return (SetTimer(SlotTimer(i.name), i.token, now + READY_AFTER),)
    probe = StartProbe(i.name, i.generation, ready.probe, ready.timeout, ready.interval)
    return SetTimer(SlotTimer(i.name), i.token, now + ready.timeout), probe


def deadline(i: Instance, phase: Starting, now: float) -> Step:
    """Without a probe it is ready now; with one it is late."""
    ready = i.spec.ready
    if ready is None:
        return _become_ready(i, phase, now)
    return _end(i, StopReason.NOT_READY, wording.not_ready(ready.timeout, phase.answer or silence(ready.probe)), now)


def silence(probe: policies.Probe) -> str:
    """What is missing while there is no answer."""
    match probe:
        case policies.LogProbe(pattern):
            return f"no line matches '{pattern}'"
        case policies.NotifyProbe():
            return "it has not sent READY=1"
        case _:
            return "its probe has not answered"


def probed(i: Instance, event: Probed, now: float) -> Step:
    match i.phase:
        case Starting() as phase if i.spec.ready is not None:
            if event.ok:
                return _become_ready(i, phase, now)
            return Step(replace(i, phase=replace(phase, answer=event.answer)))
        case Ready(leader, ready_at) if i.spec.health is not None and not event.ok:
            return _unhealthy(i, Unhealthy(leader, ready_at, 1, event.answer), now)
        case Unhealthy(leader, ready_at) if event.ok:
            i = enter(i, Ready(leader, ready_at), now)
            return Step(i, (wording.is_healthy(i),), (BecameReady(),))
        case Unhealthy(failed_checks=failed_checks) as phase if i.spec.health is not None:
            return _unhealthy(i, replace(phase, failed_checks=failed_checks + 1, answer=event.answer), now)
        case _:
            return Step(i)


def notified(i: Instance, event: Notified, now: float) -> Step:
    """STOPPING and RELOADING take it out of rotation until READY comes again."""
    if event.main_pid is not None and i.alive and i.pid not in (None, event.main_pid):
        return Step(i, (wording.names_another(i, event.main_pid),))
    match i.phase:
        case Starting() as phase:
            if event.status is not None:
                i = replace(i, phase=replace(phase, answer=event.status))
            ready = i.spec.ready
            if event.extend is None or ready is None:
                return Step(i)
            i = replace(i, token=i.token + 1)
            until = max(phase.leader.started_at + ready.timeout, now + min(event.extend, MOST_TIME))
            return Step(i, (SetTimer(SlotTimer(i.name), i.token, until),))
        case Stopping() as phase if event.extend is not None:
            return stopping.extend(i, phase, event.extend, now)
        case Ready(leader, ready_at) if event.stopping or event.reloading:
            answer = wording.IS_STOPPING if event.stopping else wording.IS_RELOADING
            i = enter(i, Unhealthy(leader, ready_at, 0, answer), now)
            return Step(i, (wording.is_unhealthy(i, answer),))
        case Ready() as phase if event.status is not None:
            return Step(replace(i, phase=replace(phase, status=event.status)))
        case _:
            return Step(i)


def reported(i: Instance, event: Reported, now: float) -> Step:
    """A companion cannot do its work, or can again, and has logged that itself. It is not restarted, as the fault is
    not its own.
    """
    match i.phase:
        case Ready(leader, ready_at) if event.fault:
            i = enter(i, Unhealthy(leader, ready_at, 0, event.fault), now)
            return Step(i, (wording.is_unhealthy(i, event.fault, logged=False),))
        case Unhealthy() as phase if event.fault:
            return Step(replace(i, phase=replace(phase, answer=event.fault)))
        case Unhealthy(leader, ready_at):
            i = enter(i, Ready(leader, ready_at), now)
            return Step(i, (wording.is_healthy(i, logged=False),), (BecameReady(),))
        case _:
            return Step(i)


def _become_ready(i: Instance, phase: Starting, now: float) -> Step:
    i = noted(i, early_exits=0) if i.record.early_exits else i
    i = enter(i, Ready(phase.leader, now), now)
    actions: list[Action] = [wording.is_ready(i)]
    if i.spec.ready is not None:
        actions.append(StopProbe(i.name, i.generation))
    health = i.spec.health
    if health is not None:
        actions.append(StartProbe(i.name, i.generation, health.probe, health.timeout, health.interval, health=True))
    return Step(i, tuple(actions), (BecameReady(),))


def _unhealthy(i: Instance, phase: Unhealthy, now: float) -> Step:
    health = i.spec.health
    assert health is not None
    first = isinstance(i.phase, Ready)
    i = enter(i, phase, now) if first else replace(i, phase=phase)
    if health.on_failure is policies.OnUnhealthy.RESTART and phase.failed_checks >= health.failures:
        return _end(i, StopReason.UNHEALTHY, wording.unhealthy(phase.answer, phase.failed_checks), now)
    return Step(i, (wording.is_unhealthy(i, phase.answer),) if first else ())


def _end(i: Instance, reason: StopReason, why: Reason, now: float) -> Step:
    """It is stopped because of its state. That counts as a death, after which it is restarted."""
    assert isinstance(i.phase, Starting | Unhealthy)
    leader = i.phase.leader
    if not i.wanted:  # it is to be stopped anyway, in its turn
        return Step(i)
    i = noted_death(counted(i, now), now)
    outcome, _ = restart.judge_failed_start(i.spec, 1, i.record.failures)
    step = stopping.begin(i, leader, stopping.StopCause(reason, why), now)
    died = Died(outcome is Outcome.RETRY, reason is StopReason.NOT_READY)
    published = wording.ended_for_its_state(i, why, retried=died.retried)
    return Step(step.instance, (published, *step.actions), (died,))
