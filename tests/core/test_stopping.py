"""How a stop goes: who gets which signal when, in the three modes, and what KILL is held back by."""

from __future__ import annotations

import pytest
from making import FAILURE, NOW, PID, TERMINATED, both, changed, essence, instance_in, spec_of, told
from msgspec.structs import replace

from procman.core.actions import SetTimer, Signal, SignalProcess, Target
from procman.core.events import Adopted, Exited, StopWanted, TimerFired
from procman.core.instance import step
from procman.core.phases import Clearing, Ready, Starting, Stopping, StopStep
from procman.core.spec import StopMode
from procman.core.timers import SlotTimer
from procman.core.view import Kind, Reason, ReasonCode

STOP = StopWanted(Reason(ReasonCode.STOPPED, "procman stop"))
TIMER = SlotTimer("web.1")


def ready(mode: StopMode = StopMode.TOP_DOWN, grace: float = 10.0, phase=Ready, **changes):
    spec = spec_of(stop={"mode": mode, "grace": grace})
    return instance_in(phase, spec=spec, stop=spec.stop, **changes)


def stop(i, now=NOW):
    return step(i, STOP, now)[:2]


def escalate(i, now):
    return step(i, TimerFired(SlotTimer(i.name), i.token), now)[:2]


@pytest.mark.parametrize(
    ("mode", "target"),
    [(StopMode.TOP_DOWN, Target.TOP), (StopMode.GROUP, Target.ALL), (StopMode.LEADER, Target.LEADER)],
)
def test_each_mode_asks_its_own_part_first(mode, target):
    _, actions = stop(ready(mode))
    assert essence(actions)[1:3] == both("TERM", target)


@pytest.mark.parametrize(
    ("grace", "lead"), [(25.0, 2.0), (10.0, 2.0), (4.0, 2.0), (3.9, 1.95), (2.0, 1.0), (0.1, 0.05)]
)
def test_where_a_shell_still_lives_its_group_is_asked_two_seconds_before_the_deadline_or_at_half_time(grace, lead):
    i, actions = stop(ready(grace=grace, shell=True))
    assert actions[-1] == SetTimer(TIMER, 41, NOW + grace - lead)
    asked, actions = escalate(i, NOW + grace - lead)
    assert asked.phase.step is StopStep.GROUP_TERM_SENT
    assert essence(actions) == (Kind.STOPPING, *both("TERM", Target.ALL), SetTimer(TIMER, 42, NOW + grace))


def test_that_the_group_is_asked_is_said_in_a_line():
    _, actions = escalate(stop(ready(shell=True))[0], NOW + 8.0)
    assert told(actions, Kind.STOPPING) == ["web.1: its shell has not ended, so its whole group gets SIGTERM"]
    assert actions[0].change.logged


def test_a_program_gets_the_signal_once_and_then_its_whole_grace():
    """A second TERM is a cold shutdown for Celery and rq: they drop the work that they are finishing."""
    i, actions = stop(ready())
    assert actions[-1] == SetTimer(TIMER, 41, NOW + 10.0)
    killed, actions = escalate(i, NOW + 10.0)
    assert killed.phase.step is StopStep.KILL_SENT
    assert essence(actions)[:2] == (Kind.KILLED, Signal("web.1", 7, "KILL", Target.ALL))


def test_of_a_shell_that_has_ended_the_group_is_not_asked_again():
    i, _ = stop(ready(shell=True))
    gone, _, _ = step(i, Exited("web.1", 7, TERMINATED), NOW + 1.0)
    waits, actions = escalate(gone, NOW + 8.0)
    assert waits.phase.step is StopStep.TERM_SENT
    assert actions == (SetTimer(TIMER, 42, NOW + 10.0),)


def test_kill_comes_at_the_deadline_and_goes_to_all_that_is_left():
    i, _ = escalate(stop(ready(shell=True))[0], NOW + 8.0)
    killed, actions = escalate(i, NOW + 10.0)
    assert killed.phase.step is StopStep.KILL_SENT
    kill = Signal("web.1", 7, "KILL", Target.ALL)
    assert essence(actions) == (Kind.KILLED, kill, SetTimer(TIMER, 43, NOW + 15.0))


@pytest.mark.parametrize("mode", [StopMode.GROUP, StopMode.LEADER])
@pytest.mark.parametrize("shell", [True, False])
def test_without_top_down_kill_comes_at_the_deadline_and_nobody_is_asked_before(mode, shell):
    i, actions = stop(ready(mode, shell=shell))
    assert actions[-1] == SetTimer(TIMER, 41, NOW + 10.0)
    killed, actions = escalate(i, NOW + 10.0)
    assert killed.phase.step is StopStep.KILL_SENT
    assert essence(actions)[:2] == (Kind.KILLED, Signal("web.1", 7, "KILL", Target.ALL))


@pytest.mark.parametrize("mode", StopMode)
def test_without_grace_kill_comes_at_once(mode):
    i, actions = stop(ready(mode, grace=0.0))
    assert i.phase.step is StopStep.KILL_SENT
    assert essence(actions)[:2] == (Kind.STOPPING, Signal("web.1", 7, "KILL", Target.ALL))


def test_what_kill_does_not_remove_is_unkillable_and_waited_for_in_silence():
    i = changed(stop(ready())[0], step=StopStep.KILL_SENT)
    stuck, actions = escalate(i, NOW + 15.0)
    assert stuck.unkillable
    assert isinstance(stuck.phase, Stopping)
    assert essence(actions) == (Kind.UNKILLABLE,)
    assert escalate(stuck, NOW + 60.0) == (stuck, ())


@pytest.mark.parametrize("mode", StopMode)
def test_a_stop_in_the_first_two_seconds_of_a_process_is_repeated_once_after_a_second(mode):
    i, actions = stop(ready(mode, phase=Starting))
    assert actions[-1] == SetTimer(TIMER, 41, NOW + 1.0)
    i, actions = escalate(i, NOW + 1.0)
    assert actions == (*both("TERM", Target.LEADER), SetTimer(TIMER, 42, NOW + 10.0))
    killed, _ = escalate(i, NOW + 10.0)
    assert killed.phase.step is StopStep.KILL_SENT


@pytest.mark.parametrize(("age", "repeated"), [(1.9, True), (2.0, False), (50.0, False)])
@pytest.mark.parametrize("phase", [Starting, Ready])
def test_whether_a_stop_is_repeated_depends_on_age_alone(phase, age, repeated):
    _, actions = stop(ready(phase=phase, started_at=NOW - age))
    assert actions[-1].at == (NOW + 1.0 if repeated else NOW + 10.0)


def test_a_young_leader_that_has_ended_gets_no_repeat():
    i, _ = stop(ready(phase=Starting))
    gone, _, _ = step(i, Exited("web.1", 7, TERMINATED), NOW + 0.5)
    assert escalate(gone, NOW + 1.0)[1] == (SetTimer(TIMER, 42, NOW + 10.0),)


def test_a_repeat_never_comes_when_the_group_is_due():
    i, actions = stop(ready(phase=Starting, grace=1.0, shell=True))
    assert actions[-1] == SetTimer(TIMER, 41, NOW + 0.5)
    assert escalate(i, NOW + 0.5)[0].phase.step is StopStep.GROUP_TERM_SENT


def test_after_a_suspension_the_group_still_has_its_two_seconds():
    """Procman itself was stopped for a minute: the shell had its time, but not what it waits for."""
    i, actions = escalate(stop(ready(shell=True))[0], NOW + 60.0)
    assert i.phase.step is StopStep.GROUP_TERM_SENT
    assert actions[-1] == SetTimer(TIMER, 42, NOW + 62.0)


def test_after_a_suspension_a_program_has_two_seconds_to_act_on_the_signal_that_it_has():
    i, actions = escalate(stop(ready())[0], NOW + 60.0)
    assert actions == (SetTimer(TIMER, 42, NOW + 62.0),)
    assert escalate(i, NOW + 62.0)[0].phase.step is StopStep.KILL_SENT


def test_the_grace_is_that_of_the_life_and_so_is_the_signal():
    spec = spec_of(stop={"signal": "INT", "exit_code": 130, "grace": 30.0})
    i, actions = stop(instance_in(Ready, spec=spec_of(), stop=spec.stop))
    assert i.phase.kill_at == NOW + 30.0
    assert both("INT", Target.TOP) == actions[1:3]


# ---- adopted while stopping

ADOPTED_CASES = [
    (StopMode.TOP_DOWN, StopStep.TERM_SENT, True, "TERM"),
    (StopMode.TOP_DOWN, StopStep.TERM_SENT, False, "TERM"),
    (StopMode.TOP_DOWN, StopStep.GROUP_TERM_SENT, True, None),  # the whole group has been asked
    (StopMode.TOP_DOWN, StopStep.GROUP_TERM_SENT, False, "TERM"),
    (StopMode.GROUP, StopStep.TERM_SENT, True, None),
    (StopMode.GROUP, StopStep.TERM_SENT, False, "TERM"),
    (StopMode.LEADER, StopStep.TERM_SENT, True, None),
    (StopMode.LEADER, StopStep.TERM_SENT, False, None),
    (StopMode.TOP_DOWN, StopStep.KILL_SENT, True, "KILL"),
    (StopMode.LEADER, StopStep.UNKILLABLE, False, "KILL"),
]
ACTIONS = {
    None: (),
    "KILL": (SignalProcess(77, "KILL"),),
    "TERM": (SignalProcess(77, "TERM"), SignalProcess(77, "CONT")),
}


@pytest.mark.parametrize(("mode", "step_", "in_group", "signal"), ADOPTED_CASES)
def test_what_is_adopted_during_a_stop_gets_what_it_has_not_had_yet(mode, step_, in_group, signal):
    before = ready(mode, phase=Stopping, step=step_)
    after, actions, _ = step(before, Adopted("web.1", 7, 77, in_group=in_group), NOW)
    assert after == before
    assert actions == ACTIONS[signal]


@pytest.mark.parametrize("mode", StopMode)
@pytest.mark.parametrize(
    ("step_", "in_group", "signal"),
    [
        (StopStep.TERM_SENT, False, "TERM"),  # after a crash the mode says nothing
        (StopStep.TERM_SENT, True, None),  # it got KILL with its group
        (StopStep.KILL_SENT, True, "KILL"),
        (StopStep.UNKILLABLE, False, "KILL"),
    ],
)
def test_what_is_adopted_after_a_crash_is_asked_where_it_has_left_the_group(mode, step_, in_group, signal):
    before = ready(mode, phase=Clearing, step=step_)
    after, actions, _ = step(before, Adopted("web.1", 7, 77, in_group=in_group), NOW)
    assert after == before
    assert actions == ACTIONS[signal]


# ---- after a crash


def test_after_a_crash_the_rest_of_the_group_is_killed_at_once_and_what_left_it_is_asked():
    i, actions, _ = step(ready(), Exited("web.1", 7, FAILURE), NOW)
    kill = Signal("web.1", 7, "KILL", Target.GROUP)
    assert essence(actions) == (Kind.ENDED, kill, *both("TERM", Target.ADOPTED), SetTimer(TIMER, 41, NOW + 10.0))
    killed, actions = escalate(i, NOW + 10.0)
    assert essence(actions)[:2] == (Kind.KILLED, Signal("web.1", 7, "KILL", Target.ALL))
    stuck, actions = escalate(killed, NOW + 15.0)
    assert stuck.unkillable
    assert essence(actions) == (Kind.UNKILLABLE,)
    assert escalate(stuck, NOW + 60.0) == (stuck, ())


@pytest.mark.parametrize(("phase", "shown"), [("BACKOFF", "backoff"), ("FAILED", "failed"), ("DONE", "done")])
def test_a_clean_up_is_shown_as_what_follows_and_as_a_stop_only_where_one_was_asked_for(phase, shown):
    from procman.core.phases import AfterClearing

    i = ready(phase=Clearing, then=AfterClearing[phase])
    assert i.phase.shown == shown
    assert stop(i)[0].phase.shown == "stopping"


def test_the_leader_that_obeyed_is_noted_and_the_stop_goes_on_for_its_group():
    i, _ = stop(ready())
    noted, actions, _ = step(i, Exited("web.1", 7, FAILURE), NOW + 1.0)
    assert noted.phase == replace(i.phase, exit=FAILURE)
    assert (noted.pid, actions) == (PID, ())
    assert not noted.alive
