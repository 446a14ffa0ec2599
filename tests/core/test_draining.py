"""Out of rotation before the stop signal: for a time, as long as a companion holds it, and never beyond the end."""

from __future__ import annotations

from making import Story, ask, of_type, plan_of, spec_of, told

from procman.core.actions import Reply, RunHelper, SetTimer, Signal, Target
from procman.core.events import Hold, KillAsked, Released, Scale, ShutdownAsked, Stop
from procman.core.phases import Down, Draining, Stopping
from procman.core.policies import Drain
from procman.core.timers import SlotTimer
from procman.core.view import Kind


def running(count: int = 1, drain: Drain | None = None, **stop) -> Story:
    story = Story(plan_of({"web": count}, spec_of(stop={"drain": drain} | stop)))
    story.ready(*(f"web.{n}" for n in range(1, count + 1)))
    return story


def hold(story: Story, by: str = "balancer", seconds: float = 10.0) -> None:
    assert of_type(ask(story, Hold(by, ("web",), seconds)), Reply)


def released(story: Story, by: str = "balancer", name: str = "web.1") -> list:
    return story.happens(Released(name, story.instance(name).generation, by))


def signals(actions) -> list[str]:
    return [s.signal for s in of_type(actions, Signal)]


def test_without_a_drain_and_a_hold_the_signal_comes_at_once():
    assert signals(ask(running(), Stop(all=True))) == ["TERM", "CONT"]


def test_it_is_told_first_and_asked_when_its_time_is_over():
    story = running(drain=Drain(seconds=2.5))
    actions = ask(story, Stop(all=True))
    assert told(actions, Kind.DRAINING) == ["draining web.1"]
    assert signals(actions) == []
    assert story.fleet.view(story.now).instances[0].reason == "stopped by procman stop; stop signal in 2.5 s"
    assert [a.at for a in of_type(actions, SetTimer) if a.key == SlotTimer("web.1")] == [story.now + 2.5]
    story.now += 2.5
    assert signals(story.timer("web.1")) == ["TERM", "CONT"]
    assert story.phase("web.1") is Stopping


def test_one_that_was_never_in_rotation_does_not_drain():
    story = Story(plan_of({"web": 1}, spec_of(stop={"drain": Drain(seconds=2.5)})))
    story.spawned("web.1")
    assert signals(ask(story, Stop(all=True))) == ["TERM", "CONT"]


def test_a_signal_and_a_command_are_given_at_its_beginning():
    drain = Drain(seconds=20.0, signal="TSTP", command="deregister")
    actions = ask(running(drain=drain), Stop(all=True))
    assert of_type(actions, Signal) == [Signal("web.1", 1, "TSTP", Target.LEADER)]
    assert of_type(actions, RunHelper) == [RunHelper("web.1", 1, "deregister", 20.0)]


def test_one_that_ends_by_itself_meanwhile_is_stopped_cleanly():
    story = running(drain=Drain(seconds=20.0))
    ask(story, Stop(all=True))
    assert told(story.ends("web.1", 0), Kind.ENDED) == []
    assert story.phase("web.1") is Down


def test_a_companion_holds_it_until_it_lets_go():
    story = running()
    hold(story)
    assert signals(ask(story, Stop(all=True))) == []
    assert "held by balancer" in story.fleet.view(story.now).instances[0].reason
    assert signals(released(story)) == ["TERM", "CONT"]


def test_all_that_hold_it_must_let_go():
    story = running()
    hold(story)
    hold(story, "metrics")
    ask(story, Stop(all=True))
    assert signals(released(story)) == []
    assert signals(released(story, "metrics")) == ["TERM", "CONT"]


def test_a_hold_is_over_after_its_seconds():
    story = running()
    hold(story, seconds=10.0)
    ask(story, Stop(all=True))
    story.now += 10.0
    assert signals(story.timer("web.1")) == ["TERM", "CONT"]


def test_its_own_time_begins_when_nobody_holds_it_any_more():
    story = running(drain=Drain(seconds=2.5, signal="TSTP"))
    hold(story)
    assert signals(ask(story, Stop(all=True))) == []
    assert signals(released(story)) == ["TSTP"]
    assert story.phase("web.1") is Draining
    story.now += 2.5
    assert signals(story.timer("web.1")) == ["TERM", "CONT"]


def test_a_hold_of_no_seconds_takes_it_back():
    story = running()
    hold(story)
    hold(story, seconds=0.0)
    assert signals(ask(story, Stop(all=True))) == ["TERM", "CONT"]


def test_the_end_of_everything_cuts_it_short_and_leaves_time_for_the_signal():
    story = running(drain=Drain(seconds=60.0), grace=10.0)
    actions = story.happens(ShutdownAsked("SIGTERM"))
    assert [a.at for a in of_type(actions, SetTimer) if a.key == SlotTimer("web.1")] == [story.now + 8.0]
    story.now += 8.0
    assert signals(story.timer("web.1")) == ["TERM", "CONT"]
    assert story.instance("web.1").phase.kill_at == story.now + 2.0


def test_a_drain_that_had_begun_is_cut_short_by_the_end_of_everything():
    story = running(drain=Drain(seconds=60.0), grace=10.0)
    ask(story, Stop(all=True))
    actions = story.happens(ShutdownAsked("SIGTERM"), 1.0)
    assert [a.at for a in of_type(actions, SetTimer) if a.key == SlotTimer("web.1")] == [story.now + 8.0]


def test_a_second_interrupt_kills_it():
    story = running(drain=Drain(seconds=60.0))
    story.happens(ShutdownAsked("SIGTERM"))
    assert signals(story.happens(KillAsked())) == ["KILL"]


def test_scaling_up_meanwhile_waits_for_nobody():
    story = running(2, drain=Drain(seconds=60.0))
    ask(story, Scale(to={"web": 1}))
    ask(story, Scale(to={"web": 2}))
    assert story.instance("web.3").generation == 1
    assert story.phase("web.2") is Draining
