"""`depends_on: {redis: {restart: true}}`: who is restarted after what it depends on has been, once, and in order."""

from __future__ import annotations

import pytest
from making import Story, of_type, plan_of, spawned_names, spec_of
from msgspec.structs import replace

from procman.core.actions import Publish
from procman.core.events import Commanded, Reload, Restart, Scale, ShutdownAsked, Stop, Wait
from procman.core.fleet import Fleet
from procman.core.phases import Backoff, Done, Down, Failed, Ready, Spawning, Starting, Stopping, Waiting
from procman.core.policies import Dependency, Rolling, Until
from procman.core.snapshot import decode, encode
from procman.core.spec import When
from procman.core.timers import RolloutTimer, SlotTimer
from procman.core.view import OperationState


def following(type_name: str, *on: str, **changes):
    needs = tuple(Dependency(type=one, restart=True) for one in on)
    return spec_of(type_name, depends_on=needs, **changes)


def up(counts: dict[str, int], *specs) -> Story:
    story = Story(plan_of(counts, *specs))
    come_up(story)
    assert all(isinstance(i.phase, Ready) for i in story.fleet.instances())
    story.seen.clear()
    return story


def come_up(story: Story) -> None:
    """Whatever is on its way arrives, oldest first."""
    for _ in range(20):
        for i in story.fleet.instances():
            if isinstance(i.phase, Spawning | Starting):
                story.ready(i.name)
            elif isinstance(i.phase, Stopping):
                story.ends(i.name, 143, "TERM")


PAIR = ({"web": 1, "redis": 1}, following("web", "redis"))


def test_a_follower_is_restarted_once_what_it_follows_is_ready_again():
    story = up(*PAIR)
    story.ends("redis.1")
    assert story.phase("web.1") is Ready
    assert "it is restarted when redis is ready again" in story.fleet.why("web.1", story.now)
    story.timer("redis.1")
    story.spawned("redis.1")
    assert story.phase("web.1") is Ready
    story.now += 1.0
    story.timer("redis.1")
    assert story.phase("web.1") is Stopping
    come_up(story)
    assert spawned_names(story.seen) == ["redis.1", "web.1"]


def test_the_log_says_after_which_type_it_is_restarted():
    story = up(*PAIR)
    story.happens(Commanded(Restart(("redis",)), 7))
    come_up(story)
    logged = [a.change.text for a in of_type(story.seen, Publish) if a.change.logged]
    assert "stopping web.1: restarted after redis" in logged
    assert not any(line.startswith("stopping redis.1") for line in logged)


def test_it_is_not_restarted_at_the_first_start_however_often_that_fails():
    story = Story(plan_of(*PAIR))
    story.spawned("redis.1")
    story.ends("redis.1")
    story.timer("redis.1")
    come_up(story)
    assert spawned_names(story.seen) == ["redis.1", "redis.1", "web.1"]


@pytest.mark.parametrize("names", [("redis",), ("redis", "web"), ("redis.1",)])
def test_a_restart_by_a_person_is_followed_once(names):
    story = up(*PAIR)
    story.happens(Commanded(Restart(names), 7))
    assert story.phase("web.1") is Ready
    come_up(story)
    assert spawned_names(story.seen) == ["redis.1", "web.1"]


def test_a_reload_that_changes_both_restarts_the_follower_once():
    story = up(*PAIR)
    new = plan_of(PAIR[0], replace(PAIR[1], env={"A": "1"}), spec_of("redis", env={"A": "1"}))
    story.happens(Commanded(Reload(new), 7))
    come_up(story)
    assert spawned_names(story.seen) == ["redis.1", "web.1"]
    assert story.instance("web.1").spec.env == {"A": "1"}


def test_a_chain_is_restarted_link_by_link():
    story = up({"a": 1, "b": 1, "c": 1}, following("b", "a"), following("c", "b"))
    story.happens(Commanded(Restart(("a",)), 7))
    come_up(story)
    assert spawned_names(story.seen) == ["a.1", "b.1", "c.1"]


def test_the_end_of_a_diamond_is_restarted_once():
    story = up({"a": 1, "b": 1, "c": 1, "d": 1}, following("b", "a"), following("c", "a"), following("d", "b", "c"))
    story.happens(Commanded(Restart(("a",)), 7))
    come_up(story)
    assert spawned_names(story.seen) == ["a.1", "b.1", "c.1", "d.1"]


def test_several_that_are_replaced_in_turn_are_followed_once():
    story = up({"web": 1, "redis": 3}, following("web", "redis"))
    story.happens(Commanded(Restart(("redis",)), 7))
    for _ in range(3):
        come_up(story)
        story.fleet_timer(RolloutTimer("redis"))
    come_up(story)
    assert sorted(spawned_names(story.seen)) == ["redis.1", "redis.2", "redis.3", "web.1"]
    assert spawned_names(story.seen)[-1] == "web.1"


def test_followers_of_several_are_replaced_in_turn():
    story = up({"web": 2, "redis": 1}, following("web", "redis"))
    story.happens(Commanded(Restart(("redis.1",)), 7))
    story.ends("redis.1", 143, "TERM")
    story.ready("redis.1")
    assert [story.phase("web.1"), story.phase("web.2")] == [Stopping, Ready]


def begun_and_aborted(restarted: tuple[str, ...]) -> Story:
    """A rollout of web that its extra instance, web.3, has ended, with these restarted meanwhile."""
    web = following("web", "redis", rolling=Rolling(surge=1), restart={"policy": When.NEVER})
    story = up({"web": 2, "redis": 1}, web)
    story.happens(Commanded(Restart(("web",)), 7))
    story.spawned("web.3")
    for name in restarted:
        story.ends(name, 1)
    story.ends("web.3", 1)
    return story


def test_one_whose_rollout_is_aborted_still_follows():
    story = begun_and_aborted(("redis.1",))
    assert [story.phase("web.1"), story.phase("web.2")] == [Ready, Ready]
    assert "it is restarted when redis is ready again" in story.fleet.why("web.1", story.now)
    story.timer("redis.1")
    story.spawned("redis.1")
    story.now += 1.0
    story.timer("redis.1")
    assert [story.phase("web.1"), story.phase("web.2")] == [Stopping, Ready]
    come_up(story)
    assert [story.instance(name).generation for name in ("web.1", "web.2")] == [2, 2]
    assert story.fleet.get("web.3") is None


def test_one_that_was_stopped_and_restarted_comes_back_though_its_rollout_is_aborted_meanwhile():
    web = following("web", "redis", rolling=Rolling(surge=1), restart={"policy": When.NEVER})
    story = up({"web": 2, "redis": 1}, web)
    story.happens(Commanded(Stop(("web.2",)), 7))
    story.happens(Commanded(Restart(("redis", "web")), 8))
    story.spawned("web.3")
    story.ends("web.3", 1)
    story.ends("web.2", 143, "TERM")
    come_up(story)
    assert [story.phase("web.1"), story.phase("web.2")] == [Ready, Ready]


def test_one_whose_rollout_is_aborted_stays_where_it_follows_nobody():
    story = begun_and_aborted(())
    assert [story.phase("web.1"), story.phase("web.2")] == [Ready, Ready]
    assert "it is restarted when redis is ready again" not in story.fleet.why("web.1", story.now)


def test_the_extra_one_goes_after_an_abort_though_what_the_others_follow_is_away():
    web = following("web", "redis", rolling=Rolling(surge=1))
    story = up({"web": 2, "redis": 1}, web)
    story.happens(Commanded(Restart(("web",)), 7))
    story.ready("web.3")
    story.fleet_timer(RolloutTimer("web"))
    story.happens(Commanded(Stop(("redis",)), 8))
    story.ends("redis.1", 143, "TERM")
    story.ends("web.1", 143, "TERM")
    for _ in range(3):
        story.spawned("web.1")
        story.ends("web.1", 1)
        story.now = story.instance("web.1").phase.until
        story.timer("web.1")
    assert story.phase("web.3") is Ready
    story.ready("web.1")
    assert story.phase("web.3") is Stopping
    assert story.phase("web.2") is Ready
    assert "it is restarted when redis is ready again" in story.fleet.why("web.2", story.now)


@pytest.mark.parametrize("end", ["failed", "stopped", "held for ever"])
def test_a_restart_that_was_asked_for_goes_on_without_what_nothing_brings_back(end):
    """Where all are restarted, web comes after redis, and redis after disk."""
    never = {"restart": {"policy": When.NEVER}}
    story = up({"web": 1, "redis": 1, "disk": 1}, following("web", "redis"), following("redis", "disk", **never))
    if end == "held for ever":
        story.happens(Commanded(Stop(("disk",)), 6))
        story.ends("disk.1", 143, "TERM")
        assert "it is restarted when disk is ready again" in story.fleet.why("redis.1", story.now)
        story.happens(Commanded(Restart(("web",)), 7))
    else:
        story.happens(Commanded(Restart(("redis", "web")), 7))
        story.ends("redis.1", 143, "TERM")
        story.spawned("redis.1")
        assert story.phase("web.1") is Ready
    if end == "failed":
        story.ends("redis.1", 1)
        assert story.phase("redis.1") is Failed
    elif end == "stopped":
        story.happens(Commanded(Stop(("redis",)), 8))
        story.ends("redis.1", 143, "TERM")
    assert story.phase("web.1") is Stopping
    come_up(story)
    assert story.phase("web.1") is Ready


def test_a_restart_that_was_asked_for_goes_on_without_what_even_kill_did_not_remove():
    story = up(*PAIR)
    story.happens(Commanded(Restart(("redis", "web")), 7))
    while not story.instance("redis.1").unkillable:
        assert story.phase("web.1") is Ready
        story.fleet_timer(SlotTimer("redis.1"))
    assert story.phase("web.1") is Stopping


def test_a_restart_that_was_asked_for_waits_for_what_still_tries():
    story = up(*PAIR)
    story.happens(Commanded(Restart(("redis", "web")), 7))
    story.ends("redis.1", 143, "TERM")
    for _ in range(5):
        story.spawned("redis.1")
        story.ends("redis.1", 1)
        assert story.phase("web.1") is Ready
        story.now = story.instance("redis.1").phase.until
        story.timer("redis.1")
    assert story.fleet.operation(2).state is OperationState.FAILED
    come_up(story)
    assert spawned_names(story.seen)[-1] == "web.1"


def test_one_that_is_stopped_by_a_person_is_followed_when_it_is_started_again():
    story = up(*PAIR)
    story.happens(Commanded(Stop(("redis",)), 7))
    story.ends("redis.1", 143, "TERM")
    assert story.phase("web.1") is Ready
    story.happens(Commanded(Restart(("redis",)), 8))
    come_up(story)
    assert spawned_names(story.seen) == ["redis.1", "web.1"]


def test_waiting_for_a_follower_does_not_wait_for_what_may_never_come():
    story = up(*PAIR)
    story.happens(Commanded(Stop(("redis",)), 7))
    story.ends("redis.1", 143, "TERM")
    story.happens(Commanded(Wait(("web",)), 8))
    number = story.fleet._formation.operations._last
    assert story.fleet.operation(number).state is OperationState.DONE


def test_one_that_is_scaled_away_is_not_followed():
    story = up({"web": 1, "redis": 2}, following("web", "redis"))
    story.happens(Commanded(Scale(to={"redis": 1}), 7))
    come_up(story)
    assert spawned_names(story.seen) == []


def test_what_is_owed_does_not_wait_for_one_that_is_scaled_away_meanwhile():
    story = up(*PAIR)
    story.ends("redis.1")
    story.happens(Commanded(Scale(to={"redis": 0}), 7))
    assert story.phase("web.1") is Stopping


def test_a_follower_that_crashed_meanwhile_comes_back_in_its_own_time():
    story = up(*PAIR)
    story.ends("redis.1")
    story.ends("web.1")
    story.timer("redis.1")
    come_up(story)
    assert story.phase("web.1") is Backoff
    story.timer("web.1")
    come_up(story)
    assert story.phase("web.1") is Ready
    assert spawned_names(story.seen) == ["redis.1", "web.1"]


@pytest.mark.parametrize(("code", "phase"), [(0, Done), (1, Failed)])
def test_a_follower_that_ended_for_good_stays_so(code, phase):
    story = up(PAIR[0], following("web", "redis", restart={"policy": When.NEVER}))
    story.ends("redis.1")
    story.ends("web.1", code)
    story.timer("redis.1")
    come_up(story)
    assert story.phase("web.1") is phase


def test_a_follower_that_a_person_stops_stays_down():
    story = up(*PAIR)
    story.ends("redis.1")
    story.happens(Commanded(Stop(("web",)), 7))
    story.ends("web.1", 143, "TERM")
    story.timer("redis.1")
    come_up(story)
    assert story.phase("web.1") is Down


def test_a_one_off_that_is_run_again_is_followed_when_it_is_done():
    needs = (Dependency(type="migrate", until=Until.DONE, restart=True),)
    story = Story(plan_of({"web": 1, "migrate": 1}, spec_of("web", depends_on=needs), spec_of("migrate", oneshot=True)))
    story.ready("migrate.1")
    story.ends("migrate.1", 0)
    story.ready("web.1")
    story.happens(Commanded(Restart(("migrate",)), 7))
    story.ready("migrate.1")
    assert story.phase("web.1") is Ready
    story.ends("migrate.1", 0)
    assert story.phase("web.1") is Stopping


def test_one_that_does_not_follow_is_left_alone():
    story = up(PAIR[0], spec_of("web", depends_on=(Dependency(type="redis"),)))
    story.happens(Commanded(Restart(("redis",)), 7))
    come_up(story)
    assert spawned_names(story.seen) == ["redis.1"]


def test_one_that_waits_does_not_wait_longer_for_it():
    story = up(*PAIR)
    story.happens(Commanded(Stop(("web", "redis")), 7))
    come_up(story)
    story.happens(Commanded(Restart(("web", "redis")), 8))
    assert story.phase("web.1") is Waiting
    come_up(story)
    assert spawned_names(story.seen) == ["redis.1", "web.1"]


def test_what_is_owed_is_handed_over():
    story = up(*PAIR)
    story.ends("redis.1")
    state = decode(encode(story.fleet.state()))
    story.fleet = Fleet(state.plan, state)
    story.timer("redis.1")
    come_up(story)
    assert spawned_names(story.seen) == ["redis.1", "web.1"]


def test_nothing_is_owed_at_the_end():
    story = up(*PAIR)
    story.happens(ShutdownAsked("TERM"))
    story.ends("web.1", 143, "TERM")
    story.ends("redis.1", 143, "TERM")
    assert spawned_names(story.seen) == []
