"""Groups: who is restarted with whom, in which order, and when all of them are given up, as Erlang/OTP's supervisor has it."""

from __future__ import annotations

import pytest
from making import Story, finish_codes, of_type, plan_of, spawned_names, spec_of, told
from msgspec.structs import replace

from procman.core.actions import Signal, Target
from procman.core.events import Commanded, KillAsked, Probed, Reload, Restart, Scale, ShutdownAsked, Stop, Wait
from procman.core.fleet import Fleet
from procman.core.phases import Backoff, Clearing, Done, Down, Failed, Ready, Spawning, Starting, Stopping, Waiting
from procman.core.policies import Dependency, Group, Health, Readiness, Strategy, TcpProbe
from procman.core.snapshot import decode, encode
from procman.core.spec import OnEnd, Plan, When
from procman.core.view import Kind, OperationState

MEMBERS = ("fetch", "parse", "store")


def plan(strategy: Strategy = Strategy.REST_FOR_ONE, *specs, counts: dict[str, int] | None = None, **rule) -> Plan:
    group = Group(name="pipeline", members=MEMBERS, strategy=strategy, **rule)
    return replace(plan_of(counts or {"web": 1} | dict.fromkeys(MEMBERS, 1), *specs), groups=(group,))


def started(strategy: Strategy = Strategy.REST_FOR_ONE, *specs, **rule) -> Story:
    """Everything is ready."""
    story = Story(plan(strategy, *specs, **rule))
    for _ in MEMBERS:
        for i in story.fleet.instances():
            if isinstance(i.phase, Spawning | Starting):
                story.ready(i.name)
    assert all(isinstance(i.phase, Ready) for i in story.fleet.instances())
    return story


def asked_to_stop(actions) -> list[str]:
    return [s.name for s in of_type(actions, Signal) if s.signal == "TERM" and s.target is Target.TOP]


def stops(story: Story, name: str) -> list:
    """What was asked to end has ended."""
    return story.ends(name, 143, "TERM")


def shown(story: Story, name: str) -> str | None:
    return {row.name: row.reason for row in story.fleet.view(story.now).instances}[name]


# ---- the start, and the end


@pytest.mark.parametrize("strategy", Strategy)
def test_members_start_in_their_order_each_when_the_one_before_is_ready(strategy):
    story = Story(plan(strategy))
    assert spawned_names(story.seen) == ["web.1", "fetch.1"]
    assert shown(story, "parse.1") == "waiting for fetch: not ready, 0.0 s"
    assert shown(story, "store.1") == "waiting for fetch: not ready, 0.0 s; parse: not ready, 0.0 s"
    story.ready("fetch.1")
    assert spawned_names(story.seen) == ["web.1", "fetch.1", "parse.1"]
    story.ready("parse.1")
    assert spawned_names(story.seen)[-1] == "store.1"


def test_at_the_end_the_last_member_stops_first():
    story = started()
    assert asked_to_stop(story.happens(ShutdownAsked("TERM"))) == ["web.1", "store.1"]
    stops(story, "web.1")
    assert asked_to_stop(stops(story, "store.1")) == ["parse.1"]
    assert asked_to_stop(stops(story, "parse.1")) == ["fetch.1"]
    assert finish_codes(stops(story, "fetch.1")) == [0]


def test_a_one_off_has_to_be_done_before_those_behind_it_start():
    story = Story(plan(Strategy.ONE_FOR_ONE, spec_of("fetch", oneshot=True)))
    story.ready("fetch.1")
    assert story.phase("parse.1") is Waiting
    assert spawned_names(story.ends("fetch.1", 0)) == ["parse.1"]


def test_a_one_off_that_failed_keeps_those_behind_it_waiting_and_says_so():
    story = Story(plan(Strategy.ONE_FOR_ONE, spec_of("fetch", oneshot=True)))
    story.ready("fetch.1")
    story.ends("fetch.1", 3)
    assert "waiting for fetch: fetch.1 failed: exit 3" in str(shown(story, "parse.1"))
    assert story.fleet.operation(1).state is OperationState.FAILED
    story.happens(Commanded(Restart(("fetch",)), 7))
    story.ready("fetch.1")
    assert spawned_names(story.ends("fetch.1", 0)) == ["parse.1"]


# ---- the strategies


@pytest.mark.parametrize(
    ("strategy", "died", "stopped_in_order"),
    [
        (Strategy.ONE_FOR_ONE, "parse.1", []),
        (Strategy.REST_FOR_ONE, "store.1", []),
        (Strategy.REST_FOR_ONE, "parse.1", ["store.1"]),
        (Strategy.REST_FOR_ONE, "fetch.1", ["store.1", "parse.1"]),
        (Strategy.ONE_FOR_ALL, "fetch.1", ["store.1", "parse.1"]),
        (Strategy.ONE_FOR_ALL, "parse.1", ["store.1", "fetch.1"]),
        (Strategy.ONE_FOR_ALL, "store.1", ["parse.1", "fetch.1"]),
    ],
)
def test_a_death_restarts_the_members_that_the_strategy_says(strategy, died, stopped_in_order):
    story = started(strategy)
    story.ends(died)
    asked = asked_to_stop(story.seen)
    while asked != stopped_in_order:
        assert asked == stopped_in_order[: len(asked)]
        stops(story, asked[-1])
        asked = [name for name in asked_to_stop(story.seen) if name != died]
    before = len(story.seen)
    if stopped_in_order:
        stops(story, stopped_in_order[-1])
    assert story.phase("web.1") is Ready
    story.timer(died)  # its delay is over
    affected = [f"{m}.1" for m in MEMBERS if f"{m}.1" in (died, *stopped_in_order)]
    for name in affected:
        assert spawned_names(story.seen[before:]) == affected[: affected.index(name) + 1]
        story.ready(name)
    assert all(isinstance(i.phase, Ready) for i in story.fleet.instances())


def test_nobody_is_started_before_all_have_stopped():
    story = started(Strategy.ONE_FOR_ALL, spec_of("parse", stop={"grace": 30.0}))
    story.ends("fetch.1")
    stops(story, "store.1")
    assert spawned_names(story.timer("fetch.1")) == []
    assert story.phase("fetch.1") is Waiting
    assert shown(story, "fetch.1").startswith("waiting for parse: not stopped")
    assert spawned_names(stops(story, "parse.1")) == ["fetch.1"]


def test_a_member_is_all_the_instances_of_its_type():
    counts = {"fetch": 2, "parse": 2, "store": 1}
    story = started(counts=counts)
    story.ends("fetch.2")
    stops(story, "store.1")
    assert asked_to_stop(story.seen)[-2:] == ["parse.1", "parse.2"]
    assert story.phase("fetch.1") is Ready  # its own type is not behind it


def test_one_for_all_takes_along_the_other_instances_of_the_type():
    story = started(Strategy.ONE_FOR_ALL, counts={"fetch": 2, "parse": 1, "store": 1})
    story.ends("store.1")
    stops(story, "parse.1")
    assert asked_to_stop(story.seen)[-2:] == ["fetch.1", "fetch.2"]


def test_a_restart_with_the_group_counts_as_one_and_is_told():
    story = started()
    story.ends("parse.1")
    assert told(story.seen, Kind.GROUP_RESTARTED) == ["store.1: restarted with parse.1 (group pipeline)"]
    stops(story, "store.1")
    story.timer("parse.1")
    story.ready("parse.1")
    assert story.instance("store.1").record.restarts == 1
    assert story.instance("store.1").record.failures == 0


def test_what_ended_with_success_is_run_again_with_its_group():
    story = started(Strategy.ONE_FOR_ALL)
    story.ends("fetch.1", 0)
    assert story.phase("fetch.1") is Done
    assert story.phase("parse.1") is Ready
    story.ends("store.1")
    stops(story, "parse.1")
    story.timer("store.1")
    assert story.phase("fetch.1") is Spawning
    assert story.phase("parse.1") is Waiting


def test_the_end_of_one_that_is_not_restarted_touches_nobody():
    story = started(Strategy.ONE_FOR_ALL, spec_of("parse", restart={"policy": When.NEVER}))
    assert asked_to_stop(story.ends("parse.1")) == []
    assert story.phase("parse.1") is Failed


def test_one_that_is_never_restarted_is_stopped_with_the_others_and_stays_down():
    story = started(Strategy.ONE_FOR_ALL, spec_of("parse", restart={"policy": When.NEVER}))
    story.ends("fetch.1")
    stops(story, "store.1")
    stops(story, "parse.1")
    story.timer("fetch.1")
    story.ready("fetch.1")
    assert story.phase("parse.1") is Down
    assert story.phase("store.1") is Spawning


def test_one_that_is_never_restarted_and_ends_before_its_turn_to_stop_stays_so():
    story = started(Strategy.ONE_FOR_ALL, spec_of("parse", restart={"policy": When.NEVER}))
    story.ends("fetch.1")
    story.ends("parse.1", 0)  # store is being stopped
    stops(story, "store.1")
    story.timer("fetch.1")
    story.ready("fetch.1")
    assert story.phase("parse.1") is Done
    assert story.phase("store.1") is Spawning


def test_what_a_person_stops_before_it_runs_is_stopped_and_not_failed_where_its_group_fails():
    story = started(Strategy.ONE_FOR_ONE, intensity=0)
    story.happens(Commanded(Restart(("store",)), 7))
    stops(story, "store.1")
    story.happens(Commanded(Stop(("store",)), 8))
    story.ends("fetch.1")
    assert told(story.seen, Kind.GROUP_FAILED)
    story.spawned("store.1")
    stops(story, "store.1")
    assert story.phase("store.1") is Down


def test_what_a_person_stopped_stays_down_and_is_waited_for_by_nobody():
    story = started(Strategy.ONE_FOR_ALL)
    story.happens(Commanded(Stop(("fetch",)), 7))
    stops(story, "fetch.1")
    story.ends("store.1")
    stops(story, "parse.1")
    story.timer("store.1")
    assert story.phase("fetch.1") is Down
    assert story.phase("parse.1") is Spawning


def test_one_that_is_unhealthy_has_died():
    health = Health(probe=TcpProbe(), failures=1)
    story = started(Strategy.REST_FOR_ONE, spec_of("parse", health=health))
    story.happens(Probed("parse.1", story.instance("parse.1").generation, ok=False))
    assert asked_to_stop(story.seen) == ["parse.1", "store.1"]
    stops(story, "store.1")
    stops(story, "parse.1")
    assert story.phase("parse.1") is Backoff
    assert spawned_names(story.timer("parse.1")) == ["parse.1"]


def test_one_that_could_not_be_started_has_died():
    story = started(Strategy.REST_FOR_ONE, spec_of("fetch", ready=None))
    story.ends("parse.1")
    stops(story, "store.1")
    assert story.phase("store.1") is Waiting
    story.timer("parse.1")
    story.spawned("parse.1")
    story.ends("parse.1")  # not ready yet
    assert story.phase("store.1") is Waiting
    story.timer("parse.1")
    story.ready("parse.1")
    assert story.phase("store.1") is Spawning


def test_what_crashes_while_it_waits_to_be_stopped_does_not_count():
    story = started(Strategy.ONE_FOR_ALL, intensity=1)
    story.ends("parse.1")
    story.ends("fetch.1")  # while store is being stopped
    assert not told(story.seen, Kind.GROUP_FAILED)
    stops(story, "store.1")
    story.timer("fetch.1")
    story.timer("parse.1")
    story.ready("fetch.1")
    story.ready("parse.1")
    assert story.phase("store.1") is Spawning


# ---- the intensity


def crash(story: Story, name: str = "store.1") -> None:
    story.ends(name)
    if story.phase(name) is Backoff:
        story.timer(name)
        story.ready(name)


def test_more_restarts_than_its_intensity_within_the_period_fail_the_group_as_one():
    story = started(Strategy.ONE_FOR_ONE, intensity=2)
    crash(story)
    crash(story, "fetch.1")
    assert not told(story.seen, Kind.GROUP_FAILED)
    story.exited("parse.1")
    assert told(story.seen, Kind.GROUP_FAILED)
    assert asked_to_stop(story.seen) == ["store.1"]
    story.emptied("parse.1")
    assert asked_to_stop(stops(story, "store.1")) == ["fetch.1"]
    stops(story, "fetch.1")
    why = "group pipeline failed: 3 restarts within 1m 0s are more than its intensity of 2"
    assert [shown(story, f"{m}.1") for m in MEMBERS] == [why, why, why]
    assert all(story.phase(f"{m}.1") is Failed for m in MEMBERS)
    assert story.phase("web.1") is Ready


def test_restarts_before_the_period_are_forgotten():
    story = started(Strategy.ONE_FOR_ONE, intensity=1, period=30.0)
    crash(story)
    story.now += 30.1
    crash(story)
    assert not told(story.seen, Kind.GROUP_FAILED)
    story.now += 25.0
    story.ends("store.1")
    assert told(story.seen, Kind.GROUP_FAILED)


def test_no_restart_at_all_is_an_intensity_too():
    story = started(Strategy.ONE_FOR_ALL, intensity=0)
    story.ends("fetch.1")
    assert told(story.seen, Kind.GROUP_FAILED)
    assert story.phase("fetch.1") is Failed


def test_a_group_that_failed_begins_anew_when_a_person_restarts_it():
    story = started(Strategy.ONE_FOR_ALL, intensity=0)
    story.ends("store.1")
    stops(story, "parse.1")
    stops(story, "fetch.1")
    actions = story.happens(Commanded(Restart(MEMBERS), 7))
    assert spawned_names(actions) == ["fetch.1"]
    story.ready("fetch.1")
    story.ready("parse.1")
    story.ready("store.1")
    assert all(isinstance(i.phase, Ready) for i in story.fleet.instances())


def test_procman_ends_with_the_status_of_the_failure_where_nothing_else_runs():
    story = started(Strategy.ONE_FOR_ALL, counts=dict.fromkeys(MEMBERS, 1), intensity=0)
    story.ends("store.1", 7)
    stops(story, "parse.1")
    assert finish_codes(stops(story, "fetch.1")) == [7]


def test_a_group_that_failed_because_a_member_was_unhealthy_ends_procman_with_1():
    """All its members end of procman's signals: none has a status of its own."""
    parse = spec_of("parse", health=Health(probe=TcpProbe(), failures=1))
    story = started(Strategy.ONE_FOR_ALL, parse, counts=dict.fromkeys(MEMBERS, 1), intensity=0)
    story.happens(Probed("parse.1", story.instance("parse.1").generation, ok=False))
    for name in ("store.1", "parse.1", "fetch.1"):
        actions = stops(story, name)
    assert finish_codes(actions) == [1]


@pytest.mark.parametrize("on_end", [OnEnd.EXIT, OnEnd.EXIT_ON_FAILURE])
def test_a_failed_group_ends_everything_where_the_failure_of_a_member_does(on_end):
    spec = spec_of("fetch", on_end=on_end)
    story = started(Strategy.ONE_FOR_ALL, spec, intensity=0)
    story.ends("store.1", 7)
    assert story.fleet.stopping
    assert story.fleet._formation.desired.closing.code == 7


def test_who_waits_for_a_group_that_failed_is_told_so():
    story = started(Strategy.ONE_FOR_ALL, intensity=0)
    story.happens(Commanded(Restart(("parse",)), 7))
    number = story.fleet._formation.operations._last
    story.ends("fetch.1")
    stops(story, "store.1")
    stops(story, "parse.1")
    operation = story.fleet.operation(number)
    assert operation.state is OperationState.FAILED
    assert "group pipeline failed" in operation.reason.text


# ---- beside everything else


def restarting() -> Story:
    """fetch is away, the others have yet to stop."""
    story = started(Strategy.REST_FOR_ONE)
    story.ends("fetch.1")
    assert story.phase("store.1") is Stopping
    assert story.phase("parse.1") is Ready
    return story


def come_up(story: Story) -> None:
    for _ in range(20):
        for i in story.fleet.instances():
            match i.phase:
                case Stopping() | Clearing():
                    stops(story, i.name)
                case Backoff():
                    story.timer(i.name)
                case Spawning() | Starting():
                    story.ready(i.name)


def test_why_tells_that_one_is_to_be_stopped_in_its_turn():
    story = restarting()
    assert any(
        "when those after it in its group have stopped" in line for line in story.fleet.why("parse.1", story.now)
    )


def test_why_tells_what_a_member_waits_for():
    story = restarting()
    stops(story, "store.1")
    lines = story.fleet.why("store.1", story.now)
    assert "it is started as soon as parse is stopped and fetch is ready and parse is ready" in lines


@pytest.mark.parametrize("name", ["fetch.1", "parse.1", "store.1"])
def test_a_member_that_is_stopped_by_a_person_meanwhile_stays_down(name):
    story = restarting()
    story.happens(Commanded(Stop((name,)), 7))
    come_up(story)
    phases = {m: story.phase(f"{m}.1") for m in MEMBERS}
    assert phases == {m: Down if name == f"{m}.1" else Ready for m in MEMBERS}


def test_a_member_that_is_restarted_by_a_person_meanwhile_is_so_at_once():
    story = restarting()
    story.happens(Commanded(Restart(("parse.1",)), 7))
    assert story.phase("parse.1") is Stopping
    come_up(story)
    assert all(isinstance(i.phase, Ready) for i in story.fleet.instances())


def test_an_instance_that_is_added_meanwhile_waits_for_its_turn():
    story = restarting()
    story.happens(Commanded(Scale(to={"store": 2}), 7))
    assert story.phase("store.2") is Waiting
    come_up(story)
    assert story.phase("store.2") is Ready


def test_a_member_that_is_scaled_away_meanwhile_is_waited_for_by_nobody():
    story = restarting()
    story.happens(Commanded(Scale(to={"fetch": 0}), 7))
    come_up(story)
    assert story.fleet.get("fetch.1") is None
    assert story.phase("store.1") is Ready


def test_a_reload_that_changes_a_member_meanwhile_is_carried_out():
    story = restarting()
    new = plan(Strategy.REST_FOR_ONE, spec_of("store", env={"A": "1"}), spec_of("fetch", env={"A": "1"}))
    story.happens(Commanded(Reload(new), 7))
    come_up(story)
    assert all(isinstance(i.phase, Ready) for i in story.fleet.instances())
    assert {i.spec.type: i.spec.env for i in story.fleet.instances()}["store"] == {"A": "1"}


def test_a_reload_without_the_group_lets_everyone_come_up():
    story = restarting()
    story.happens(Commanded(Reload(replace(plan(), groups=())), 7))
    come_up(story)
    assert all(isinstance(i.phase, Ready) for i in story.fleet.instances())


def test_a_reload_can_bring_a_group():
    story = Story(replace(plan(), groups=()))
    story.happens(Commanded(Reload(plan()), 7))
    come_up(story)
    story.ends("fetch.1")
    assert asked_to_stop(story.seen) == ["store.1"]


def test_an_upgrade_goes_on_with_a_restart_of_a_group():
    story = restarting()
    stops(story, "store.1")
    state = decode(encode(story.fleet.state()))
    story.fleet = Fleet(state.plan, state)
    assert story.fleet.state() == state
    come_up(story)
    assert all(isinstance(i.phase, Ready) for i in story.fleet.instances())
    order = [name for name in spawned_names(story.seen) if name != "web.1"]
    assert order[-3:] == ["fetch.1", "parse.1", "store.1"]


def test_a_shutdown_meanwhile_stops_everyone_and_starts_nobody():
    story = restarting()
    before = len(spawned_names(story.seen))
    story.happens(ShutdownAsked("TERM"))
    come_up(story)
    assert finish_codes(story.seen) == [0]
    assert len(spawned_names(story.seen)) == before


def test_a_kill_meanwhile_kills_everyone():
    story = restarting()
    story.happens(KillAsked())
    come_up(story)
    assert finish_codes(story.seen) == [130]


def test_a_member_waits_for_what_it_depends_on_and_for_its_turn():
    parse = spec_of("parse", depends_on=(Dependency(type="web"),))
    story = Story(plan(Strategy.REST_FOR_ONE, parse, spec_of("web", ready=Readiness(probe=TcpProbe()))))
    story.ready("fetch.1")
    assert shown(story, "parse.1").startswith("waiting for web: not ready")
    story.spawned("web.1")
    story.happens(Probed("web.1", 1, ok=True))
    assert story.phase("parse.1") is Spawning


def test_a_crash_loop_of_a_member_is_told_as_any():
    story = started(Strategy.ONE_FOR_ONE, intensity=10)
    for _ in range(3):
        story.ends("fetch.1")
        story.timer("fetch.1")
        story.spawned("fetch.1")
    story.ends("fetch.1")
    assert story.fleet._formation.crashes.looping("fetch")


def test_a_member_that_is_given_up_by_its_own_limit_is_failed_alone():
    story = started(Strategy.ONE_FOR_ALL, spec_of("store", restart={"max_restarts": 0}))
    assert asked_to_stop(story.ends("store.1")) == []
    assert story.phase("store.1") is Failed


def test_waiting_for_a_member_ends_when_its_group_is_up_again():
    story = restarting()
    story.happens(Commanded(Wait(("store",)), 9))
    number = story.fleet._formation.operations._last
    come_up(story)
    assert story.fleet.operation(number).state is OperationState.DONE
