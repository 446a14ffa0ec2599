"""Instances replaced a few at a time: who waits, what aborts it, and what is in force then."""

from __future__ import annotations

import pytest
from making import Story, ask, asked_to_end, both, of_type, plan_of, rollout, settles, spawned_names, spec_of, told
from msgspec.structs import replace

from pretended import Nature
from procman.core.actions import Finish, Publish, Reply, Signal, Spawn, Target
from procman.core.events import Hold, Measured, Probed, Reload, Restart, Scale, ShutdownAsked, Stop, TimerFired
from procman.core.fleet import Fleet
from procman.core.phases import Failed, Ready, Stopping, Waiting
from procman.core.policies import Dependency, Drain, Health, Readiness, Recycle, Rolling, TcpProbe
from procman.core.rollout import SETTLE
from procman.core.snapshot import decode, encode
from procman.core.timers import RecycleTimer
from procman.core.view import Kind, OperationState
from simulation import SimulatedOS, simulated

BETTER = spec_of(command="serve better")


def running(count: int, spec=None) -> Story:
    story = Story(plan_of({"web": count}, *([spec] if spec else [])))
    story.ready(*(f"web.{n}" for n in range(1, count + 1)))
    return story


def comes_back(story: Story, name: str) -> None:
    story.ends(name, 143, "TERM")
    story.ready(name)


def commands_of(story: Story) -> list[str]:
    return [i.spec.command for i in story.fleet.instances()]


def test_one_after_the_other_each_ready_before_the_next():
    story = running(3)
    assert asked_to_end(ask(story, Restart(("web",)))) == ["web.1"]
    assert rollout(story) == "0 of 3"  # it is not back yet
    comes_back(story, "web.1")
    assert rollout(story) == "1 of 3"
    assert asked_to_end(story.seen).count("web.2") == 0
    assert asked_to_end(settles(story)) == ["web.2"]
    story.ends("web.2", 143, "TERM")
    story.spawned("web.2")
    story.now += 1.0
    assert asked_to_end(story.timer("web.2")) == []
    assert asked_to_end(settles(story)) == ["web.3"]
    comes_back(story, "web.3")
    assert rollout(story) == "3 of 3"
    assert story.fleet.operation(2).state is OperationState.RUNNING
    settles(story)
    assert rollout(story) is None
    assert story.fleet.operation(2).state is OperationState.DONE


def test_each_batch_must_stay_ready_for_a_moment():
    story = running(3)
    ask(story, Restart(("web",)))
    for name in ("web.1", "web.2", "web.3"):
        comes_back(story, name)
        ready_at = story.now
        settles(story)
        assert story.now == ready_at + SETTLE
    assert rollout(story) is None


def test_a_batch_that_has_lost_one_settles_anew():
    story = running(4, spec_of(rolling=Rolling(unavailable=2)))
    ask(story, Restart(("web",)))
    for name in ("web.1", "web.2"):
        story.ends(name, 143, "TERM")
    story.ready("web.1", "web.2")
    story.now += 1.0
    story.ends("web.1", 1)
    assert asked_to_end(settles(story)) == []
    story.timer("web.1")
    story.ready("web.1")
    ready_at = story.now
    assert asked_to_end(settles(story)) == ["web.3", "web.4"]
    assert story.now == ready_at + SETTLE


def test_a_death_of_one_that_was_replaced_before_holds_up_the_next_batch():
    story = running(6, spec_of(rolling=Rolling(unavailable=2)))
    ask(story, Restart(("web",)))
    for names in (("web.1", "web.2"), ("web.3", "web.4")):
        for name in names:
            story.ends(name, 143, "TERM")
        story.ready(*names)
        if names[0] == "web.1":
            assert asked_to_end(settles(story)) == ["web.3", "web.4"]
    story.ends("web.1", 1)
    assert asked_to_end(settles(story)) == []
    story.timer("web.1")
    story.ready("web.1")
    ready_at = story.now
    assert asked_to_end(settles(story)) == ["web.5", "web.6"]
    assert story.now == ready_at + SETTLE


def test_one_that_is_unhealthy_on_trial_settles_anew():
    health = Health(probe=TcpProbe())
    story = running(2, spec_of(health=health))
    ask(story, Restart(("web",)))
    comes_back(story, "web.1")
    story.happens(Probed("web.1", story.instance("web.1").generation, ok=False))
    assert asked_to_end(settles(story)) == []
    story.happens(Probed("web.1", story.instance("web.1").generation, ok=True))
    assert asked_to_end(settles(story)) == ["web.2"]


@pytest.mark.parametrize(("count", "unavailable"), [(1, 0.25), (3, 3)])
def test_where_the_first_batch_is_the_whole_type_it_goes_back_as_well(count, unavailable):
    rolling = Rolling(unavailable=unavailable)
    story = running(count, spec_of(rolling=rolling))
    names = [f"web.{n}" for n in range(1, count + 1)]
    assert (
        asked_to_end(ask(story, Reload(plan_of({"web": count}, spec_of(command="serve better", rolling=rolling)))))
        == names
    )
    for name in names:
        story.ends(name, 143, "TERM")
    story.ready(*names)
    assert story.fleet.operation(2).state is OperationState.RUNNING
    for _ in range(3):
        story.now += 2.0
        actions = story.ends("web.1", 1)
        if not told(actions, Kind.ABORTED):
            story.timer("web.1")
            story.ready("web.1")
    assert story.fleet.operation(2).state is OperationState.FAILED
    assert story.instance("web.1").spec.command == "serve web"
    story.ready("web.1")
    for name in names[1:]:
        if isinstance(story.instance(name).phase, Stopping):
            story.ends(name, 143, "TERM")
            story.ready(name)
    assert commands_of(story) == ["serve web"] * count
    assert rollout(story).startswith("aborted")


def test_a_single_one_that_stays_ready_is_replaced_for_good():
    story = running(1)
    ask(story, Reload(plan_of({"web": 1}, BETTER)))
    comes_back(story, "web.1")
    assert story.fleet.operation(2).state is OperationState.RUNNING
    settles(story)
    assert story.fleet.operation(2).state is OperationState.DONE
    for _ in range(3):
        story.ends("web.1", 1)
        story.timer("web.1")
        story.ready("web.1")
    assert commands_of(story) == ["serve better"]


def test_a_single_one_that_is_not_ready_has_nothing_to_go_back_to():
    story = running(1)
    story.ends("web.1", 1)
    ask(story, Reload(plan_of({"web": 1}, BETTER)))
    for _ in range(3):
        crash(story, "web.1")
        story.timer("web.1")
    assert commands_of(story) == ["serve better"]


def test_a_one_off_that_fails_with_new_settings_is_not_run_with_the_old_ones():
    story = running(1, spec_of(oneshot=True))
    ask(story, Reload(plan_of({"web": 1}, spec_of(command="serve better", oneshot=True))))
    story.ends("web.1", 143, "TERM")
    crash(story, "web.1")
    assert commands_of(story) == ["serve better"]
    assert story.phase("web.1") is Failed


@pytest.mark.parametrize(("unavailable", "count", "first"), [(0.25, 8, 2), (0.25, 3, 1), (3, 4, 3), (0.5, 4, 2)])
def test_so_many_are_away_at_once_as_the_type_says(unavailable, count, first):
    story = running(count, spec_of(rolling=Rolling(unavailable=unavailable)))
    assert asked_to_end(ask(story, Restart(("web",)))) == [f"web.{n}" for n in range(1, first + 1)]


def test_all_at_once_where_that_is_asked_for():
    assert asked_to_end(ask(running(3), Restart(("web",), together=True))) == ["web.1", "web.2", "web.3"]


def test_one_that_is_named_is_restarted_at_once():
    assert asked_to_end(ask(running(3), Restart(("web.2", "web.3")))) == ["web.2", "web.3"]


def test_a_single_one_is_restarted_at_once():
    assert asked_to_end(ask(running(1), Restart(("web",)))) == ["web.1"]


def test_who_is_out_of_rotation_anyway_is_replaced_at_once_and_counts_as_away():
    story = running(3)
    story.ends("web.3", 1)
    actions = ask(story, Restart(("web",)))
    assert asked_to_end(actions) == []
    assert spawned_names(actions) == ["web.3"]


def test_who_is_stopped_or_failed_holds_nobody_up():
    story = running(3)
    ask(story, Stop(("web.3",)))
    story.ends("web.3", 143, "TERM")
    assert asked_to_end(ask(story, Restart(("web.1", "w*")))) == ["web.1"]
    assert "web.3" in spawned_names(story.seen)


def test_a_reload_replaces_a_changed_type_in_the_same_way():
    story = running(2)
    assert asked_to_end(ask(story, Reload(plan_of({"web": 2}, BETTER)))) == ["web.1"]
    comes_back(story, "web.1")
    assert commands_of(story) == ["serve better", "serve web"]
    settles(story)
    comes_back(story, "web.2")
    assert commands_of(story) == ["serve better", "serve better"]


# ---- aborted


def crash(story: Story, name: str) -> list:
    """It dies at once, and is started again."""
    story.spawned(name)
    actions = story.ends(name, 1)
    phase = story.instance(name).phase
    story.now = getattr(phase, "until", story.now)
    return actions


def test_three_deaths_of_what_was_replaced_abort_it_and_the_old_spec_is_in_force():
    story = running(3)
    old = story.fleet.plan.types["web"]
    ask(story, Reload(plan_of({"web": 3}, BETTER)))
    story.ends("web.1", 143, "TERM")
    for _ in range(2):
        crash(story, "web.1")
        story.timer("web.1")
    actions = crash(story, "web.1")
    (line,) = told(actions, Kind.ABORTED)
    assert line.startswith("rollout of web aborted: web.1 exit 1")
    assert story.fleet.plan.types["web"] == old
    assert [a.spec for a in of_type(actions, Spawn)] == [old]
    story.ready("web.1")
    assert commands_of(story) == ["serve web"] * 3
    assert [i.generation for i in story.fleet.instances()] == [5, 1, 1]
    operation = story.fleet.operation(2)
    assert operation.state is OperationState.FAILED
    assert "rollout of web aborted" in operation.reason.text
    assert rollout(story).startswith("aborted: web.1 exit 1")


def test_one_that_is_not_ready_in_time_aborts_it_at_once():
    ready = Readiness(probe=TcpProbe(), timeout=10.0)
    story = Story(plan_of({"web": 2}, spec_of(ready=ready)))
    story.spawned("web.1", "web.2")
    for n in (1, 2):
        story.happens(Probed(f"web.{n}", 1, ok=True))
    ask(story, Reload(plan_of({"web": 2}, spec_of(command="serve better", ready=ready))))
    story.ends("web.1", 143, "TERM")
    story.spawned("web.1")
    story.now += 10.0
    assert told(story.timer("web.1"), Kind.ABORTED) != []
    story.ends("web.1", 143, "TERM")
    assert of_type(story.seen, Spawn)[-1].spec.command == "serve web"


def test_a_version_that_becomes_ready_and_dies_reaches_the_first_ones_alone():
    story = running(3)
    ask(story, Reload(plan_of({"web": 3}, BETTER)))
    story.ends("web.1", 143, "TERM")
    for _ in range(3):
        story.ready("web.1")
        story.now += 2.0
        story.ends("web.1", 1)
        if commands_of(story)[0] == "serve better":
            story.timer("web.1")
    assert [i.generation for i in story.fleet.instances()][1:] == [1, 1]
    assert rollout(story).startswith("aborted")


def test_what_was_replaced_already_goes_back_in_its_turn():
    story = running(4)
    ask(story, Reload(plan_of({"web": 4}, BETTER)))
    comes_back(story, "web.1")
    settles(story)
    comes_back(story, "web.2")
    story.ends("web.3", 143, "TERM")
    for _ in range(3):
        actions = crash(story, "web.3")
        if not told(actions, Kind.ABORTED):
            story.timer("web.3")
    story.ready("web.3")
    for name in ("web.1", "web.2"):
        assert sum(not isinstance(i.phase, Ready) for i in story.fleet.instances()) == 1
        comes_back(story, name)
    assert commands_of(story) == ["serve web"] * 4
    assert story.instance("web.4").generation == 1


def test_an_aborted_restart_leaves_the_others_as_they_are():
    story = running(3)
    ask(story, Restart(("web",)))
    story.ends("web.1", 143, "TERM")
    for _ in range(3):
        actions = crash(story, "web.1")
        if not told(actions, Kind.ABORTED):
            story.timer("web.1")
    assert "the others are left as they are" in told(actions, Kind.ABORTED)[0]
    assert [i.generation for i in story.fleet.instances()][1:] == [1, 1]


def test_the_next_reload_tries_again():
    story = running(2)
    ask(story, Reload(plan_of({"web": 2}, BETTER)))
    story.ends("web.1", 143, "TERM")
    for _ in range(3):
        actions = crash(story, "web.1")
        if not told(actions, Kind.ABORTED):
            story.timer("web.1")
    story.ready("web.1")
    assert asked_to_end(ask(story, Reload(plan_of({"web": 2}, BETTER)))) == ["web.1"]
    assert rollout(story) == "0 of 2"


def test_one_that_waits_for_what_it_depends_on_still_comes_up_after_an_abort():
    web = spec_of(depends_on=(Dependency(type="redis"),))
    story = Story(plan_of({"redis": 1, "web": 2}, web))
    story.ready("redis.1")
    story.ready("web.1", "web.2")
    ask(story, Stop(("web.2",)))
    story.ends("web.2", 143, "TERM")
    story.ends("redis.1", 1)
    ask(story, Restart(("web",)))
    assert story.phase("web.2") is Waiting
    story.ends("web.1", 143, "TERM")
    for _ in range(3):
        actions = crash(story, "web.1")
        if not told(actions, Kind.ABORTED):
            story.timer("web.1")
    assert told(actions, Kind.ABORTED) != []
    story.timer("redis.1")
    story.ready("redis.1")
    assert "web.2" in spawned_names(story.seen[-3:])


# ---- what comes between


def test_a_stop_of_one_takes_it_out_of_the_rollout():
    story = running(3)
    ask(story, Restart(("web",)))
    ask(story, Stop(("web.2",)))
    story.ends("web.2", 143, "TERM")
    comes_back(story, "web.1")
    assert asked_to_end(settles(story)) == ["web.3"]


def test_a_stop_of_the_first_one_lets_the_next_be_the_first():
    story = running(3)
    ask(story, Restart(("web",)))
    at_once = ask(story, Stop(("web.1",)))
    assert asked_to_end([*at_once, *story.ends("web.1", 143, "TERM")]) == ["web.2"]
    comes_back(story, "web.2")
    assert asked_to_end(settles(story)) == ["web.3"]


def test_a_scaling_down_ends_it_for_those_that_go_and_a_scaling_up_starts_the_new_spec():
    story = running(3)
    ask(story, Reload(plan_of({"web": 3}, BETTER)))
    ask(story, Scale(to={"web": 2}))
    story.ends("web.3", 143, "TERM")
    ask(story, Scale(to={"web": 3}))
    assert story.instance("web.3").spec == BETTER


def test_a_shutdown_ends_it():
    story = running(3)
    ask(story, Restart(("web",)))
    assert asked_to_end(story.happens(ShutdownAsked("SIGTERM"))) == ["web.2", "web.3"]
    assert rollout(story) is None


def test_a_death_of_another_one_makes_the_next_wait():
    story = running(3)
    ask(story, Restart(("web",)))
    comes_back(story, "web.1")
    story.ends("web.1", 1)
    assert asked_to_end(settles(story)) == []


def test_it_goes_on_where_another_program_took_over():
    story = running(3)
    ask(story, Reload(plan_of({"web": 3}, BETTER)))
    comes_back(story, "web.1")
    before = decode(encode(story.fleet.state()))
    story.fleet = Fleet(before.plan, before)
    assert story.fleet.state() == before
    assert asked_to_end(settles(story)) == ["web.2"]


@pytest.mark.parametrize("replaced", [1, 2, 3])
def test_one_of_a_version_that_knew_no_batches_ends(replaced):
    story = running(3)
    number = of_type(ask(story, Reload(plan_of({"web": 3}, BETTER))), Reply)[0].operation
    for n in range(1, replaced):
        comes_back(story, f"web.{n}")
        settles(story)
    comes_back(story, f"web.{replaced}")
    before = decode(encode(story.fleet.state()))
    one = replace(before.rollouts.running["web"], batch=())
    story.fleet = Fleet(before.plan, replace(before, rollouts=replace(before.rollouts, running={"web": one})))
    settles(story)
    for n in range(replaced + 1, 4):
        comes_back(story, f"web.{n}")
        settles(story)
    assert commands_of(story) == ["serve better"] * 3
    assert rollout(story) is None
    operation = story.fleet.operation(number)
    assert operation is not None
    assert operation.state is OperationState.DONE


# ---- recycled


def test_one_that_is_too_large_is_replaced_and_one_at_a_time():
    story = running(3, spec_of(recycle=Recycle(memory=100)))
    assert story.happens(Measured("web.1", 1, 100)) == []
    actions = story.happens(Measured("web.1", 1, 101 << 20))
    assert asked_to_end(actions) == ["web.1"]
    (line,) = (a.change.text for a in of_type(actions, Publish) if a.change.event is Kind.STOPPING and a.change.logged)
    assert line.startswith("stopping web.1: recycled: 101 MiB of at most")
    assert asked_to_end(story.happens(Measured("web.2", 1, 101))) == []
    comes_back(story, "web.1")
    assert asked_to_end(settles(story)) == ["web.2"]


def test_one_that_is_too_old_is_replaced_and_those_of_one_age_not_at_once():
    story = running(2, spec_of(recycle=Recycle(age=100.0)))
    ages = [a.at - 1000.0 for a in story.seen if isinstance(getattr(a, "key", None), RecycleTimer)]
    assert len(set(ages)) == 2
    assert all(100.0 <= age <= 110.0 for age in ages)
    actions = story.happens(TimerFired(RecycleTimer("web.1"), 1))
    assert of_type(actions, Signal) == [*both("TERM", Target.TOP, generation=1)]
    assert story.happens(TimerFired(RecycleTimer("web.1"), 0)) == []


def test_why_says_what_an_instance_waits_for():
    story = running(3)
    ask(story, Restart(("web",)))
    assert "the rollout of web is at 0 of 3" in " ".join(story.fleet.why("web.2", story.now))
    assert "started again" in " ".join(story.fleet.why("web.1", story.now))
    assert story.fleet.why("web.9", story.now) == ()


# ---- on a pretended system


def least_ready(system: SimulatedOS, count: int, spec) -> int:
    """The fewest that were ready at any moment of a reload to this spec, to its end."""
    least = count
    handle = system.handle

    def watched(event):
        nonlocal least
        actions = handle(event)
        ready = sum(isinstance(i.phase, Ready) for i in system.fleet.instances())
        least = min(least, ready)
        return actions

    system.handle = watched
    assert isinstance(system.command(Reload(plan_of({"web": count}, spec))), Reply)
    system.run(300.0)
    return least


PROBED = {"ready": Readiness(probe=TcpProbe(), timeout=10.0)}


@pytest.mark.parametrize(("count", "unavailable"), [(2, 1), (4, 0.25), (5, 0.5), (8, 3), (12, 0.25)])
@pytest.mark.parametrize("drain", [None, Drain(seconds=2.5)])
def test_in_a_rollout_that_nothing_disturbs_never_fewer_are_ready_than_the_type_says(count, unavailable, drain):
    rolling = Rolling(unavailable=unavailable)
    system = simulated({"web": count}, spec_of(rolling=rolling, stop={"drain": drain}, **PROBED))
    system.run(5.0)
    better = spec_of(command="serve better", rolling=rolling, stop={"drain": drain}, **PROBED)
    assert least_ready(system, count, better) == count - rolling.away(count)
    assert {i.spec.command for i in system.fleet.instances()} == {"serve better"}
    assert system.fleet.view(system.now).types[0].rollout is None


@pytest.mark.parametrize("nature", [Nature.DIES, Nature.UNREADY, Nature.ABSENT])
@pytest.mark.parametrize("count", [2, 4, 9])
def test_a_bad_version_costs_no_more_than_one_batch_and_ends_with_the_old_one_everywhere(nature, count):
    system = simulated({"web": count}, spec_of(**PROBED))
    system.nature_of = lambda spawn: nature if spawn.spec.command == "serve better" else Nature.OBEYS
    system.run(5.0)
    least = least_ready(system, count, spec_of(command="serve better", **PROBED))
    assert least == count - Rolling().away(count)
    assert {i.spec.command for i in system.fleet.instances()} == {"serve web"}
    assert all(isinstance(i.phase, Ready) for i in system.fleet.instances())
    assert system.kinds().count(Kind.ABORTED) == 1


ROLLED = [(4, 1, 0), (4, 2, 0), (4, 4, 0), (4, 1, 1), (4, 2, 1), (1, 1, 0), (1, 1, 1), (2, 1, 0)]


@pytest.mark.parametrize("between", [None, Scale(to={"web": 5}), Restart(("web",))], ids=["alone", "scale", "restart"])
@pytest.mark.parametrize(
    ("count", "unavailable", "surge", "after"),
    [(*rolled, 2.0) for rolled in ROLLED] + [(*rolled, 5.0) for rolled in ROLLED if rolled[0] > rolled[1]],
)
def test_a_version_that_becomes_ready_and_dies_soon_ends_with_the_old_one(count, unavailable, surge, between, after):
    rolling = Rolling(unavailable=unavailable, surge=surge)
    system = simulated({"web": count}, spec_of(rolling=rolling, **PROBED))
    system.run(5.0)
    better = spec_of(command="serve better", rolling=rolling, **PROBED)
    system.command(Reload(plan_of({"web": count}, better)))
    least = count
    for step in range(400):
        system.run(0.25)
        if step == 6 and between is not None:
            system.command(between)
        up = [i for i in system.fleet.instances() if isinstance(i.phase, Ready)]
        least = min(least, len(up))
        for i in up:
            if i.spec.command == "serve better" and system.now - i.phase.ready_at >= after:
                system.exit(i.name)
    assert least >= count - (0 if surge else unavailable)
    assert {i.spec.command for i in system.fleet.instances()} == {"serve web"}
    assert len(system.fleet.instances()) == sum(system.fleet.counts.values())
    assert all(isinstance(i.phase, Ready) for i in system.fleet.instances())
    assert system.kinds().count(Kind.ABORTED) == 1
    assert system.fleet.operation(2).state is OperationState.FAILED


def test_a_drain_that_is_held_and_an_order_cannot_deadlock_a_stop():
    needs = (Dependency(type="redis"),)
    web = spec_of("web", depends_on=needs, stop={"drain": Drain(seconds=60.0)})
    system = simulated({"web": 2, "redis": 1}, web, natures=())
    system.run(5.0)
    system.command(Hold("balancer", ("web", "redis"), 600.0))
    asked_at = system.now
    system.shut_down()
    system.run(20.0)
    assert system.finished == [0]
    ended_at = next(at for at, action in system.log if isinstance(action, Finish))
    assert ended_at <= asked_at + 10.0
