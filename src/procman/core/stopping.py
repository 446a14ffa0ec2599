"""How a stop goes: the stop signal, again to a shell's whole group, then KILL. What is left after that is unkillable.

Part of the machine in instance.py, which holds the table. The order of signals is described in
docs/reference/signals.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from procman.core import wording
from procman.core.actions import Action, RunHelper, SetTimer, Signal, SignalProcess, StopProbe, Target
from procman.core.events import Adopted, HaltWanted, Released, RestartWanted, StopWanted, Unreadable
from procman.core.phases import (
    UP,
    Clearing,
    Draining,
    Instance,
    Leader,
    Starting,
    Step,
    Stopping,
    StopReason,
    StopStep,
    enter,
)
from procman.core.spec import StopMode
from procman.core.timers import SlotTimer
from procman.core.view import Reason
from procman.later import later

if TYPE_CHECKING:
    from procman.core import policies
else:
    policies = later(__name__, "procman.core.policies")

REPEAT_AFTER = 1.0
"""Seconds after which the signal is repeated to a process that was young when it was asked to end."""

YOUNG = 2.0
"""Age in seconds up to which a process may lose the stop signal (Erlang does in its first 300 ms)."""

GROUP_TERM_LEAD = 2.0
"""Seconds before KILL at which a shell's whole group gets the signal; half time if the grace is under twice that."""

UNKILLABLE_AFTER = 5.0
"""Seconds after KILL at which remaining processes are called unkillable (they are in uninterruptible sleep)."""

MOST_TIME = 600.0
"""Most seconds from its stop signal on that a program gets when it asks for more time, if its grace is shorter."""

SUSPENDED = 1.0
"""Seconds of delay of a deadline from which procman itself must have been suspended."""

FIRST = {StopMode.TOP_DOWN: Target.TOP, StopMode.GROUP: Target.ALL, StopMode.LEADER: Target.LEADER}
"""Which processes get the stop signal first."""


class StopCause(Struct, frozen=True):
    """The purpose of a stop, its reason, and when KILL comes at the latest."""

    reason: StopReason
    why: Reason
    kill_by: float | None = None


# ---- before it is asked


def ask(i: Instance, reason: StopReason, event: StopWanted | RestartWanted | HaltWanted, now: float) -> Step:
    """A stop is wanted. An instance in rotation first leaves that, as long as it is held or its type drains."""
    assert isinstance(i.phase, UP)
    leader, terms = i.phase.leader, event.terms
    drain = leader.stop.drain
    seconds = terms.hold if terms.held_by else drain.seconds if drain is not None else 0.0
    until = _drained_by(now + seconds, terms.kill_by, leader) if seconds else now
    if isinstance(i.phase, Starting) or until <= now:
        return begin(i, leader, StopCause(reason, event.why, terms.kill_by), now)
    phase = Draining(leader, reason, event.why, until, terms.held_by, terms.kill_by)
    probes = _stop_probe(i)
    i = enter(i, phase, now)
    own = () if terms.held_by else _drain_actions(i, leader)
    return Step(i, (*probes, wording.draining(i), *own, SetTimer(SlotTimer(i.name), i.token, until)))


def go_on(i: Instance, reason: StopReason, event: StopWanted | RestartWanted | HaltWanted) -> Step:
    """Asked again while it drains: not for longer than before, and not beyond the end of everything."""
    assert isinstance(i.phase, Draining)
    kill_by = event.terms.kill_by if event.terms.kill_by is not None else i.phase.kill_by
    until = min(i.phase.until, _drained_by(i.phase.until, kill_by, i.phase.leader))
    i = _stay(i, replace(i.phase, reason=reason, why=event.why, until=until, kill_by=kill_by))
    return Step(i, (SetTimer(SlotTimer(i.name), i.token, until),))


def released(i: Instance, event: Released, now: float) -> Step:
    """One of its holders releases it."""
    assert isinstance(i.phase, Draining)
    left = tuple(by for by in i.phase.held_by if by != event.by)
    if left or not i.phase.held_by:
        return Step(replace(i, phase=replace(i.phase, held_by=left)))
    return next_step_of_drain(i, i.phase, now)


def next_step_of_drain(i: Instance, phase: Draining, now: float) -> Step:
    """No client holds it any more: its own drain time follows, and then the stop signal."""
    drain = phase.leader.stop.drain
    if phase.held_by and drain is not None:
        until = _drained_by(now + drain.seconds, phase.kill_by, phase.leader)
        if until > now:
            i = _stay(i, replace(phase, held_by=(), until=until))
            return Step(i, (*_drain_actions(i, phase.leader), SetTimer(SlotTimer(i.name), i.token, until)))
    return begin_in(i, now)


def begin_in(i: Instance, now: float) -> Step:
    """The stop signal for an instance that drains, or that has waited for its turn to stop."""
    phase = i.phase
    if isinstance(phase, Draining):
        return begin(i, phase.leader, StopCause(phase.reason, phase.why, phase.kill_by), now)
    assert isinstance(phase, UP)
    return begin(i, phase.leader, StopCause(StopReason.ASKED, wording.SHUTDOWN), now)


def _drained_by(until: float, kill_by: float | None, leader: Leader) -> float:
    """When everything ends, the drain leaves the stop signal some time before KILL."""
    return until if kill_by is None else min(until, kill_by - min(leader.stop.grace, GROUP_TERM_LEAD))


def _drain_actions(i: Instance, leader: Leader) -> tuple[Action, ...]:
    drain = leader.stop.drain
    if drain is None:
        return ()
    signal = (Signal(i.name, i.generation, drain.signal, Target.LEADER),) if drain.signal is not None else ()
    helper = (RunHelper(i.name, i.generation, drain.command, drain.seconds),) if drain.command is not None else ()
    return (*signal, *helper)


# ---- a stop


def begin(i: Instance, leader: Leader, cause: StopCause, now: float) -> Step:
    """Ask it to end: the stop signal, and CONT so that a process that was suspended can act on it."""
    kill_at = now + leader.stop.grace
    kill_at = kill_at if cause.kill_by is None else min(kill_at, cause.kill_by)
    phase = Stopping(leader, cause.reason, cause.why, StopStep.TERM_SENT, kill_at, kill_by=cause.kill_by)
    repeat = not _handles_signals(i)
    probes = _stop_probe(i)
    i = enter(i, phase, now)
    published = wording.stopping(i, cause.why)
    if phase.kill_at <= now:
        killed = kill(i, now)
        return Step(killed.instance, (*probes, published, *killed.actions))
    return Step(
        i, (*probes, published, *_signals(i, leader, FIRST[leader.stop.mode]), _next(i, phase, now, repeat=repeat))
    )


def _handles_signals(i: Instance) -> bool:
    """Whether it handles signals, as a process does that its own check has called ready; it may take a second signal
    for "at once": RQ kills its job. An answer at a socket says nothing about signals: HAProxy's workers answer before
    its master handles a USR1.
    """
    ready = i.spec.ready
    if ready is None or isinstance(i.phase, Starting):
        return False
    return not isinstance(ready.probe, policies.TcpProbe | policies.HttpProbe)


def extend(i: Instance, phase: Stopping, seconds: float, now: float) -> Step:
    """The program asks for more time before KILL (EXTEND_TIMEOUT_USEC, sd_notify(3)); none at the end of everything."""
    latest = i.phase_since + max(phase.leader.stop.grace, MOST_TIME)
    latest = latest if phase.kill_by is None else min(latest, phase.kill_by)
    kill_at = min(now + seconds, latest)
    if phase.step not in (StopStep.TERM_SENT, StopStep.GROUP_TERM_SENT) or kill_at <= phase.kill_at:
        return Step(i)
    first = phase.kill_at <= i.phase_since + phase.leader.stop.grace
    phase = replace(phase, kill_at=kill_at)
    i = _stay(i, phase)
    published = (wording.has_more_time(i, kill_at - now),) if first else ()
    return Step(i, (*published, _next(i, phase, now, repeat=False)))


def hurry(i: Instance, phase: Stopping, event: StopWanted, now: float) -> Step:
    """A stop under way becomes permanent. If everything ends, it ends in time for that."""
    kill_by = event.terms.kill_by
    phase = replace(phase, reason=StopReason.ASKED, why=event.why)
    if kill_by is None:
        return Step(replace(i, phase=phase))
    late = phase.kill_at > kill_by
    phase = replace(phase, kill_by=kill_by, kill_at=min(phase.kill_at, kill_by))
    if not late:
        return Step(replace(i, phase=phase))
    i = _stay(i, phase)
    return Step(i, (_next(i, phase, now, repeat=False),))


def clean_up(i: Instance, phase: Clearing) -> tuple[Action, ...]:
    """It ended by itself: KILL to the rest of its group; processes that left the group are asked to end, then killed."""
    kill = Signal(i.name, i.generation, "KILL", Target.GROUP)
    return kill, *_signals(i, phase.leader, Target.ADOPTED), SetTimer(SlotTimer(i.name), i.token, phase.kill_at)


def escalate(i: Instance, phase: Stopping | Clearing, now: float) -> Step:
    """A deadline of a stop: repeat the signal, signal the whole group, KILL, or report it as unkillable."""
    match phase:
        case Stopping(step=StopStep.TERM_SENT) if _group_is_due(phase, now):
            # where procman itself was suspended past the deadline, the group still has its time before KILL
            kill_at = max(phase.kill_at, now + _lead(phase.leader))
            i = _stay(i, replace(phase, step=StopStep.GROUP_TERM_SENT, kill_at=kill_at))
            signals = _signals(i, phase.leader, Target.ALL)
            return Step(i, (wording.group_is_asked(i), *signals, SetTimer(SlotTimer(i.name), i.token, kill_at)))
        case Stopping(step=StopStep.TERM_SENT) if now >= phase.kill_at + SUSPENDED:
            # the processes may have been suspended with procman, so give them time to act on their signal
            kill_at = now + min(GROUP_TERM_LEAD, phase.leader.stop.grace / 2)
            i = _stay(i, replace(phase, kill_at=kill_at))
            return Step(i, (SetTimer(SlotTimer(i.name), i.token, kill_at),))
        case Stopping(step=StopStep.TERM_SENT | StopStep.GROUP_TERM_SENT) if now >= phase.kill_at:
            return _kill_late(i, "did not stop", now)
        case Stopping(step=StopStep.TERM_SENT):
            i = _stay(i, phase)
            again = _signals(i, phase.leader, Target.LEADER) if now < _group_at(phase) and phase.exit is None else ()
            return Step(i, (*again, _next(i, phase, now, repeat=False)))
        case Clearing(step=StopStep.TERM_SENT):
            return _kill_late(i, "left processes that did not stop", now)
        case _ if phase.step is StopStep.KILL_SENT:
            i = _stay(i, replace(phase, step=StopStep.UNKILLABLE, why=wording.UNKILLABLE))
            return Step(i, (wording.unkillable(i, UNKILLABLE_AFTER),))
        case _:
            return Step(i)


def _kill_late(i: Instance, what: str, now: float) -> Step:
    killed = kill(i, now)
    return Step(killed.instance, (wording.killed(killed.instance, what), *killed.actions))


def kill(i: Instance, now: float) -> Step:
    """Send KILL to everything that is left of it."""
    assert isinstance(i.phase, Stopping | Clearing)
    i = _stay(i, replace(i.phase, step=StopStep.KILL_SENT, kill_at=now))
    return Step(i, (kill_all(i), SetTimer(SlotTimer(i.name), i.token, now + UNKILLABLE_AFTER)))


def kill_at_once(i: Instance, leader: Leader, why: Reason, now: float) -> Step:
    """End its grace at once."""
    probes = _stop_probe(i)
    killed = kill(enter(i, Stopping(leader, StopReason.ASKED, why, StopStep.TERM_SENT, now), now), now)
    return Step(killed.instance, (*probes, *killed.actions))


def unreadable(i: Instance, event: Unreadable) -> Step:
    """It must not run unseen: it is killed, and that counts as a failed end."""
    return Step(i, (wording.cannot_be_read(i, event.why), kill_all(i))) if i.alive else Step(i)


def _stop_probe(i: Instance) -> tuple[Action, ...]:
    """Stop probing a process that is asked to end."""
    probed = isinstance(i.phase, UP) and i.phase.leader.probed
    return (StopProbe(i.name, i.generation),) if probed else ()


def kill_all(i: Instance) -> Signal:
    return Signal(i.name, i.generation, "KILL", Target.ALL)


def adopted(phase: Stopping | Clearing, event: Adopted) -> tuple[Action, ...]:
    """Top-down: a member of the group gets the signal once its own parent is gone. What left the group gets it too."""
    if phase.step in (StopStep.KILL_SENT, StopStep.UNKILLABLE):
        return (SignalProcess(event.pid, "KILL"),)
    stop = phase.leader.stop
    # of a run that ended by itself the group has got KILL already
    if isinstance(phase, Clearing) or phase.step is StopStep.GROUP_TERM_SENT or stop.mode is StopMode.GROUP:
        asked = event.in_group
    else:
        asked = stop.mode is StopMode.LEADER
    return () if asked else (SignalProcess(event.pid, stop.signal), SignalProcess(event.pid, "CONT"))


def _stay(i: Instance, phase: Draining | Stopping | Clearing) -> Instance:
    """The next step of the same phase, with a deadline of its own."""
    return replace(i, phase=phase, token=i.token + 1)


def _lead(leader: Leader) -> float:
    """Seconds before the deadline at which the whole group gets the signal, if its leader is a shell.

    Only then: a second TERM makes Celery and rq drop the work that they are finishing.
    """
    if not leader.shell or leader.stop.mode is not StopMode.TOP_DOWN:
        return 0.0
    return GROUP_TERM_LEAD if leader.stop.grace >= 2 * GROUP_TERM_LEAD else leader.stop.grace / 2


def _group_at(phase: Stopping) -> float:
    return phase.kill_at - _lead(phase.leader)


def _group_is_due(phase: Stopping, now: float) -> bool:
    return phase.exit is None and _lead(phase.leader) > 0 and now >= _group_at(phase)


def _next(i: Instance, phase: Stopping, now: float, *, repeat: bool) -> SetTimer:
    """The next deadline of a stop whose first signal has been sent."""
    group_at = _group_at(phase)
    at = group_at if phase.step is StopStep.TERM_SENT and now < group_at else phase.kill_at
    if repeat and now - phase.leader.started_at < YOUNG:
        at = min(at, now + REPEAT_AFTER)
    return SetTimer(SlotTimer(i.name), i.token, at)


def _signals(i: Instance, leader: Leader, target: Target) -> tuple[Action, ...]:
    stop = Signal(i.name, i.generation, leader.stop.signal, target)
    return stop, Signal(i.name, i.generation, "CONT", target)
