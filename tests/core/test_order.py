"""Starts wait for what they depend on; at the end what others depend on stops last, and nothing is stopped too late."""

from __future__ import annotations

import pytest
from making import Story, asked_to_end, finish_codes, of_type, plan_of, spawned_names, spec_of, told

from procman.core.actions import Signal
from procman.core.events import Commanded, InterruptAsked, Restart, Scale, ShutdownAsked, Stop, Wait
from procman.core.phases import Down, Ready, Waiting
from procman.core.policies import Dependency, Until
from procman.core.timers import ClosingTimer
from procman.core.view import Kind, OperationState


def depending(type_name: str, *on: str, until: Until = Until.READY, every: bool = False, **changes):
    needs = tuple(Dependency(type=one, until=until, every=every) for one in on)
    return spec_of(type_name, depends_on=needs, **changes)


WEB = depending("web", "redis")


def up(counts: dict[str, int], *specs) -> Story:
    """Everything is ready, whatever waits for what."""
    story = Story(plan_of(counts, *specs))
    for _ in counts:
        for i in story.fleet.instances():
            if not isinstance(i.phase, Waiting | Ready):
                story.ready(i.name)
    assert all(isinstance(i.phase, Ready) for i in story.fleet.instances())
    return story


# ---- up


def test_an_instance_waits_until_one_it_depends_on_is_ready():
    story = Story(plan_of({"web": 2, "redis": 1}, WEB))
    assert spawned_names(story.seen) == ["redis.1"]
    assert story.phase("web.1") is Waiting
    row = story.fleet.view(story.now).instances[0]
    assert (row.phase, row.reason) == ("waiting", "waiting for redis: not ready, 0.0 s")
    story.spawned("redis.1")
    assert spawned_names(story.seen) == ["redis.1"]
    story.now += 1.0
    assert spawned_names(story.timer("redis.1")) == ["web.1", "web.2"]


def test_started_is_enough_where_that_is_asked_for():
    story = Story(plan_of({"web": 1, "redis": 1}, depending("web", "redis", until=Until.STARTED)))
    story.spawned("redis.1")
    assert "web.1" in spawned_names(story.seen)


def test_a_one_off_is_waited_for_until_it_is_done():
    story = Story(plan_of({"web": 1, "migrate": 1}, depending("web", "migrate", until=Until.DONE)))
    story.ready("migrate.1")
    assert story.phase("web.1") is Waiting
    assert "web.1" in spawned_names(story.ends("migrate.1", 0))


@pytest.mark.parametrize(("every", "waits"), [(False, False), (True, True)])
def test_one_instance_counts_or_all_of_them(every, waits):
    story = Story(plan_of({"web": 1, "redis": 2}, depending("web", "redis", every=every)))
    story.ready("redis.1")
    assert (story.phase("web.1") is Waiting) is waits
    story.ready("redis.2")
    assert story.phase("web.1") is not Waiting


def test_a_dependency_scaled_to_nothing_is_not_waited_for():
    assert spawned_names(Story(plan_of({"web": 1, "redis": 0}, WEB)).seen) == ["web.1"]


def test_one_that_is_failed_keeps_it_waiting_and_fails_whoever_waits():
    story = Story(plan_of({"web": 1, "redis": 1}, WEB, spec_of("redis", restart={"max_restarts": 0})))
    story.spawned("redis.1")
    story.ends("redis.1", 3)
    assert story.phase("web.1") is Waiting
    assert "redis.1 failed: exit 3" in story.fleet.view(story.now).instances[0].reason
    assert story.fleet.operation(1).state is OperationState.FAILED
    assert not story.fleet.stopping
    actions = story.happens(Commanded(Restart(("redis",)), 5))
    assert spawned_names(actions) == ["redis.1"]
    story.ready("redis.1")
    assert story.phase("web.1") is not Waiting


def test_what_runs_is_left_alone_when_its_dependency_ends():
    story = up({"web": 1, "redis": 1}, WEB)
    story.ends("redis.1", 1)
    assert story.phase("web.1") is Ready


def test_what_waits_can_be_stopped_and_scaled_away():
    story = Story(plan_of({"web": 2, "redis": 1}, WEB))
    story.happens(Commanded(Stop(("web.1",)), 5))
    assert story.phase("web.1") is Down
    story.happens(Commanded(Scale(to={"web": 1}), 6))
    assert story.fleet.get("web.2") is None
    story.ready("redis.1")
    assert story.phase("web.1") is Down


def test_a_scaling_waits_as_the_start_does():
    story = Story(plan_of({"web": 0, "redis": 1}, WEB))
    story.happens(Commanded(Scale(to={"web": 1}), 5))
    assert story.phase("web.1") is Waiting


# ---- down


def test_what_is_needed_stops_after_what_needs_it():
    story = up({"web": 1, "worker": 1, "redis": 1}, WEB, depending("worker", "redis"))
    assert asked_to_end(story.happens(ShutdownAsked("SIGTERM"))) == ["web.1", "worker.1"]
    assert asked_to_end(story.ends("web.1", 143, "TERM")) == []
    assert asked_to_end(story.exited("worker.1", 143, "TERM")) == []
    assert asked_to_end(story.emptied("worker.1")) == ["redis.1"]
    assert finish_codes(story.ends("redis.1", 143, "TERM")) == [0]


def test_a_chain_stops_link_by_link():
    story = up({"a": 1, "b": 1, "c": 1}, depending("a", "b"), depending("b", "c"))
    assert asked_to_end(story.happens(InterruptAsked(terminal=False))) == ["a.1"]
    assert asked_to_end(story.ends("a.1", 143, "TERM")) == ["b.1"]
    assert asked_to_end(story.ends("b.1", 143, "TERM")) == ["c.1"]


def test_the_order_holds_over_a_type_that_is_not_there():
    story = up({"a": 1, "b": 0, "c": 1}, depending("a", "b"), depending("b", "c"))
    assert asked_to_end(story.happens(ShutdownAsked("SIGTERM"))) == ["a.1"]


def test_two_seconds_before_the_end_everyone_is_asked_and_all_are_killed_together():
    story = up({"web": 1, "redis": 1}, WEB)
    story.happens(ShutdownAsked("SIGTERM"))
    began = story.now
    assert asked_to_end(story.fleet_timer(ClosingTimer())) == ["redis.1"]
    assert story.now == began + 8.0
    assert {i.phase.kill_at for i in story.fleet.instances()} == {began + 10.0}


def test_what_ends_before_its_turn_is_not_started_again():
    story = up({"web": 1, "redis": 1}, WEB)
    story.happens(ShutdownAsked("SIGTERM"))
    assert told(story.ends("redis.1", 1), Kind.ENDED) == []  # nobody says that it is started again
    assert story.phase("redis.1") is Down
    assert finish_codes(story.ends("web.1", 143, "TERM")) == [0]


def test_a_kill_asks_nobody_for_its_turn():
    story = up({"web": 1, "redis": 1}, WEB)
    story.happens(ShutdownAsked("SIGTERM"))
    killed = [s.name for s in of_type(story.happens(InterruptAsked(terminal=False)), Signal) if s.signal == "KILL"]
    assert killed == ["web.1", "redis.1"]


def test_a_stop_that_is_no_end_keeps_no_order():
    story = up({"web": 1, "redis": 1}, WEB)
    assert asked_to_end(story.happens(Commanded(Stop(all=True), 5))) == ["web.1", "redis.1"]


def test_a_circle_that_no_plan_should_have_stops_all_the_same():
    story = Story(plan_of({"a": 1, "b": 1}))
    story.ready("a.1", "b.1")
    circle = plan_of({"a": 1, "b": 1}, depending("a", "b"), depending("b", "a"))
    story.fleet._formation.plan = circle
    story.happens(ShutdownAsked("SIGTERM"))
    assert set(asked_to_end(story.fleet_timer(ClosingTimer()))) <= {"a.1", "b.1"}
    assert not any(isinstance(i.phase, Ready) for i in story.fleet.instances())


def test_who_waits_for_one_that_waits_is_told_as_soon_as_it_is_so():
    story = Story(plan_of({"web": 1, "redis": 1}, WEB))
    story.happens(Commanded(Wait(("web",)), 5))
    story.ready("redis.1")
    story.ready("web.1")
    assert story.fleet.operation(2).state is OperationState.DONE


def test_at_the_end_of_the_stop_it_says_who_is_asked_before_its_turn_and_why():
    story = up({"web": 1, "redis": 2, "job": 1}, WEB)
    story.happens(ShutdownAsked("SIGTERM"))
    actions = story.fleet_timer(ClosingTimer())
    (line,) = told(actions, Kind.SHUTDOWN)
    assert line == "stopping redis.1, redis.2 before its turn, as web.1 has not ended: KILL in 2.0 s"
    row = story.fleet.view(story.now).instances[1]
    assert row.reason == "SIGTERM; before its turn, as web.1 has not ended; KILL in 2.0 s"


def test_where_no_type_waits_for_its_turn_nothing_is_said_at_the_end():
    story = up({"web": 1, "redis": 1}, WEB)
    story.happens(ShutdownAsked("SIGTERM"))
    story.ends("web.1", 143, "TERM")
    assert told(story.fleet_timer(ClosingTimer()), Kind.SHUTDOWN) == []
