"""How a stop goes: who gets which signal when, in the three modes, and what KILL is held back by."""

from __future__ import annotations

import pytest
from making import FAILURE, NOW, PID, both, essence, instance_in, spec_of
from msgspec.structs import replace

from procman.core.actions import SetTimer, Signal, SignalProcess, Target
from procman.core.events import Adopted, Exited, StopWanted, TimerFired
from procman.core.instance import step
from procman.core.spec import StopMode
from procman.core.state import Cause, Phase, Stage
from procman.core.view import Kind

STOP = StopWanted("procman stop")


def ready(mode: StopMode = StopMode.TOP_DOWN, grace: float = 10.0, phase: Phase = Phase.READY, **changes):
    spec = spec_of(stop={"mode": mode, "grace": grace})
    return instance_in(phase, spec=spec, stop=spec.stop, **changes)


def stop(i, now=NOW):
    return step(i, STOP, now)


def press(i, now):
    return step(i, TimerFired(i.name, i.token), now)


@pytest.mark.parametrize(
    ("mode", "target"),
    [(StopMode.TOP_DOWN, Target.TOP), (StopMode.GROUP, Target.ALL), (StopMode.LEADER, Target.LEADER)],
)
def test_each_mode_asks_its_own_part_first(mode, target):
    _, actions = stop(ready(mode))
    assert essence(actions)[1:3] == both("TERM", target)


@pytest.mark.parametrize(
    ("grace", "lead"),
    [(25.0, 2.0), (10.0, 2.0), (4.0, 2.0), (3.9, 1.95), (2.0, 1.0), (0.1, 0.05)],
)
def test_the_last_call_comes_two_seconds_before_the_deadline_or_at_half_time(grace, lead):
    i, actions = stop(ready(grace=grace))
    assert actions[-1] == SetTimer("web.1", 41, NOW + grace - lead)
    called, actions = press(i, NOW + grace - lead)
    assert called.stage is Stage.LAST_CALL
    assert actions == (*both("TERM", Target.ALL), SetTimer("web.1", 42, NOW + grace))


def test_kill_comes_at_the_deadline_and_goes_to_all_that_is_left():
    i, _ = press(stop(ready())[0], NOW + 8.0)
    killed, actions = press(i, NOW + 10.0)
    assert killed.stage is Stage.KILLED
    kill = Signal("web.1", 7, "KILL", Target.ALL)
    assert essence(actions) == (Kind.KILLED, kill, SetTimer("web.1", 43, NOW + 15.0))


@pytest.mark.parametrize("mode", [StopMode.GROUP, StopMode.LEADER])
def test_without_top_down_kill_comes_at_the_deadline_without_a_last_call(mode):
    i, actions = stop(ready(mode))
    assert actions[-1] == SetTimer("web.1", 41, NOW + 10.0)
    killed, actions = press(i, NOW + 10.0)
    assert killed.stage is Stage.KILLED
    assert essence(actions)[:2] == (Kind.KILLED, Signal("web.1", 7, "KILL", Target.ALL))


@pytest.mark.parametrize("mode", StopMode)
def test_without_grace_kill_comes_at_once(mode):
    i, actions = stop(ready(mode, grace=0.0))
    assert i.stage is Stage.KILLED
    assert essence(actions)[:2] == (Kind.STOPPING, Signal("web.1", 7, "KILL", Target.ALL))


def test_what_kill_does_not_remove_is_unkillable_and_waited_for_in_silence():
    i = replace(stop(ready())[0], stage=Stage.KILLED)
    stuck, actions = press(i, NOW + 15.0)
    assert stuck.stage is Stage.UNKILLABLE
    assert stuck.phase is Phase.STOPPING
    assert essence(actions) == (Kind.UNKILLABLE,)
    assert press(stuck, NOW + 60.0) == (stuck, ())


def test_a_stop_before_ready_is_repeated_each_second_to_the_leader_alone():
    i, actions = stop(ready(phase=Phase.STARTING))
    assert actions[-1] == SetTimer("web.1", 41, NOW + 1.0)
    i, actions = press(i, NOW + 1.0)
    assert actions == (*both("TERM", Target.LEADER), SetTimer("web.1", 42, NOW + 2.0))


def test_the_repeats_end_with_the_last_call():
    i, _ = stop(ready(phase=Phase.STARTING))
    _, actions = press(i, NOW + 7.5)
    assert actions[-1] == SetTimer("web.1", 42, NOW + 8.0)


def test_after_a_suspension_the_last_call_still_has_its_two_seconds():
    """Procman itself was stopped for a minute: the processes had their time, but not the last call."""
    i, actions = press(stop(ready())[0], NOW + 60.0)
    assert i.stage is Stage.LAST_CALL
    assert actions[-1] == SetTimer("web.1", 42, NOW + 62.0)


def test_the_grace_is_that_of_the_life_and_so_is_the_signal():
    spec = spec_of(stop={"signal": "INT", "exit_code": 130, "grace": 30.0})
    i, actions = stop(instance_in(Phase.READY, spec=spec_of(), stop=spec.stop))
    assert i.deadline == NOW + 30.0
    assert both("INT", Target.TOP) == actions[1:3]


# ---- adopted while stopping

ADOPTED_CASES = [
    (StopMode.TOP_DOWN, Stage.POLITE, Cause.ASKED, True, "TERM"),
    (StopMode.TOP_DOWN, Stage.POLITE, Cause.ASKED, False, "TERM"),
    (StopMode.TOP_DOWN, Stage.LAST_CALL, Cause.ASKED, True, None),  # the whole group has been called
    (StopMode.TOP_DOWN, Stage.LAST_CALL, Cause.ASKED, False, "TERM"),
    (StopMode.GROUP, Stage.POLITE, Cause.ASKED, True, None),
    (StopMode.GROUP, Stage.POLITE, Cause.ASKED, False, "TERM"),
    (StopMode.LEADER, Stage.POLITE, Cause.ASKED, True, None),
    (StopMode.LEADER, Stage.POLITE, Cause.ASKED, False, None),
    (StopMode.LEADER, Stage.LAST_CALL, Cause.CRASHED, False, "TERM"),  # after a crash the mode says nothing
    (StopMode.TOP_DOWN, Stage.LAST_CALL, Cause.CRASHED, True, None),  # it got KILL with its group
    (StopMode.TOP_DOWN, Stage.LAST_CALL, Cause.ENDED, False, "TERM"),
    (StopMode.TOP_DOWN, Stage.KILLED, Cause.ASKED, True, "KILL"),
    (StopMode.LEADER, Stage.UNKILLABLE, Cause.ASKED, False, "KILL"),
]


@pytest.mark.parametrize(("mode", "stage", "cause", "in_group", "signal"), ADOPTED_CASES)
def test_what_is_adopted_during_a_stop_gets_what_it_has_not_had_yet(mode, stage, cause, in_group, signal):
    before = ready(mode, phase=Phase.STOPPING, stage=stage, cause=cause)
    after, actions = step(before, Adopted("web.1", 7, 77, in_group=in_group), NOW)
    assert after == before
    expected = {None: (), "KILL": (SignalProcess(77, "KILL"),)}
    assert actions == expected.get(signal, (SignalProcess(77, "TERM"), SignalProcess(77, "CONT")))


# ---- after a crash


def test_after_a_crash_the_rest_of_the_group_is_killed_at_once_and_what_left_it_is_asked():
    i, actions = step(ready(), Exited("web.1", 7, FAILURE), NOW)
    kill = Signal("web.1", 7, "KILL", Target.GROUP)
    assert essence(actions) == (Kind.ENDED, kill, *both("TERM", Target.ADOPTED), SetTimer("web.1", 41, NOW + 10.0))
    _, actions = press(i, NOW + 10.0)
    assert essence(actions)[:2] == (Kind.KILLED, Signal("web.1", 7, "KILL", Target.ALL))


def test_the_leader_that_obeyed_is_noted_and_the_stop_goes_on_for_its_group():
    i, _ = stop(ready())
    noted, actions = step(i, Exited("web.1", 7, FAILURE), NOW + 1.0)
    assert (noted.phase, noted.exit, noted.pid, actions) == (Phase.STOPPING, FAILURE, PID, ())
    assert not noted.alive
