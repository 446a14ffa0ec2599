"""An extra instance that comes up first: when it is there, who waits for it, and when it goes."""

from __future__ import annotations

import pytest
from making import (
    Story,
    ask,
    asked_to_end,
    finish_codes,
    names,
    of_type,
    plan_of,
    rollout,
    settles,
    spawned_names,
    spec_of,
    told,
)
from msgspec.structs import replace

from pretended import Nature
from procman.core.actions import Refuse, Remove, Reply, Signal, Spawn
from procman.core.events import Measured, Reload, Restart, Scale, SendSignal, ShutdownAsked, Stop, TimerFired, Wait
from procman.core.fleet import Fleet
from procman.core.phases import Ready, Stopping
from procman.core.policies import Drain, Readiness, Recycle, Rolling, TcpProbe
from procman.core.rollout import SETTLE
from procman.core.snapshot import decode, encode
from procman.core.spec import OnEnd
from procman.core.timers import RecycleTimer
from procman.core.view import Kind, OperationState
from simulation import SimulatedOS, simulated

SURGE = spec_of(rolling=Rolling(surge=1))
BETTER = spec_of(command="serve better", rolling=Rolling(surge=1))
TERM = (143, "TERM")


def running(count: int, spec=SURGE, **of_plan) -> Story:
    story = Story(replace(plan_of({"web": count}, spec), **of_plan))
    story.ready(*(f"web.{n}" for n in range(1, count + 1)))
    return story


def comes_back(story: Story, name: str) -> None:
    story.ends(name, *TERM)
    story.ready(name)


def stays_back(story: Story, name: str) -> list:
    """It has been replaced, and stays ready."""
    comes_back(story, name)
    return settles(story)


def row(story: Story, name: str):
    return next(row for row in story.fleet.view(story.now).instances if row.name == name)


def commands_of(story: Story) -> dict[str, str]:
    return {i.name: i.spec.command for i in story.fleet.instances()}


def begun(count: int = 2, spec=SURGE, command=Restart(("web",))) -> Story:  # noqa: B008  frozen
    """A rollout whose extra instance is ready and settled: the first one is asked to end."""
    story = running(count, spec)
    ask(story, command)
    story.ready(f"web.{count + 1}")
    settles(story)
    return story


def crash(story: Story, name: str) -> list:
    """It dies at once, and is started again."""
    story.spawned(name)
    actions = story.ends(name, 1)
    if not told(actions, Kind.ABORTED):
        story.now = max(story.now, getattr(story.instance(name).phase, "until", 0.0))
        story.timer(name)
    return actions


# ---- the way of it


def test_the_extra_one_comes_first_then_each_under_its_own_name_then_it_goes():
    story = running(2)
    actions = ask(story, Restart(("web",)))
    assert spawned_names(actions) == ["web.3"]
    assert asked_to_end(actions) == []
    assert rollout(story) == "0 of 2"
    story.ready("web.3")
    assert asked_to_end(settles(story)) == ["web.1"]
    assert asked_to_end(stays_back(story, "web.1")) == ["web.2"]
    story.ends("web.2", *TERM)
    story.spawned("web.2")
    story.now += 1.0
    assert asked_to_end(story.timer("web.2")) == []
    assert asked_to_end(settles(story)) == ["web.3"]
    assert rollout(story) is None
    assert of_type(story.ends("web.3", *TERM), Remove) == [Remove("web.3")]
    assert names(story) == ["web.1", "web.2"]
    assert story.fleet.operation(2).state is OperationState.DONE


def test_nobody_is_replaced_before_it_has_stayed_ready_for_a_moment():
    story = running(2)
    ask(story, Restart(("web",)))
    story.spawned("web.3")
    story.now += 1.0
    assert asked_to_end(story.timer("web.3")) == []
    ready_at = story.now
    settles(story)
    assert story.now == ready_at + SETTLE


def test_a_single_instance_is_replaced_without_a_gap():
    story = running(1)
    assert spawned_names(ask(story, Restart(("web",)))) == ["web.2"]
    story.ready("web.2")
    assert asked_to_end(settles(story)) == ["web.1"]
    assert asked_to_end(stays_back(story, "web.1")) == ["web.2"]


def test_a_named_instance_and_all_together_need_none():
    assert spawned_names(ask(running(2), Restart(("web.1",)))) == []
    assert asked_to_end(ask(running(2), Restart(("web",), together=True))) == ["web.1", "web.2"]


def test_it_has_the_lowest_number_that_is_free():
    story = running(4)
    ask(story, Scale(to={"web": 3}))
    ask(story, Scale(to={"web": 4}))
    story.ready("web.5")
    assert spawned_names(ask(story, Restart(("web",)))) == ["web.6"]
    story = running(3)
    ask(story, Scale(to={"web": 2}, remove=("web.1",)))
    story.ends("web.1", *TERM)
    assert spawned_names(ask(story, Restart(("web",)))) == ["web.1"]


@pytest.mark.parametrize(
    ("spec", "step"), [(replace(SURGE, port=5000), 2), (replace(SURGE, max=2), 100), (replace(SURGE, port=65534), 100)]
)
def test_where_no_number_is_free_the_rollout_does_without(spec, step):
    story = running(2, spec, port_step=step)
    actions = ask(story, Restart(("web",)))
    assert spawned_names(actions) == []
    assert asked_to_end(actions) == ["web.1"]


def test_it_does_not_take_the_port_of_another_type():
    types = {"web": replace(SURGE, port=8000), "job": spec_of("job", port=8001)}
    story = Story(replace(plan_of({"web": 1, "job": 1}), types=types))
    story.ready("web.1", "job.1")
    assert spawned_names(ask(story, Restart(("web",)))) == ["web.3"]


def test_a_singleton_stops_before_it_starts():
    story = running(1, replace(SURGE, max=1))
    assert asked_to_end(ask(story, Restart(("web",)))) == ["web.1"]
    assert names(story) == ["web.1"]


def test_where_nobody_is_in_rotation_there_is_nothing_to_keep():
    story = running(2)
    ask(story, Stop(("web",)))
    story.ends("web.1", *TERM)
    story.ends("web.2", *TERM)
    assert spawned_names(ask(story, Restart(("web",)))) == ["web.1", "web.2"]


def test_a_reload_that_changes_the_type_brings_it_from_the_new_spec():
    story = running(2)
    ask(story, Reload(plan_of({"web": 2}, BETTER)))
    assert commands_of(story) == {"web.1": "serve web", "web.2": "serve web", "web.3": "serve better"}


def test_one_that_is_recycled_has_an_extra_one_in_its_place():
    story = running(2, replace(SURGE, recycle=Recycle(memory=100)))
    actions = story.happens(Measured("web.2", 1, 101))
    assert spawned_names(actions) == ["web.3"]
    assert rollout(story) == "0 of 1"
    assert story.happens(Measured("web.1", 1, 101)) == []
    assert rollout(story) == "0 of 2"
    story.ready("web.3")
    assert asked_to_end(settles(story)) == ["web.2"]
    assert asked_to_end(stays_back(story, "web.2")) == ["web.1"]


def test_the_extra_one_is_not_recycled():
    story = begun(spec=replace(SURGE, recycle=Recycle(memory=100, age=50.0)))
    before = rollout(story)
    assert story.happens(Measured("web.3", 1, 101)) == []
    assert rollout(story) == before
    assert story.happens(TimerFired(RecycleTimer("web.3"), 1)) == []


def test_where_the_extra_one_fails_the_old_one_is_recycled_later():
    story = running(1, replace(SURGE, recycle=Recycle(age=1000.0, jitter=0.0)))
    story.happens(TimerFired(RecycleTimer("web.1"), 1))
    for _ in range(3):
        actions = crash(story, "web.2")
    assert told(actions, Kind.ABORTED) != []
    assert story.phase("web.1") is Ready
    assert spawned_names(story.fleet_timer(RecycleTimer("web.1"))) == ["web.2"]


def aborted_for_its_memory(count: int = 1) -> Story:
    """web.1 is too large, and the extra one that was to come before it has failed three times."""
    story = running(count, replace(SURGE, recycle=Recycle(memory=100)))
    story.happens(Measured("web.1", 1, 101))
    for _ in range(3):
        crash(story, f"web.{count + 1}")
    return story


def test_where_the_extra_one_fails_the_large_one_is_left_alone_for_ten_minutes():
    story = aborted_for_its_memory()
    assert story.happens(Measured("web.1", 1, 101), after=10.0) == []
    assert story.happens(Measured("web.1", 1, 101), after=580.0) == []
    assert spawned_names(story.happens(Measured("web.1", 1, 101), after=10.0)) == ["web.2"]


def test_others_of_its_type_are_left_alone_too():
    story = aborted_for_its_memory(2)
    assert story.happens(Measured("web.2", 1, 101), after=10.0) == []


def test_the_pause_outlasts_an_upgrade():
    story = aborted_for_its_memory()
    story.fleet = Fleet(story.fleet.plan, decode(encode(story.fleet.state())))
    assert story.happens(Measured("web.1", 1, 101), after=10.0) == []


def test_after_a_reload_the_large_are_replaced_again_at_once():
    story = aborted_for_its_memory()
    ask(story, Reload(plan_of({"web": 1}, replace(BETTER, recycle=Recycle(memory=100)))))
    story.ready("web.2")
    assert asked_to_end(settles(story)) == ["web.1"]
    stays_back(story, "web.1")
    story.ends("web.2", *TERM)
    assert spawned_names(story.happens(Measured("web.1", 2, 101), after=10.0)) == ["web.2"]


# ---- shown


def test_it_is_shown_as_what_it_is():
    story = running(2)
    line = told(ask(story, Restart(("web",))), Kind.ROLLOUT)
    assert line == ["rollout of web: the extra instance web.3 comes up first"]
    assert (row(story, "web.3").role, row(story, "web.1").role) == ("surge", "regular")
    assert row(story, "web.3").reason == "extra instance of the rollout 0 of 2"
    assert "web.3 has to be ready first" in " ".join(story.fleet.why("web.1", story.now))
    assert "when the others of web have been replaced: 0 of 2" in " ".join(story.fleet.why("web.3", story.now))
    story.spawned("web.3")
    story.exited("web.3")
    assert "(extra instance of the rollout 0 of 2)" in row(story, "web.3").reason


def test_it_is_on_its_way_out_like_any_other_then():
    story = begun(1)
    stays_back(story, "web.1")
    assert row(story, "web.2").role == "leaving"
    assert row(story, "web.2").reason.startswith("the rollout is over")
    assert "its number is free" in " ".join(story.fleet.why("web.2", story.now))


def test_the_count_is_that_of_the_others():
    story = begun()
    assert story.fleet.counts == {"web": 2}
    assert story.fleet.view(story.now).types[0].desired == 2


# ---- aborted


def test_where_it_fails_nobody_is_touched_and_it_goes():
    story = running(2)
    ask(story, Reload(plan_of({"web": 2}, BETTER)))
    for _ in range(2):
        crash(story, "web.3")
    actions = crash(story, "web.3")
    assert told(actions, Kind.ABORTED)[0].startswith("rollout of web aborted: web.3 exit 1")
    assert commands_of(story) == {"web.1": "serve web", "web.2": "serve web"}
    assert story.fleet.plan.types["web"] == SURGE
    assert [i.generation for i in story.fleet.instances()] == [1, 1]
    assert story.fleet.operation(2).state is OperationState.FAILED
    assert rollout(story).startswith("aborted: web.3 exit 1")


def test_what_a_failed_one_wrote_is_kept_until_another_has_its_name():
    story = running(2)
    ask(story, Restart(("web",)))
    for _ in range(3):
        crash(story, "web.3")
    assert names(story) == ["web.1", "web.2"]
    assert of_type(story.seen, Remove) == []
    state = decode(encode(story.fleet.state()))
    story.fleet = Fleet(state.plan, state)
    actions = ask(story, Restart(("web",)))
    assert actions.index(Remove("web.3")) < actions.index(of_type(actions, Spawn)[0])


def test_where_it_ends_with_success_it_is_no_example_for_the_others():
    story = running(2)
    ask(story, Restart(("web",)))
    story.spawned("web.3")
    actions = story.ends("web.3", 0)
    assert told(actions, Kind.ABORTED) != []
    assert names(story) == ["web.1", "web.2"]


def test_where_it_cannot_be_tried_again_the_rollout_is_over():
    story = running(2, replace(SURGE, restart=replace(SURGE.restart, max_restarts=0)))
    ask(story, Restart(("web",)))
    story.spawned("web.3")
    assert told(story.exited("web.3"), Kind.ABORTED) != []
    story.emptied("web.3")
    assert names(story) == ["web.1", "web.2"]


def test_it_stays_until_those_that_go_back_are_ready():
    story = begun(2, command=Reload(plan_of({"web": 2}, BETTER)))
    story.ends("web.1", *TERM)
    for _ in range(3):
        actions = crash(story, "web.1")
    assert told(actions, Kind.ABORTED) != []
    assert story.phase("web.3") is Ready
    assert commands_of(story)["web.1"] == "serve web"
    story.spawned("web.1")
    story.now += 1.0
    assert asked_to_end(story.timer("web.1")) == ["web.3"]


def test_one_that_fails_late_goes_back_itself_and_holds_nobody_up():
    story = begun(3, command=Reload(plan_of({"web": 3}, BETTER)))
    stays_back(story, "web.1")
    story.ends("web.4", 1)
    for _ in range(2):
        story.now = story.instance("web.4").phase.until
        story.timer("web.4")
        story.spawned("web.4")
        actions = story.ends("web.4", 1)
    assert told(actions, Kind.ABORTED) != []
    assert story.instance("web.4").spec == SURGE
    story.ends("web.2", *TERM)
    story.ready("web.2")
    assert story.phase("web.1") is Ready  # it waits for the extra one, which is about to come
    story.spawned("web.4")
    story.ends("web.4", 1)
    assert story.phase("web.1") is Stopping
    comes_back(story, "web.1")
    assert commands_of(story) == {"web.1": "serve web", "web.2": "serve web", "web.3": "serve web"}


def test_an_aborted_restart_keeps_it_until_all_are_ready():
    story = begun(2)
    story.ends("web.1", *TERM)
    for _ in range(3):
        actions = crash(story, "web.1")
    assert told(actions, Kind.ABORTED) != []
    assert story.phase("web.3") is Ready
    assert rollout(story).startswith("aborted: web.1 exit 1")
    assert "; back" not in rollout(story)
    story.now = story.instance("web.1").phase.until
    story.timer("web.1")
    story.ready("web.1")
    assert story.phase("web.3") is Stopping


# ---- what comes between


def test_scaling_up_takes_the_numbers_behind_it():
    story = begun(2)
    assert spawned_names(ask(story, Scale(to={"web": 4}))) == ["web.4", "web.5"]


def test_where_its_number_is_the_last_it_becomes_a_regular_one():
    story = Story(replace(plan_of({"web": 2}, replace(SURGE, max=3))))
    story.ready("web.1", "web.2")
    ask(story, Restart(("web",)))
    story.ready("web.3")
    ask(story, Scale(to={"web": 3}))
    assert row(story, "web.3").role == "regular"
    settles(story)
    stays_back(story, "web.1")
    stays_back(story, "web.2")
    assert names(story) == ["web.1", "web.2", "web.3"]
    assert rollout(story) is None


def test_scaling_down_takes_the_regular_ones():
    story = begun(3)
    (answer,) = of_type(ask(story, Scale(to={"web": 2})), Reply)
    assert answer.instances == ("web.3",)
    assert row(story, "web.4").role == "surge"


@pytest.mark.parametrize("command", [Scale(to={"web": 0}), Stop(("web",)), Stop(all=True)])
def test_where_all_others_go_it_goes_with_them(command):
    story = begun(2)
    assert "web.3" in asked_to_end(ask(story, command))
    assert rollout(story) is None


def test_one_that_has_not_settled_goes_with_the_others_too():
    story = running(2)
    ask(story, Restart(("web",)))
    story.ready("web.3")
    assert "web.3" in asked_to_end(ask(story, Scale(to={"web": 0})))
    assert rollout(story) is None


def test_a_stop_of_one_takes_that_out_of_the_rollout():
    story = begun(2)
    ask(story, Stop(("web.2",)))
    story.ends("web.2", *TERM)
    assert asked_to_end(stays_back(story, "web.1")) == ["web.3"]


@pytest.mark.parametrize("command", [Stop(("web.3",)), Restart(("web.3",)), Wait(("web.3",))])
def test_it_belongs_to_its_rollout_and_is_not_commanded_by_itself(command):
    (refusal,) = of_type(ask(begun(), command), Refuse)
    assert refusal.message == "cannot do that to web.3: it is the extra instance of a rollout"
    assert "procman why web.3" in refusal.hint


def test_a_signal_reaches_it():
    story = begun()
    assert [s.name for s in of_type(ask(story, SendSignal("USR1", ("web.3",))), Signal)] == ["web.3"]


def test_a_second_restart_keeps_it():
    story = begun(2)
    comes_back(story, "web.1")
    ask(story, Restart(("web",)))
    assert names(story) == ["web.1", "web.2", "web.3"]
    assert rollout(story) == "0 of 2"
    stays_back(story, "web.2")
    stays_back(story, "web.1")
    assert story.phase("web.3") is Stopping


def test_a_reload_meanwhile_leaves_it_where_it_is_ready_and_tries_the_newest_with_another():
    story = begun(2, command=Reload(plan_of({"web": 2}, BETTER)))
    comes_back(story, "web.1")
    best = replace(BETTER, command="serve best")
    story.ends("web.2", *TERM)
    story.ready("web.2")
    story = begun(2, command=Reload(plan_of({"web": 2}, BETTER)))
    ask(story, Reload(plan_of({"web": 2}, best)))
    assert story.instance("web.3").generation == 1
    comes_back(story, "web.1")
    assert asked_to_end(settles(story)) == ["web.2"]
    stays_back(story, "web.2")
    story.ends("web.3", *TERM)
    assert commands_of(story) == {"web.1": "serve best", "web.2": "serve best"}


BEST = replace(BETTER, command="serve best")


def test_a_reload_meanwhile_mends_one_that_is_not_ready():
    story = running(2)
    ask(story, Reload(plan_of({"web": 2}, BETTER)))
    story.spawned("web.3")
    story.ends("web.3", 1)
    actions = ask(story, Reload(plan_of({"web": 2}, BEST)))
    assert [a.spec.command for a in of_type(actions, Spawn)] == ["serve best"]
    assert of_type(actions, Reply)[0].instances == ("web.1", "web.2")
    story.ready("web.3")
    settles(story)
    stays_back(story, "web.1")
    stays_back(story, "web.2")
    story.ends("web.3", *TERM)
    assert story.fleet.operation(3).state is OperationState.DONE


def test_what_it_runs_proves_nothing_about_a_later_version():
    story = running(2)
    ask(story, Reload(plan_of({"web": 2}, BETTER)))
    story.ready("web.3")
    assert asked_to_end(ask(story, Reload(plan_of({"web": 2}, BEST)))) == ["web.1"]
    story.now += SETTLE
    comes_back(story, "web.1")
    assert "web.2" not in asked_to_end(story.seen)
    assert asked_to_end(settles(story)) == ["web.2"]


def test_its_deaths_abort_a_rollout_of_a_later_version_too():
    story = begun(2, command=Reload(plan_of({"web": 2}, BETTER)))
    ask(story, Reload(plan_of({"web": 2}, BEST)))
    for _ in range(3):
        actions = story.ends("web.3", 1)
        if not told(actions, Kind.ABORTED):
            story.now = max(story.now, story.instance("web.3").phase.until)
            story.timer("web.3")
            story.spawned("web.3")
    assert told(actions, Kind.ABORTED) != []
    assert story.fleet.plan.types["web"] == SURGE


def test_it_serves_while_a_reload_to_settings_without_an_extra_one_restarts_the_only_other():
    story = begun(1, command=Reload(plan_of({"web": 1}, BETTER)))
    assert asked_to_end(ask(story, Reload(plan_of({"web": 1}, spec_of(command="serve best"))))) == []
    assert story.phase("web.2") is Ready
    stays_back(story, "web.1")
    assert commands_of(story)["web.1"] == "serve best"
    assert story.phase("web.2") is Stopping


def test_after_an_abort_it_is_tried_again_with_the_old_settings():
    story = begun(2, command=Reload(plan_of({"web": 2}, BETTER)))
    story.ends("web.1", *TERM)
    for _ in range(3):
        crash(story, "web.1")
    story.ends("web.3", 1)
    story.now = story.instance("web.3").phase.until
    assert [a.spec.command for a in of_type(story.timer("web.3"), Spawn)] == ["serve web"]


def test_a_reload_that_removes_the_type_removes_it():
    story = begun(2)
    assert "web.3" in asked_to_end(ask(story, Reload(plan_of({"job": 1}))))
    for name in ("web.1", "web.2", "web.3"):
        story.ends(name, *TERM)
    assert names(story) == ["job.1"]


def test_a_death_of_it_makes_the_next_wait():
    story = begun(3)
    story.ends("web.4", 1)
    comes_back(story, "web.1")
    assert asked_to_end(story.seen).count("web.2") == 0
    story.now = story.instance("web.4").phase.until
    story.timer("web.4")
    story.ready("web.4")
    assert asked_to_end(settles(story)) == ["web.2"]


def test_a_death_of_another_one_makes_the_next_wait():
    story = running(2)
    ask(story, Restart(("web",)))
    story.ready("web.3")
    story.ends("web.2", 1)
    story.spawned("web.2")
    assert asked_to_end(settles(story)) == []


def test_a_shutdown_ends_it():
    story = begun()
    assert "web.3" in asked_to_end(story.happens(ShutdownAsked("SIGTERM")))
    assert rollout(story) is None


def test_it_goes_on_where_another_program_took_over():
    story = running(2)
    ask(story, Restart(("web",)))
    story.ready("web.3")
    before = decode(encode(story.fleet.state()))
    story.fleet = Fleet(before.plan, before)
    assert story.fleet.state() == before
    assert row(story, "web.3").role == "surge"
    assert asked_to_end(settles(story)) == ["web.1"]


# ---- on a pretended system


def least_ready(system: SimulatedOS, command) -> int:
    """The fewest that were ready at any moment, to the end of a rollout."""
    least = 1000
    handle = system.handle

    def watched(event):
        nonlocal least
        actions = handle(event)
        least = min(least, sum(isinstance(i.phase, Ready) for i in system.fleet.instances()))
        return actions

    system.handle = watched
    assert isinstance(system.command(command), Reply)
    system.run(600.0)
    return least


PROBED = {"ready": Readiness(probe=TcpProbe(), timeout=10.0), "rolling": Rolling(surge=1)}


@pytest.mark.parametrize("count", [1, 2, 4, 9])
@pytest.mark.parametrize("drain", [None, Drain(seconds=2.5)])
@pytest.mark.parametrize("how", ["restart", "reload"])
def test_in_a_rollout_that_nothing_disturbs_never_fewer_are_ready_than_are_wanted(count, drain, how):
    system = simulated({"web": count}, spec_of(stop={"drain": drain}, **PROBED))
    system.run(5.0)
    better = spec_of(command="serve better", stop={"drain": drain}, **PROBED)
    command = Restart(("web",)) if how == "restart" else Reload(plan_of({"web": count}, better))
    assert least_ready(system, command) == count
    assert [i.name for i in system.fleet.instances()] == [f"web.{n}" for n in range(1, count + 1)]
    assert all(i.generation == 2 for i in system.fleet.instances())
    assert system.fleet.view(system.now).types[0].rollout is None


@pytest.mark.parametrize("nature", [Nature.DIES, Nature.UNREADY, Nature.ABSENT])
@pytest.mark.parametrize("count", [1, 4])
def test_a_bad_version_costs_nothing_and_reaches_nobody(nature, count):
    system = simulated({"web": count}, spec_of(**PROBED))
    system.nature_of = lambda spawn: nature if spawn.spec.command == "serve better" else Nature.OBEYS
    system.run(5.0)
    assert least_ready(system, Reload(plan_of({"web": count}, spec_of(command="serve better", **PROBED)))) == count
    assert [i.generation for i in system.fleet.instances()] == [1] * count
    assert all(isinstance(i.phase, Ready) for i in system.fleet.instances())
    assert system.kinds().count(Kind.ABORTED) == 1


@pytest.mark.parametrize("bad", ["web.1", "web.3", "web.4"])
def test_a_version_that_fails_in_one_slot_alone_goes_back_everywhere(bad):
    """Where a port is taken, say: never fewer than one is missing, and nothing is left of the new version."""
    system = simulated({"web": 4}, spec_of(**PROBED))
    spec = spec_of(command="serve better", **PROBED)
    system.nature_of = lambda spawn: Nature.DIES if spawn.spec == spec and spawn.name == bad else Nature.OBEYS
    system.run(5.0)
    assert least_ready(system, Reload(plan_of({"web": 4}, spec))) >= 4 - 1
    assert {i.spec.command for i in system.fleet.instances()} == {"serve web"}
    assert [i.name for i in system.fleet.instances()] == ["web.1", "web.2", "web.3", "web.4"]
    assert system.kinds().count(Kind.ABORTED) == 1


def test_where_the_end_of_a_type_ends_everything_that_of_its_extra_one_does_too():
    spec = replace(SURGE, on_end=OnEnd.EXIT)
    story = running(2, spec)
    ask(story, Restart(("web",)))
    story.spawned("web.3")
    assert {"web.1", "web.2"} <= set(asked_to_end(story.exited("web.3", 4)))
    story.emptied("web.3")
    story.ends("web.1", *TERM)
    assert finish_codes(story.ends("web.2", *TERM)) == [4]
