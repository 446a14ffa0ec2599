"""Which numbers the slots of a type have: the lowest free ones, whoever is still on its way out."""

from __future__ import annotations

import pytest
from making import Story, names, of_type, plan_of, spawned_names, spec_of
from msgspec.structs import replace

from procman.core.actions import Refuse, Remove, Reply
from procman.core.desired import Role
from procman.core.events import Commanded, Reload, Restart, Scale, Wait
from procman.core.fleet import Fleet
from procman.core.policies import Dependency, Until
from procman.core.snapshot import decode, encode
from procman.core.spec import Plan, room_of
from procman.core.view import OperationState

TERM = (143, "TERM")


def running(count: int, *specs, **of_plan) -> Story:
    story = Story(replace(plan_of({"web": count}, *specs), **of_plan))
    story.ready(*(f"web.{n}" for n in range(1, count + 1)))
    return story


def scale(story: Story, count: int) -> list:
    return story.happens(Commanded(Scale(to={"web": count}), 5))


def draining_above(count: int, before: int, *specs, **of_plan) -> Story:
    """So many ran, and all above `count` are on their way out."""
    story = running(before, *specs, **of_plan)
    scale(story, count)
    return story


def with_a_gap() -> Story:
    """web.1, web.2 and web.5 stand."""
    story = draining_above(2, 4)
    scale(story, 3)
    story.ready("web.5")
    story.ends("web.3", *TERM)
    story.ends("web.4", *TERM)
    return story


def test_while_slots_drain_the_next_free_number_is_taken_at_once():
    story = draining_above(2, 4)
    actions = scale(story, 3)
    assert spawned_names(actions) == ["web.5"]
    (answer,) = of_type(actions, Reply)
    assert answer.instances == ("web.5",)
    assert answer.formation == {"web": 3}


def test_numbers_that_are_free_again_are_used_lowest_first():
    story = with_a_gap()
    assert names(story) == ["web.1", "web.2", "web.5"]
    assert spawned_names(scale(story, 6)) == ["web.3", "web.4", "web.6"]


def test_the_highest_numbers_are_taken_away():
    story = with_a_gap()
    (answer,) = of_type(scale(story, 1), Reply)
    assert answer.instances == ("web.5", "web.2")


def test_what_goes_stays_visible_and_is_gone_with_its_last_process():
    story = draining_above(2, 4)
    scale(story, 3)
    assert names(story) == ["web.1", "web.2", "web.3", "web.4", "web.5"]
    assert of_type(story.ends("web.4", *TERM), Remove) == [Remove("web.4")]


def test_where_the_ports_end_the_slots_on_their_way_out_are_waited_for():
    story = draining_above(2, 4, port_step=4, positions={"web": 0}, types={"web": spec_of(port=5000)})
    assert spawned_names(scale(story, 3)) == []
    assert spawned_names(story.ends("web.3", *TERM)) == ["web.3"]


def test_where_no_more_may_run_at_once_they_are_waited_for():
    story = draining_above(1, 3, spec_of(max=3))
    assert spawned_names(scale(story, 3)) == []
    row = next(row for row in story.fleet.view(story.now).instances if row.name == "web.3")
    assert row.reason == "scaled down; KILL in 10 s; then it is started again"
    assert row.role == "regular"
    assert "it is started again" in " ".join(story.fleet.why("web.3", story.now))
    assert spawned_names(story.ends("web.3", *TERM)) == ["web.3"]


def test_a_number_whose_port_another_type_has_is_taken():
    types = {"web": spec_of(port=8000), "job": spec_of("job", port=8001)}
    story = Story(replace(plan_of({"web": 1, "job": 1}), types=types))
    (answer,) = of_type(scale(story, 3), Reply)
    assert answer.instances == ("web.3", "web.4")


def test_a_single_instance_waits_for_its_number():
    story = draining_above(0, 1)
    assert spawned_names(scale(story, 1)) == []
    assert spawned_names(story.ends("web.1", *TERM)) == ["web.1"]


@pytest.mark.parametrize(
    ("changes", "step", "room"),
    [
        ({"port": 5000}, 100, 100),
        ({"port": 65530}, 100, 6),
        ({"port": 5000, "max": 3}, 100, 3),
        ({}, 100, 1000),
        ({"max": 2}, 1, 2),
    ],
)
def test_room_for_numbers(changes, step, room):
    plan = Plan(root="/app", types={"web": spec_of(**changes)}, counts={}, positions={}, port_step=step)
    assert room_of(plan, "web") == room


def test_an_operation_needs_the_slots_that_stand():
    story = draining_above(2, 4)
    scale(story, 3)
    story.ready("web.5")
    assert story.fleet.operation(3).state is OperationState.DONE
    assert story.fleet.operation(2).left == ("web.4", "web.3")
    story.ends("web.3", *TERM)
    story.ends("web.4", *TERM)
    assert story.fleet.operation(2).state is OperationState.DONE


def test_a_restart_and_a_wait_mean_the_slots_that_stand():
    story = with_a_gap()
    (answer,) = of_type(story.happens(Commanded(Restart(("web",), together=True), 5)), Reply)
    assert answer.instances == ("web.1", "web.2", "web.5")
    (answer,) = of_type(story.happens(Commanded(Wait(("web",)), 5)), Reply)
    assert answer.instances == ("web.1", "web.2", "web.5")


def test_a_reload_keeps_the_numbers():
    story = with_a_gap()
    better = spec_of(command="serve better")
    story.happens(Commanded(Reload(plan_of({"web": 1}, better)), 5))
    assert names(story) == ["web.1", "web.2", "web.5"]
    assert story.fleet.counts == {"web": 3}


def test_a_reload_that_leaves_no_room_for_a_number_takes_another():
    story = with_a_gap()
    story.happens(Commanded(Reload(plan_of({"web": 1}, spec_of(max=4))), 5))
    assert "web.3" in names(story)
    story.ends("web.5", *TERM)
    assert names(story) == ["web.1", "web.2", "web.3"]


def test_all_of_a_dependency_are_those_that_stand():
    needs = (Dependency(type="web", until=Until.READY, every=True),)
    story = Story(plan_of({"web": 3, "job": 0}, spec_of("job", depends_on=needs)))
    story.ready("web.1", "web.2", "web.3")
    scale(story, 1)
    scale(story, 2)
    assert names(story)[-1] == "web.4"
    assert spawned_names(story.happens(Commanded(Scale(to={"job": 1}), 5))) == []
    story.spawned("web.4")
    story.now += 1.0
    assert spawned_names(story.timer("web.4")) == ["job.1"]


def test_it_goes_on_where_another_program_took_over():
    story = draining_above(2, 4)
    scale(story, 3)
    before = decode(encode(story.fleet.state()))
    story.fleet = Fleet(before.plan, before)
    assert story.fleet.state() == before
    story.ends("web.3", *TERM)
    assert spawned_names(scale(story, 4)) == ["web.3"]


def test_a_state_without_numbers_has_them_from_one():
    desired = running(3).fleet.state().desired
    assert [desired.role("web", n) for n in (1, 3, 4)] == [Role.REGULAR, Role.REGULAR, Role.LEAVING]


# ---- which ones go


def remove(story: Story, count: int, *names: str) -> list:
    return story.happens(Commanded(Scale(to={"web": count}, remove=names), 5))


def test_a_named_instance_goes_in_place_of_the_highest():
    story = running(4)
    (answer,) = of_type(remove(story, 3, "web.1"), Reply)
    assert answer.instances == ("web.1",)
    story.ends("web.1", *TERM)
    assert names(story) == ["web.2", "web.3", "web.4"]
    assert spawned_names(scale(story, 4)) == ["web.1"]


def test_what_stops_is_named_before_what_starts():
    story = running(2)
    remove(story, 1, "web.1")
    story.ends("web.1", *TERM)
    actions = story.happens(Commanded(Reload(plan_of({"web": 1}, spec_of(max=1))), 6))
    (answer,) = of_type(actions, Reply)
    assert answer.instances == ("web.2", "web.1")


def test_the_rest_are_the_highest():
    (answer,) = of_type(remove(running(4), 2, "web.1"), Reply)
    assert answer.instances == ("web.4", "web.1")


def test_its_number_is_not_taken_while_it_is_on_its_way_out():
    story = running(2)
    remove(story, 1, "web.1")
    assert spawned_names(scale(story, 2)) == ["web.3"]


@pytest.mark.parametrize(
    ("count", "named", "message", "hint"),
    [
        (3, ("web.9",), "cannot remove web.9: there is no such instance", ""),
        (4, ("web.1",), "cannot remove web.1: web=4 stops 0 of 4", "`procman scale web=3 --remove web.1` does"),
        (5, ("web.1",), "cannot remove web.1: web=5 stops 0 of 4", "`procman scale web=3 --remove web.1` does"),
        (
            3,
            ("web.1", "web.2"),
            "cannot remove web.1, web.2: web=3 stops 1 of 4",
            "`procman scale web=2 --remove web.1,web.2` does",
        ),
    ],
)
def test_what_cannot_be_removed(count, named, message, hint):
    (refusal,) = of_type(remove(running(4), count, *named), Refuse)
    assert refusal.message == message
    assert hint in refusal.hint


def test_the_instances_that_there_are_are_listed_in_their_order():
    (refusal,) = of_type(remove(running(12), 11, "nobody.1"), Refuse)
    assert refusal.hint == f"known: {', '.join(f'web.{number}' for number in range(1, 13))}"


def test_who_is_removed_needs_the_count_of_its_type():
    story = running(2)
    (refusal,) = of_type(story.happens(Commanded(Scale(remove=("web.1",)), 5)), Refuse)
    assert refusal == Refuse(5, "cannot remove web.1: web keeps its count", "`procman scale web=1 --remove web.1` does")


def test_the_single_one_that_is_left_keeps_its_number():
    story = running(2)
    remove(story, 1, "web.1")
    story.ends("web.1", *TERM)
    assert names(story) == ["web.2"]
    assert spawned_names(scale(story, 2)) == ["web.1"]
