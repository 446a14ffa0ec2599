"""Reload: compared by value; removed types stop, new ones start, changed ones restart, the rest is left alone."""

from __future__ import annotations

from making import Story, asked_to_end, of_type, plan_of, running, spawned_names, spec_of, told
from msgspec.structs import replace

from procman.core.actions import CloseSockets, OpenSockets, Remove, Reply, Signal, Spawn
from procman.core.events import Commanded, Reload, Restart, Scale, Stop
from procman.core.fleet import Fleet
from procman.core.phases import Down, Starting, Stopping
from procman.core.policies import ListenSocket
from procman.core.snapshot import decode, encode
from procman.core.spec import Plan
from procman.core.timers import RolloutTimer
from procman.core.view import Kind

CHANGED = spec_of("web", command="serve better")


def reload(story: Story, plan: Plan) -> list:
    return story.happens(Commanded(Reload(plan), 9))


def test_the_same_inputs_change_nothing():
    story = running({"web": 2, "job": 1})
    before = story.fleet.instances()
    actions = reload(story, plan_of({"web": 2, "job": 1}))
    assert story.fleet.instances() == before
    assert of_type(actions, Signal) == []
    assert of_type(actions, Reply) == [Reply(9, (), {"web": 2, "job": 1}, 2)]
    assert told(actions, Kind.RELOADED) == ["reloaded: nothing changed"]


def test_a_removed_type_stops_and_is_forgotten():
    story = running({"web": 1, "job": 2})
    actions = reload(story, plan_of({"web": 1}))
    assert asked_to_end(actions) == ["job.2", "job.1"]
    assert story.fleet.counts == {"web": 1}
    assert of_type([*story.ends("job.1", 143, "TERM"), *story.ends("job.2", 143, "TERM")], Remove) == [
        Remove("job.1"),
        Remove("job.2"),
    ]


def test_a_removed_type_that_stood_at_nought_is_no_trouble():
    story = running({"web": 1, "release": 0})
    reload(story, plan_of({"web": 1}))
    assert story.fleet.counts == {"web": 1}


def test_a_new_type_starts_with_its_configured_count():
    actions = reload(running({"web": 1}), plan_of({"job": 2, "web": 1}))
    assert spawned_names(actions) == ["job.1", "job.2"]


def test_a_changed_type_restarts_and_the_others_keep_their_processes():
    story = running({"web": 2, "job": 1})
    actions = reload(story, plan_of({"web": 2, "job": 1}, CHANGED))
    assert asked_to_end(actions) == ["web.1"]
    (spawn,) = [a for a in story.ends("web.1", 143, "TERM") if spawned_names([a])]
    assert spawn.spec == CHANGED


def test_the_slots_are_in_the_new_order():
    story = running({"web": 1, "job": 1})
    reload(story, plan_of({"job": 1, "web": 1}))
    assert [i.name for i in story.fleet.instances()] == ["job.1", "web.1"]
    assert list(story.fleet.counts) == ["job", "web"]


def test_a_stopped_instance_stays_stopped_and_starts_later_as_it_is_now():
    story = running({"web": 2})
    story.happens(Commanded(Stop(("web.1",)), 1))
    story.ends("web.1", 143, "TERM")
    reload(story, plan_of({"web": 2}, CHANGED))
    assert story.phase("web.1") is Down
    story.happens(Commanded(Restart(("web.1",)), 1))
    assert story.instance("web.1").spec == CHANGED


def test_what_had_ended_or_waits_lives_anew_when_its_type_is_changed():
    story = running({"web": 2, "job": 1})
    story.ends("web.1", 0)
    story.ends("web.2", 1)
    assert spawned_names(reload(story, plan_of({"web": 2, "job": 1}, CHANGED))) == ["web.1", "web.2"]


def test_counts_set_at_run_time_stay():
    story = running({"web": 1})
    story.happens(Commanded(Scale(to={"web": 3}), 1))
    reload(story, plan_of({"web": 2}))
    assert story.fleet.counts == {"web": 3}


def test_a_count_nobody_touched_follows_the_inputs():
    story = running({"web": 3})
    assert asked_to_end(reload(story, plan_of({"web": 1}))) == ["web.3", "web.2"]


def test_a_count_set_at_run_time_gives_way_to_a_new_limit():
    story = running({"web": 1})
    story.happens(Commanded(Scale(to={"web": 3}), 1))
    reload(story, plan_of({"web": 1}, spec_of("web", max=2)))
    assert story.fleet.counts == {"web": 1}


def test_one_that_is_to_go_is_not_started_on_its_way():
    story = running({"web": 2})
    story.ends("web.2", 1)
    assert spawned_names(reload(story, plan_of({"web": 1}, CHANGED))) == []
    assert story.fleet.get("web.2") is None


def test_the_new_ones_of_a_changed_type_are_started_once():
    story = running({"web": 1})
    actions = reload(story, plan_of({"web": 2}, CHANGED))
    assert spawned_names(actions) == ["web.2"]
    story.spawned("web.2")
    assert story.phase("web.2") is Starting


def test_a_slot_on_its_way_out_that_comes_back_runs_what_is_written_now():
    """Started from the old command, taken away, changed, wanted again, all before the process is there."""
    story = Story(plan_of({"web": 1}))
    story.happens(Commanded(Scale(to={"web": 0}), 1))
    reload(story, plan_of({"web": 0}, CHANGED))
    story.happens(Commanded(Scale(to={"web": 1}), 1))
    story.spawned("web.1")
    assert story.phase("web.1") is Stopping
    (spawn,) = [a for a in story.ends("web.1", 143, "TERM") if spawned_names([a])]
    assert spawn.spec == CHANGED


def test_a_type_that_is_removed_and_put_back_waits_for_its_old_processes():
    story = running({"web": 1, "job": 1})
    reload(story, plan_of({"job": 1}))
    assert spawned_names(reload(story, plan_of({"job": 1, "web": 1}, CHANGED))) == []
    (spawn,) = [a for a in story.ends("web.1", 143, "TERM") if spawned_names([a])]
    assert spawn.spec == CHANGED


def test_the_life_that_a_reload_ends_has_its_old_grace():
    story = running({"web": 1}, spec_of("web", stop={"grace": 30.0}))
    reload(story, plan_of({"web": 1}, spec_of("web", stop={"grace": 1.0})))
    assert story.instance("web.1").phase.kill_at == story.now + 30.0


def test_another_step_of_the_ports_alone_changes_nothing():
    story = running({"web": 1})
    assert of_type(reload(story, replace(plan_of({"web": 1}), port_step=10)), Signal) == []


def test_a_count_set_at_run_time_stays_over_every_later_reload():
    story = running({"web": 1})
    story.happens(Commanded(Scale(to={"web": 3})))
    reload(story, plan_of({"web": 3}))
    reload(story, plan_of({"web": 1}))
    assert story.fleet.counts == {"web": 3}


# ---- shared sockets

OLD, NEWER = ListenSocket("http", "tcp://127.0.0.1:8000"), ListenSocket("http", "tcp://127.0.0.1:9000")


def test_shared_sockets_are_opened_before_the_first_start():
    story = Story(plan_of({"web": 1}, spec_of(sockets=(OLD,))))
    assert [type(a) for a in story.seen[:2]] == [OpenSockets, Spawn]
    assert story.seen[0] == OpenSockets("web", (OLD,))


def test_a_reload_opens_the_new_one_before_it_closes_the_old_one():
    story = running({"web": 1}, spec_of(sockets=(OLD,)))
    reload(story, plan_of({"web": 1}, spec_of(sockets=(NEWER,))))
    assert shared(story.seen)[1:] == [OpenSockets("web", (NEWER,))]
    story.ends("web.1", 143, "TERM")
    story.ready("web.1")
    story.fleet_timer(RolloutTimer("web"))
    assert shared(story.seen)[1:] == [OpenSockets("web", (NEWER,)), CloseSockets("web", (OLD,))]


def test_what_stays_is_left_alone_and_a_type_that_goes_takes_its_sockets_along():
    story = running({"web": 1, "job": 1}, spec_of(sockets=(OLD,)))
    actions = reload(story, plan_of({"web": 1}, spec_of(command="serve better", sockets=(OLD,))))
    assert of_type(actions, (OpenSockets, CloseSockets)) == []
    actions = reload(story, plan_of({"job": 1}))
    assert of_type(actions, (OpenSockets, CloseSockets)) == [CloseSockets("web", (OLD,))]


def rolling_to(spec) -> Story:
    """Two of web, the first of which is replaced."""
    story = running({"web": 2}, spec_of(sockets=(OLD,)))
    reload(story, plan_of({"web": 2}, spec))
    story.ends("web.1", 143, "TERM")
    return story


def shared(actions) -> list[OpenSockets | CloseSockets]:
    return of_type(actions, (OpenSockets, CloseSockets))


def test_the_old_socket_stays_open_until_the_last_instance_has_been_replaced():
    story = rolling_to(spec_of(sockets=(NEWER,)))
    story.ready("web.1")
    story.fleet_timer(RolloutTimer("web"))
    assert shared(story.seen)[1:] == [OpenSockets("web", (NEWER,))]
    story.ends("web.2", 143, "TERM")
    story.ready("web.2")
    story.fleet_timer(RolloutTimer("web"))
    assert shared(story.seen)[1:] == [OpenSockets("web", (NEWER,)), CloseSockets("web", (OLD,))]


def test_an_aborted_rollout_goes_back_to_the_old_socket_which_was_never_closed():
    story = rolling_to(spec_of(sockets=(NEWER,)))
    for _ in range(3):
        story.spawned("web.1")
        story.ends("web.1")
        story.timer("web.1")
    story.ready("web.1")
    assert story.instance("web.1").spec.sockets == (OLD,)
    closed = [one for one in shared(story.seen) if isinstance(one, CloseSockets)]
    assert closed == [CloseSockets("web", (NEWER,))]


def test_what_is_left_open_is_handed_over():
    story = rolling_to(spec_of(sockets=(NEWER,)))
    state = decode(encode(story.fleet.state()))
    story.fleet = Fleet(state.plan, state)
    story.ready("web.1")
    story.fleet_timer(RolloutTimer("web"))
    story.ends("web.2", 143, "TERM")
    story.ready("web.2")
    story.fleet_timer(RolloutTimer("web"))
    assert shared(story.seen)[-1] == CloseSockets("web", (OLD,))
