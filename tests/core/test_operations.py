"""What was asked for has a number, and an end: it is reached, cannot be reached any more, or is no longer wanted."""

from __future__ import annotations

import pytest
from making import TERMINATED, Story, of_type, plan_of, running, spec_of, told

from procman.core.actions import OperationEnded, Reply, Signal
from procman.core.events import (
    Command,
    Commanded,
    Exited,
    InterruptAsked,
    Notified,
    Probed,
    Reload,
    Restart,
    Scale,
    ScaleAsked,
    SendSignal,
    ShutdownAsked,
    Stop,
    Wait,
)
from procman.core.fleet import Fleet
from procman.core.operations import KEPT, OPEN
from procman.core.policies import Dependency, Readiness, TcpProbe
from procman.core.requests import AwaitedState
from procman.core.snapshot import decode, encode
from procman.core.timers import RolloutTimer
from procman.core.view import Kind, OperationState, ReasonCode

RUNNING, DONE, FAILED, SUPERSEDED = OperationState


def ask(story: Story, command: Command) -> int:
    """The number of the operation that the command began."""
    (reply,) = of_type(story.happens(Commanded(command, 5)), Reply)
    return reply.operation


def state(story: Story, number: int) -> OperationState:
    operation = story.fleet.operation(number)
    assert operation is not None
    return operation.state


def ended(story: Story) -> list[tuple[int, OperationState]]:
    return [(a.operation.id, a.operation.state) for a in of_type(story.seen, OperationEnded)]


def test_the_start_is_the_first_and_done_when_all_are_ready_or_done():
    story = Story(plan_of({"web": 1, "job": 1}))
    story.ready("web.1")
    assert state(story, 1) is RUNNING
    story.spawned("job.1")
    story.ends("job.1", 0)
    assert ended(story) == [(1, DONE)]


def test_a_one_off_has_to_be_done():
    story = Story(plan_of({"migrate": 1}, spec_of("migrate", oneshot=True)))
    story.ready("migrate.1")
    assert state(story, 1) is RUNNING
    story.ends("migrate.1", 0)
    assert state(story, 1) is DONE


def test_a_one_off_that_fails_is_not_tried_again_and_fails_the_start():
    story = Story(plan_of({"migrate": 1, "web": 1}, spec_of("migrate", oneshot=True)))
    story.spawned("migrate.1")
    story.ends("migrate.1", 3)
    assert state(story, 1) is FAILED
    assert "a one-off is not tried again" in story.fleet.operation(1).reason.text


def test_a_scaling_is_done_when_the_new_are_ready_and_the_old_are_gone():
    story = running({"web": 2, "job": 2})
    number = ask(story, Scale(to={"web": 3, "job": 1}))
    story.ready("web.3")
    assert story.fleet.operation(number).left == ("job.2",)
    story.ends("job.2", 143, "TERM")
    assert state(story, number) is DONE


def test_a_scaling_neither_waits_for_what_a_person_stops_nor_overtakes_that_stop():
    story = running({"web": 2})
    stop = ask(story, Stop(("web.1",)))
    number = ask(story, Scale(to={"web": 3}))
    assert state(story, stop) is RUNNING
    story.ready("web.3")
    assert state(story, number) is DONE
    story.ends("web.1", 143, "TERM")
    assert state(story, stop) is DONE
    assert state(story, ask(story, Scale(to={"web": 3}))) is DONE


def test_a_restart_is_done_when_each_is_ready_in_a_later_life():
    story = running({"web": 1})
    number = ask(story, Restart())
    story.ends("web.1", 143, "TERM")
    assert state(story, number) is RUNNING
    story.ready("web.1")
    assert state(story, number) is DONE


def test_a_stop_is_done_when_nothing_is_left():
    story = running({"web": 1})
    number = ask(story, Stop(("web",)))
    story.exited("web.1", 143, "TERM")
    assert state(story, number) is RUNNING
    story.emptied("web.1")
    assert state(story, number) is DONE


def test_what_is_reached_already_is_done_at_once_and_after_its_answer():
    story = running({"web": 1})
    actions = story.happens(Commanded(Scale(to={"web": 1}), 5))
    assert [type(a) for a in actions[:2]] == [Reply, OperationEnded]


def test_a_signal_and_a_question_begin_nothing():
    story = running({"web": 1})
    assert ask(story, SendSignal("USR1", ())) == 0
    assert ask(story, Scale()) == 0


def test_one_that_fails_for_good_fails_it_with_its_reason():
    story = running({"web": 1}, spec_of(restart={"max_restarts": 0}))
    number = ask(story, Scale(to={"web": 2}))
    story.spawned("web.2")
    story.ends("web.2", 3)
    operation = story.fleet.operation(number)
    assert operation.state is FAILED
    assert operation.reason.code is ReasonCode.GAVE_UP
    assert operation.reason.text.startswith("web.2 failed: exit 3")


def test_a_crash_loop_fails_it():
    story = running({"web": 1})
    number = ask(story, Restart())
    story.ends("web.1", 143, "TERM")
    for _ in range(3):
        assert state(story, number) is RUNNING
        story.spawned("web.1")
        story.ends("web.1", 1)
        story.now = story.instance("web.1").phase.until
        if state(story, number) is RUNNING:
            story.timer("web.1")
    assert state(story, number) is FAILED
    assert "crash loop" in story.fleet.operation(number).reason.text


def test_starts_that_are_never_ready_in_time_are_a_crash_loop_and_fail_it():
    story = Story(plan_of({"web": 1}, spec_of(ready=Readiness(probe=TcpProbe(), timeout=60.0))))
    number = ask(story, Scale(to={"web": 2}))
    for _ in range(3):
        assert state(story, number) is RUNNING
        story.spawned("web.2")
        story.now += 60.0
        story.timer("web.2")  # it is stopped
        story.ends("web.2", 143, "TERM")
        story.now = story.instance("web.2").phase.until
        if state(story, number) is RUNNING:
            story.timer("web.2")
    assert state(story, number) is FAILED
    assert "web.2 is in a crash loop: not ready within 1m 0s" in story.fleet.operation(number).reason.text


def test_what_kill_does_not_remove_fails_a_stop():
    story = running({"web": 1})
    number = ask(story, Stop(("web",)))
    for seconds in (10.0, 5.0):
        story.now += seconds
        story.timer("web.1")
    assert state(story, number) is FAILED
    assert story.fleet.operation(number).reason.code is ReasonCode.UNKILLABLE


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Scale(to={"web": 3}), Scale(to={"web": 2})),
        (Restart(("web",)), Stop(("web.1",))),
        (Stop(("web.1",)), Restart(("web",))),
    ],
)
def test_one_that_wants_the_opposite_of_a_slot_supersedes_it(first, second):
    story = running({"web": 2})
    number = ask(story, first)
    later = ask(story, second)
    assert state(story, number) is SUPERSEDED
    assert state(story, later) is not SUPERSEDED


def test_one_that_wants_the_same_leaves_it():
    story = running({"web": 2})
    number = ask(story, Restart())
    ask(story, Restart(("web.1",)))
    assert state(story, number) is RUNNING


def test_a_shutdown_fails_what_was_to_come_up_and_not_what_was_to_go():
    story = running({"web": 2})
    up, down = ask(story, Restart(("web.1",))), ask(story, Stop(("web.2",)))
    story.happens(ShutdownAsked("SIGTERM"))
    assert (state(story, up), state(story, down)) == (FAILED, RUNNING)
    story.ends("web.2", 143, "TERM")
    assert state(story, down) is DONE


def test_a_reload_waits_for_what_it_restarts_starts_and_stops():
    story = running({"web": 1, "job": 1})
    number = ask(story, Reload(plan_of({"web": 1, "new": 1}, spec_of(command="serve better"))))
    assert set(story.fleet.operation(number).left) == {"web.1", "job.1", "new.1"}
    story.ends("job.1", 143, "TERM")
    story.ends("web.1", 143, "TERM")
    story.ready("web.1", "new.1")
    assert story.fleet.operation(number).left == ("web.1",)  # it must stay ready
    story.fleet_timer(RolloutTimer("web"))
    assert state(story, number) is DONE


def test_one_that_is_named_in_a_rollout_is_back_when_it_has_stayed_ready():
    story = running({"web": 3})
    ask(story, Restart(("web",)))
    number = ask(story, Restart(("web.1",)))
    story.ends("web.1", 143, "TERM")
    story.ready("web.1")
    assert state(story, number) is RUNNING
    story.fleet_timer(RolloutTimer("web"))
    assert [state(story, number), state(story, number - 1)] == [DONE, RUNNING]


def test_a_death_in_a_crash_loop_is_one_in_a_rollout_too():
    story = running({"web": 2})
    for _ in range(5):
        story.ends("web.2", 1)
        story.timer("web.2")
        story.ready("web.2")
    number = ask(story, Restart(("web",)))
    story.ends("web.1", 143, "TERM")
    story.spawned("web.1")
    story.ends("web.1", 1)
    assert state(story, number) is RUNNING
    story.timer("web.1")
    story.spawned("web.1")
    story.exited("web.1")
    assert state(story, number) is FAILED


# ---- waiting, which changes nothing


def test_a_wait_for_what_is_so_is_done_at_once():
    assert ended(running({"web": 1})) == [(1, DONE)]
    story = running({"web": 1})
    assert state(story, ask(story, Wait())) is DONE


def test_a_wait_ends_when_it_becomes_so():
    story = Story(plan_of({"web": 1, "job": 1}))
    ready, done = ask(story, Wait(("web",))), ask(story, Wait(("job",), AwaitedState.DONE))
    story.ready("web.1", "job.1")
    assert (state(story, ready), state(story, done)) == (DONE, RUNNING)
    story.ends("job.1", 0)
    assert state(story, done) is DONE


def test_a_wait_for_what_cannot_become_so_fails_at_once():
    story = running({"web": 1})
    ask(story, Stop(("web",)))
    story.ends("web.1", 143, "TERM")
    number = ask(story, Wait(("web",)))
    assert state(story, number) is FAILED
    assert "stopped by procman stop" in story.fleet.operation(number).reason.text


# ---- over an upgrade, and later


def test_it_goes_on_where_another_program_took_over():
    story = running({"web": 1})
    number = ask(story, Restart())
    before = decode(encode(story.fleet.state()))
    story.fleet = Fleet(before.plan, before)
    story.ends("web.1", 143, "TERM")
    story.ready("web.1")
    assert state(story, number) is DONE


def test_the_last_that_ended_can_still_be_asked_for():
    story = running({"web": 1})
    numbers = [ask(story, Wait()) for _ in range(KEPT + 1)]
    assert story.fleet.operation(numbers[0]) is None
    assert state(story, numbers[1]) is DONE


# ---- what is counted


def test_starts_and_exits_are_counted_over_a_type_and_outlive_its_slots():
    story = running({"web": 2})
    story.ends("web.1", 3)
    story.timer("web.1")
    story.ready("web.1")
    ask(story, Scale(to={"web": 0}))
    for name in ("web.1", "web.2"):
        story.happens(Exited(name, story.instance(name).generation, TERMINATED))
        story.emptied(name)
    (row,) = story.fleet.view(story.now).types
    assert (row.desired, row.ready, row.updated, row.starts, row.exits) == (0, 0, 0, 3, {3: 1, 143: 2})


def test_what_runs_from_an_older_spec_is_not_up_to_date():
    story = running({"web": 2})
    ask(story, Reload(plan_of({"web": 2}, spec_of(command="serve better"))))
    story.ends("web.1", 143, "TERM")
    story.ready("web.1")
    (row,) = story.fleet.view(story.now).types
    assert (row.desired, row.ready, row.updated) == (2, 2, 1)


def test_an_interrupt_stops_and_another_one_kills():
    story = running({"web": 1})
    actions = story.happens(InterruptAsked(terminal=True))
    assert [s.signal for s in of_type(actions, Signal)] == ["TERM", "CONT"]
    assert told(actions, Kind.SHUTDOWN)[-1] == "Ctrl-C again kills them at once"
    assert [s.signal for s in of_type(story.happens(InterruptAsked(terminal=True)), Signal)] == ["KILL"]


def test_without_a_terminal_no_key_is_spoken_of():
    actions = running({"web": 1}).happens(InterruptAsked(terminal=False))
    assert told(actions, Kind.SHUTDOWN) == ["stopping 1 instance: procman got SIGINT"]


@pytest.mark.parametrize(("counts", "count"), [({"web": 1, "job": 1}, {"web": 2, "job": 1}), ({"job": 1}, {"job": 2})])
def test_a_signal_scales_the_main_type_or_the_only_one(counts, count):
    story = running(counts)
    story.happens(ScaleAsked(1))
    assert story.fleet.counts == count


def test_a_signal_that_means_no_type_and_one_below_zero_are_told():
    assert "there is no type 'web'" in told(running({"a": 1, "b": 1}).happens(ScaleAsked(1)), Kind.COMMAND)[0]
    assert told(running({"web": 0}).happens(ScaleAsked(-1)), Kind.COMMAND)[0].endswith("(asked by signal)")


def test_a_run_from_before_is_none_of_a_restart_though_it_becomes_ready_again():
    story = running({"web": 2})
    number = ask(story, Restart(("web",)))
    story.happens(Notified("web.2", 1, reloading=True))
    story.happens(Probed("web.2", 1, ok=True))
    assert "web.2" in story.fleet.operation(number).left


def test_a_failure_names_the_instance_that_it_failed_by():
    redis = spec_of("redis", restart={"max_restarts": 0})
    web = spec_of("web", depends_on=(Dependency(type="redis"),))
    story = Story(plan_of({"web": 1, "redis": 1}, web, redis))
    story.spawned("redis.1")
    story.ends("redis.1", 1)
    start = story.fleet.operation(1)
    assert start is not None
    assert (start.state, start.instance) == (OperationState.FAILED, "redis.1")


def test_what_is_asked_for_and_never_comes_is_kept_in_bounds_and_the_oldest_is_given_up():
    """A program that waits for the same thing over and over, and never asks what has become of it."""
    story = running({"web": 1})
    for _ in range(OPEN + 1):
        story.happens(Commanded(Wait(("web",), AwaitedState.STOPPED), 7))
    (ended,) = [a.operation for a in of_type(story.seen, OperationEnded) if a.operation.state is FAILED]
    assert ended.id == 2  # the first is the start
    assert "1000 later operations are under way" in ended.reason.text
    assert len(story.fleet.state().operations.open) == OPEN
