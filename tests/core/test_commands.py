"""Scale, restart, stop and signal: what they do, what they answer, what they refuse."""

from __future__ import annotations

import pytest
from making import NOW, Story, ask, of_type, plan_of, running, spawned_names, spec_of, told
from msgspec.structs import replace

from procman.core.actions import Finish, OperationEnded, Publish, Refuse, Remove, Reply, Signal, Target
from procman.core.desired import Closing
from procman.core.events import Restart, Scale, SendSignal, Stop
from procman.core.phases import Down, Ready, Stopping
from procman.core.requests import MAX_COUNT
from procman.core.timers import WaitingLineTimer
from procman.core.view import Kind


def reply(actions) -> Reply:
    (answer,) = of_type(actions, Reply)
    assert answer.request == 5
    return replace(answer, operation=0)


def refusal(actions) -> Refuse:
    """A command that is refused does nothing else."""
    (answer,) = actions
    assert isinstance(answer, Refuse)
    assert answer.message.startswith("cannot ")
    return answer


# ---- scale


def test_scaling_up_starts_the_next_numbers():
    story = running({"web": 1})
    actions = ask(story, Scale(to={"web": 3}))
    assert spawned_names(actions) == ["web.2", "web.3"]
    assert reply(actions) == Reply(5, ("web.2", "web.3"), {"web": 3})


def test_scaling_down_stops_the_highest_numbers_first():
    story = running({"web": 3})
    actions = ask(story, Scale(to={"web": 1}))
    assert [s.name for s in of_type(actions, Signal) if s.signal == "TERM"] == ["web.3", "web.2"]
    assert reply(actions) == Reply(5, ("web.3", "web.2"), {"web": 1})
    assert story.phase("web.1") is Ready


def test_a_slot_beyond_the_count_is_gone_once_its_processes_are():
    story = running({"web": 2})
    ask(story, Scale(to={"web": 1}))
    assert story.fleet.get("web.2") is not None
    assert of_type(story.ends("web.2", 143, "TERM"), Remove) == [Remove("web.2")]
    assert story.fleet.get("web.2") is None


def test_scaling_up_again_waits_for_no_slot_that_is_on_its_way_out():
    story = running({"web": 2})
    ask(story, Scale(to={"web": 1}))
    assert spawned_names(ask(story, Scale(to={"web": 2}))) == ["web.3"]
    assert of_type(story.ends("web.2", 143, "TERM"), Remove) == [Remove("web.2")]


@pytest.mark.parametrize("code", [0, 1])
def test_one_that_had_ended_by_itself_and_was_scaled_away_comes_back_as_a_new_one(code):
    story = running({"web": 2}, spec_of(max=2))
    story.exited("web.2", code)
    ask(story, Scale(to={"web": 1}))
    ask(story, Scale(to={"web": 2}))
    assert spawned_names(story.emptied("web.2")) == ["web.2"]


def test_by_changes_the_count():
    story = running({"web": 2, "job": 1})
    actions = ask(story, Scale(by={"web": 1, "job": -1}))
    assert reply(actions).formation == {"web": 3, "job": 0}


@pytest.mark.parametrize(
    "scale", [Scale(to={"web": 10**4300}), Scale(by={"web": 10**4300 - 1}), Scale(by={"web": -(10**4300)})]
)
def test_a_count_of_more_digits_than_python_prints_is_refused(scale):
    """str() raises ValueError at 4,301 digits: in the core, that would be its end."""
    [refusal] = ask(running({"web": 2}), scale)
    assert isinstance(refusal, Refuse)


def test_the_same_count_is_granted_and_changes_nothing():
    actions = ask(running({"web": 2}), Scale(to={"web": 2}))
    assert reply(actions) == Reply(5, (), {"web": 2})
    assert {type(action) for action in actions} == {Reply, OperationEnded}


def test_scale_never_starts_a_slot_that_stands():
    story = running({"web": 2})
    ask(story, Stop(("web.1",)))
    story.ends("web.1", 143, "TERM")
    assert spawned_names(ask(story, Scale(to={"web": 3}))) == ["web.3"]
    assert story.phase("web.1") is Down


def autoscaled() -> Story:
    """Two instances of web, whose count follows demand, and one of job."""
    story = Story(replace(plan_of({"web": 2, "job": 1}), sections={"autoscale": {"web": "1..8"}}))
    story.ready(*(i.name for i in story.fleet.instances()))
    return story


@pytest.mark.parametrize("command", [Scale(to={"web": 4}), Scale(by={"web": 1}), Scale(to={"job": 2, "web": 4})])
def test_a_count_that_follows_demand_is_not_set_by_a_person(command):
    assert "web" in refusal(ask(autoscaled(), command)).message


def test_by_force_it_is_set_and_told_with_the_reason():
    actions = ask(autoscaled(), Scale(to={"web": 3}, why="@autoscale: 30 wait", force=True))
    assert spawned_names(actions) == ["web.3"]
    (change,) = [a.change for a in of_type(actions, Publish) if a.change.event is Kind.SCALED]
    assert change.text.endswith(": @autoscale: 30 wait")


def test_other_types_are_scaled_as_ever_beside_one_that_follows_demand():
    assert spawned_names(ask(autoscaled(), Scale(to={"job": 2}))) == ["job.2"]


def test_scaling_takes_away_a_stopped_slot_at_once():
    story = running({"web": 2})
    ask(story, Stop(("web.2",)))
    story.ends("web.2", 143, "TERM")
    assert of_type(ask(story, Scale(to={"web": 1})), Remove) == [Remove("web.2")]


def test_several_types_are_changed_all_or_none():
    story = running({"web": 1, "job": 1})
    assert "at most" in refusal(ask(story, Scale(to={"web": 2, "job": MAX_COUNT + 1}))).message
    assert story.fleet.counts == {"web": 1, "job": 1}


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (Scale(to={"wbe": 2}), "did you mean 'web'?"),
        (Scale(by={"wbe": 1}), "did you mean 'web'?"),
        (Scale(to={"web": -1}), "0 or more"),
        (Scale(by={"web": -3}), "0 or more"),
        (Scale(to={"beat": 2}), "max"),
        (Scale(to={"web": 65}), "65535"),
    ],
)
def test_a_count_that_cannot_be_is_refused_with_the_reason(command, word):
    story = running({"web": 1, "beat": 1}, spec_of("beat", max=1), spec_of("web", port=65500))
    answer = refusal(ask(story, command))
    assert word in f"{answer.message} {answer.hint}"


def test_a_change_is_told():
    assert len(told(ask(running({"web": 1}), Scale(to={"web": 2})), Kind.SCALED)) == 1


# ---- restart


def test_a_restart_stops_first_and_starts_once_all_is_gone():
    story = running({"web": 2})
    actions = ask(story, Restart(("web.2",)))
    assert reply(actions).instances == ("web.2",)
    assert spawned_names(actions) == []
    assert spawned_names(story.ends("web.2", 143, "TERM")) == ["web.2"]
    assert story.instance("web.2").record.restarts == 0  # nobody's crash


def test_a_restart_by_a_program_says_why_to_events_and_leaves_the_log_to_that_program():
    story = running({"web": 1})
    (change,) = [
        one.change
        for one in of_type(ask(story, Restart(("web",), why="app.py changed")), Publish)
        if one.change.event is Kind.COMMAND
    ]
    assert change.text == "app.py changed: restarting web.1"
    assert not change.logged
    (row,) = story.fleet.view(NOW).instances
    assert (row.reason or "").startswith("app.py changed")


def test_a_restart_of_nothing_in_particular_is_one_of_all():
    assert reply(ask(running({"web": 2, "job": 1}), Restart())).instances == ("web.1", "web.2", "job.1")


@pytest.mark.parametrize("code", [0, 1])
def test_a_restart_starts_what_is_stopped_done_or_waiting_at_once_and_counts_anew(code):
    story = running({"web": 1, "other": 1})
    story.ends("web.1", code)
    assert spawned_names(ask(story, Restart(("web",)))) == ["web.1"]
    assert story.instance("web.1").record.failures == 0


def test_a_restart_starts_a_stopped_one():
    story = running({"web": 1})
    ask(story, Stop(("web",)))
    story.ends("web.1", 143, "TERM")
    assert spawned_names(ask(story, Restart(("web",)))) == ["web.1"]


def test_a_restart_does_not_reach_a_slot_on_its_way_out():
    story = running({"web": 2})
    ask(story, Scale(to={"web": 1}))
    assert reply(ask(story, Restart())).instances == ("web.1",)
    assert "web.2" in refusal(ask(story, Restart(("web.2",)))).message


# ---- stop


def test_a_stop_stops_and_keeps_the_slot():
    story = running({"web": 1})
    assert reply(ask(story, Stop(("web.1",)))).instances == ("web.1",)
    story.ends("web.1", 143, "TERM")
    assert story.phase("web.1") is Down
    assert story.fleet.counts == {"web": 1}


def test_a_stop_of_nothing_in_particular_needs_all_to_be_said():
    story = running({"web": 1})
    assert "--all" in refusal(ask(story, Stop())).hint
    assert reply(ask(story, Stop(all=True))).instances == ("web.1",)


def test_stop_during_spawn_is_not_forgotten():
    story = Story(plan_of({"web": 1}))
    ask(story, Stop(("web.1",)))
    story.spawned("web.1")
    assert story.phase("web.1") is Stopping
    story.ends("web.1", 143, "TERM")
    assert story.phase("web.1") is Down


def test_a_stop_takes_back_a_restart():
    story = running({"web": 1})
    ask(story, Restart())
    ask(story, Stop(("web",)))
    assert spawned_names(story.ends("web.1", 143, "TERM")) == []


def test_who_is_waited_for_is_named_after_two_seconds():
    story = running({"web": 2})
    ask(story, Stop(("web.2",)))
    asked_at = story.now
    (line,) = told(story.fleet_timer(WaitingLineTimer()), Kind.WAITING)
    assert story.now == asked_at + 2.0
    assert line == f"waiting for web.2 (pid {story.instance('web.2').pid}, 8.0 s left)"


# ---- signal


@pytest.mark.parametrize(("leader", "target"), [(False, Target.GROUP), (True, Target.LEADER)])
def test_a_signal_goes_to_the_group_or_the_leader(leader, target):
    actions = ask(running({"web": 2}), SendSignal("USR1", ("web.2",), leader))
    assert of_type(actions, Signal) == [Signal("web.2", 1, "USR1", target)]
    assert reply(actions).instances == ("web.2",)


def test_a_signal_to_what_does_not_run_is_refused():
    story = running({"web": 1})
    ask(story, Stop(("web",)))
    story.ends("web.1", 143, "TERM")
    assert "no process" in refusal(ask(story, SendSignal("USR1", ("web",)))).message


def test_a_leader_that_has_ended_gets_no_signal_but_its_group_may():
    story = running({"web": 1})
    ask(story, Stop(("web",)))
    story.exited("web.1", 143, "TERM")
    assert "no process" in refusal(ask(story, SendSignal("USR1", ("web",), leader=True))).message
    assert reply(ask(story, SendSignal("USR1", ("web",)))).instances == ("web.1",)


@pytest.mark.parametrize("command", [Restart(("wbe",)), Stop(("wbe",)), SendSignal("USR1", ("wbe",))])
def test_an_unknown_name_is_refused_with_the_nearest(command):
    assert refusal(ask(running({"web": 1}), command)).hint == "did you mean 'web'?"


# ---- the end


@pytest.mark.parametrize("command", [Scale(to={"web": 2}), Restart(), Stop(all=True), SendSignal("USR1", ())])
def test_commands_are_refused_while_procman_stops(command):
    story = running({"web": 1})
    story.fleet._formation.desired = replace(story.fleet._formation.desired, closing=Closing(0, NOW, 10.0))
    assert "stopping" in refusal(ask(story, command)).message
    assert of_type(story.seen, Finish) == []
