"""The end of everything: asked once or twice, with every phase under way, and the code it ends with."""

from __future__ import annotations

import pytest
from making import Story, ask, finish_codes, of_type, plan_of, running, spawned_names, spec_of, told
from msgspec.structs import replace

from procman.core.actions import Reply, SetTimer, Signal, SignalProcess, Target
from procman.core.events import (
    Adopted,
    Commanded,
    KillAsked,
    Orphaned,
    Restart,
    Scale,
    Shutdown,
    ShutdownAsked,
    Stop,
    TimerFired,
)
from procman.core.phases import Backoff, Down, Spawning, Waiting
from procman.core.policies import Dependency, Readiness, TcpProbe
from procman.core.spec import OnEnd
from procman.core.timers import OrphansTimer, SlotTimer, WaitingLineTimer
from procman.core.view import Kind

TERM = ShutdownAsked("SIGTERM")


def sent(actions, signal: str) -> list[str]:
    return [s.name for s in of_type(actions, Signal) if s.signal == signal]


def unkillable(story: Story, name: str) -> list:
    story.now = story.instance(name).phase.kill_at
    story.timer(name)
    story.now += 5.0
    return story.timer(name)


def test_all_are_asked_at_the_same_moment_and_the_end_is_0_whatever_they_return():
    story = running({"web": 2, "job": 1})
    assert sent(story.happens(TERM), "TERM") == ["web.1", "web.2", "job.1"]
    assert len({i.phase.kill_at for i in story.fleet.instances()}) == 1
    assert finish_codes([*story.ends("web.1", 1), *story.ends("job.1", 9)]) == []
    assert finish_codes(story.ends("web.2", 143, "TERM")) == [0]


def test_procman_ends_at_once_where_nothing_lives():
    story = running({"web": 1})
    story.ends("web.1", 1)
    actions = story.happens(TERM)
    assert story.phase("web.1") is Down
    assert finish_codes(actions) == [0]


def test_a_second_term_changes_nothing():
    story = running({"web": 1})
    story.happens(TERM)
    assert story.happens(TERM, after=1.0) == []


def test_the_group_is_waited_for_not_only_the_leader():
    story = running({"web": 1})
    story.happens(TERM)
    assert finish_codes(story.exited("web.1", 143, "TERM")) == []
    assert finish_codes(story.emptied("web.1")) == [0]


def test_nothing_is_spawned_after_a_shutdown():
    story = Story(plan_of({"web": 1, "starting": 1, "back": 1, "again": 1}))
    story.ready("again.1", "back.1")
    story.ends("back.1")
    story.ends("again.1")
    story.timer("again.1")
    stale = TimerFired(SlotTimer("back.1"), story.instance("back.1").token)
    story.spawned("starting.1")
    actions = story.happens(TERM)
    for event in (stale, TimerFired(SlotTimer("back.1"), story.instance("back.1").token)):
        actions += story.happens(event, after=60.0)
    story.spawned("web.1", "again.1")
    for name in ("web.1", "again.1", "starting.1"):
        actions += story.ends(name, 143, "TERM")
    assert spawned_names(actions) == []
    assert finish_codes(actions) == [0]


def test_a_restart_under_way_ends_with_the_stop():
    story = running({"web": 1})
    story.happens(Commanded(Restart(), 1))
    story.happens(Commanded(Shutdown(), 1))
    assert finish_codes(story.ends("web.1", 143, "TERM")) == [0]


def test_shutdown_answers_with_whom_it_stops():
    story = running({"web": 1, "job": 1})
    story.ends("job.1", 0)
    assert of_type(story.happens(Commanded(Shutdown(), 3)), Reply) == [Reply(3, ("web.1",), {"web": 1, "job": 1}, 2)]
    assert of_type(story.happens(Commanded(Shutdown(), 4)), Reply) == [Reply(4, ("web.1",), {"web": 1, "job": 1}, 3)]


def test_a_kill_reaches_everything_at_once_and_ends_with_130():
    story = running({"web": 1, "job": 1})
    story.happens(TERM)
    actions = story.happens(KillAsked())
    assert of_type(actions, Signal) == [Signal(name, 1, "KILL", Target.ALL) for name in ("web.1", "job.1")]
    story.ends("web.1", 137, "KILL")
    assert finish_codes(story.ends("job.1", 137, "KILL")) == [130]


def test_a_kill_without_a_stop_before_it_is_a_stop_as_well():
    story = running({"web": 1})
    assert "KILL" in {s.signal for s in of_type(story.happens(KillAsked()), Signal)}
    assert finish_codes(story.ends("web.1", 137, "KILL")) == [130]


def test_a_kill_during_a_spawn_reaches_the_new_process():
    story = Story(plan_of({"web": 1}))
    story.happens(KillAsked())
    story.spawned("web.1")
    assert of_type(story.seen, Signal) == [Signal("web.1", 1, "KILL", Target.ALL)]


def test_kills_again_and_again_do_not_put_off_the_end():
    story = running({"web": 1})
    story.happens(KillAsked())
    deadline = TimerFired(SlotTimer("web.1"), story.instance("web.1").token)
    for _ in range(4):
        assert sent(story.happens(KillAsked(), after=1.0), "KILL") == ["web.1"]
    assert finish_codes(story.happens(deadline, after=1.0)) == [1]


def test_what_cannot_be_killed_is_named_and_ends_procman_with_1():
    story = running({"web": 2})
    story.happens(TERM)
    assert finish_codes(story.ends("web.1", 143, "TERM")) == []
    actions = unkillable(story, "web.2")
    assert len(told(actions, Kind.UNKILLABLE)) == 1
    assert finish_codes(actions) == [1]


def test_one_that_was_unkillable_and_went_after_all_is_not_held_against_procman():
    story = running({"web": 2})
    story.happens(TERM)
    unkillable(story, "web.1")
    story.ends("web.1", 137, "KILL")
    assert finish_codes(story.ends("web.2", 143, "TERM")) == [0]


def test_procman_finishes_once():
    story = running({"web": 1})
    story.happens(TERM)
    unkillable(story, "web.1")
    story.ends("web.1", 137, "KILL")
    story.happens(TERM)
    story.happens(KillAsked())
    assert finish_codes(story.seen) == [1]


def test_orphans_are_asked_at_the_end_and_killed_with_the_longest_grace():
    story = running({"web": 1, "slow": 1}, spec_of("slow", stop={"grace": 30.0}))
    story.happens(Orphaned(77))
    assert SignalProcess(77, "TERM") in story.happens(TERM)
    asked_at = story.now
    story.ends("web.1", 143, "TERM")
    story.ends("slow.1", 143, "TERM")
    assert SignalProcess(77, "KILL") in story.fleet_timer(OrphansTimer())
    assert story.now == asked_at + 30.0
    assert finish_codes(story.fleet_timer(OrphansTimer())) == [1]


def test_what_appears_after_a_kill_is_killed():
    story = running({"web": 1})
    story.ends("web.1", 1)
    story.happens(Orphaned(77))
    story.happens(KillAsked())
    assert SignalProcess(78, "KILL") in story.happens(Adopted("web.1", 1, 78, in_group=False))


@pytest.mark.parametrize("code", [0, 1])
def test_one_that_ended_by_itself_just_before_is_waited_for_and_named(code):
    story = running({"web": 1, "job": 1})
    story.exited("job.1", code)
    story.happens(TERM)
    (line,) = told(story.fleet_timer(WaitingLineTimer()), Kind.WAITING)
    assert "job.1" in line
    story.ends("web.1", 143, "TERM")
    assert finish_codes(story.emptied("job.1")) == [0]


def test_the_last_line_says_how_each_ended():
    story = running({"web": 2})
    story.happens(TERM)
    story.ends("web.2", 143, "TERM")
    assert told(story.ends("web.1", 0), Kind.FINISHED) == ["stopped: web.1 exit 0, web.2 SIGTERM"]


def test_the_last_line_leaves_out_what_had_ended_before():
    story = running({"web": 1, "job": 1, "other": 1, "back": 1})
    story.ends("job.1", 0)
    ask(story, Stop(("other.1",)))
    story.ends("other.1", 143, "TERM")
    story.ends("back.1", 3)
    story.happens(TERM, after=0.1)
    assert told(story.ends("web.1", 0), Kind.FINISHED) == ["stopped: web.1 exit 0, back.1 exit 3"]


def test_the_last_line_names_all_where_all_ended_by_themselves():
    story = running({"job": 2})
    story.ends("job.2", 0)
    story.now += 5.0
    assert told(story.ends("job.1", 0), Kind.FINISHED) == ["stopped: job.1 exit 0, job.2 exit 0"]


def test_the_last_line_names_the_one_whose_end_ended_everything():
    story = running({"web": 1, "test": 1}, spec_of("test", on_end=OnEnd.EXIT))
    story.ends("test.1", 4)
    story.now += 1.0
    assert told(story.ends("web.1", 143, "TERM"), Kind.FINISHED) == ["stopped: web.1 SIGTERM, test.1 exit 4"]


def test_only_what_runs_is_counted_by_the_line_that_begins_a_stop():
    waits = spec_of("web", depends_on=(Dependency(type="db"),))
    story = Story(plan_of({"db": 1, "web": 2, "job": 1}, spec_of("db", ready=Readiness(probe=TcpProbe())), waits))
    story.spawned("db.1")
    story.ready("job.1")
    story.ends("job.1", 1)
    assert (story.phase("web.1"), story.phase("job.1")) == (Waiting, Backoff)
    assert told(story.happens(TERM), Kind.SHUTDOWN) == ["stopping 1 instance: SIGTERM"]


def test_a_stop_while_nothing_runs_says_why_alone():
    story = running({"job": 2})
    story.ends("job.1", 1)
    story.ends("job.2", 1)
    assert told(story.happens(TERM), Kind.SHUTDOWN) == ["stopping: SIGTERM"]


def test_what_is_left_behind_has_the_longest_grace_that_the_settings_give():
    specs = [spec_of("web", stop={"grace": 2.0}), spec_of("job", stop={"grace": 1.0})]
    story = Story(plan_of({"web": 0, "job": 0}, *specs))
    story.happens(Orphaned(77))
    actions = story.happens(TERM)
    assert [a.at for a in of_type(actions, SetTimer) if a.key == OrphansTimer()] == [story.now + 2.0]
    gone = story.happens(Adopted("old.1", 1, 78, in_group=False))
    assert [a.at for a in of_type(gone, SetTimer) if a.key == OrphansTimer()] == [story.now + 2.0]


def test_a_type_scaled_to_0_keeps_procman_running_beside_what_is_done():
    story = running({"web": 1, "seed": 1}, spec_of("seed", oneshot=True))
    story.ends("seed.1", 0)
    ask(story, Scale({"web": 0}))
    assert finish_codes(story.ends("web.1", 143, "TERM")) == []
    ask(story, Scale({"web": 1}))
    assert story.phase("web.1") is Spawning


def test_a_type_that_follows_demand_keeps_procman_running_before_its_first_instance():
    plan = plan_of({"web": 0, "seed": 1}, spec_of("seed", oneshot=True))
    autoscaler = {"@autoscale": spec_of("@autoscale")}
    story = Story(replace(plan, sections={"autoscale": {"web": {"max": 3}}}, companions=autoscaler))
    story.ready("seed.1", "@autoscale.1")
    story.ends("seed.1", 0)
    assert not story.fleet.stopping
    ask(story, Scale({"web": 1}, force=True))
    assert story.phase("web.1") is Spawning


def test_a_type_that_was_never_started_does_not():
    story = running({"web": 0, "seed": 1})
    assert finish_codes(story.ends("seed.1", 0)) == [0]


def test_neither_does_a_one_off_scaled_to_0():
    story = running({"web": 1, "seed": 1}, spec_of("seed", oneshot=True))
    story.ends("seed.1", 0)
    ask(story, Scale({"seed": 0}))
    assert finish_codes(story.ends("web.1", 0)) == [0]
