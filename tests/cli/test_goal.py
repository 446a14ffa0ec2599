"""What `--wait` waits for, judged on fleets."""

from __future__ import annotations

import pytest
from scripted import fleet, instance

from procman.cli.goal import Down, HopelessError, Up, renewed, scaled
from procman.control.messages import Accepted


def test_an_instance_that_is_still_starting_is_left():
    assert Up({"web.1": 0}).left(fleet(instance("web.1", "starting"))) == ["web.1 (starting)"]


@pytest.mark.parametrize("phase", ["ready", "done"])
def test_ready_and_done_are_what_is_waited_for(phase):
    assert Up({"web.1": 0}).left(fleet(instance("web.1", phase))) == []


def test_a_restarted_instance_counts_only_in_its_next_life():
    goal = Up({"web.1": 3})
    assert goal.left(fleet(instance("web.1", generation=3))) == ["web.1 (ready)"]
    assert goal.left(fleet(instance("web.1", generation=4))) == []


def test_a_slot_on_its_way_out_is_left_until_it_is_gone():
    goal = Up({"web.1": 0}, {"web": 1})
    assert goal.left(fleet(instance("web.1"), instance("web.2", "stopping"))) == ["web.2 (stopping)"]
    assert goal.left(fleet(instance("web.1"))) == []


@pytest.mark.parametrize("phase", ["failed", "stopped"])
def test_an_instance_at_rest_is_hopeless_and_says_why(phase):
    with pytest.raises(HopelessError, match=rf"web\.1: it is {phase}: exit 78"):
        Up({"web.1": 0}).left(fleet(instance("web.1", phase, reason="exit 78")))


def test_an_instance_that_was_removed_is_hopeless():
    with pytest.raises(HopelessError, match="no longer there"):
        Up({"web.2": 0}).left(fleet(instance("web.1")))


def test_a_stopping_procman_is_hopeless():
    with pytest.raises(HopelessError, match="procman is stopping"):
        Up({"web.1": 0}).left(fleet(instance("web.1", "starting"), stopping=True))


def test_backoff_without_a_crash_loop_is_waited_out():
    row = instance("web.1", "backoff", reason="exit 1; again in 0.5 s")
    assert Up({"web.1": 0}).left(fleet(row)) == ["web.1 (backoff: exit 1; again in 0.5 s)"]


def test_a_crash_loop_is_hopeless_once_the_instance_backs_off():
    with pytest.raises(HopelessError, match=r"exit 1 \(crash loop\)"):
        Up({"web.1": 0}).left(fleet(instance("web.1", "backoff", crash_loop=True, reason="exit 1 (crash loop)")))


def test_a_crash_loop_is_hopeless_once_the_instance_was_restarted_since():
    goal = Up({"web.1": 0}, restarts={"web.1": 2})
    with pytest.raises(HopelessError):
        goal.left(fleet(instance("web.1", "starting", crash_loop=True, restarts=3)))


def test_a_restart_out_of_a_crash_loop_gets_its_chance():
    goal = Up({"web.1": 7}, restarts={"web.1": 5})
    row = instance("web.1", "starting", crash_loop=True, restarts=5, generation=8)
    assert goal.left(fleet(row)) == ["web.1 (starting)"]


def test_a_sibling_in_a_crash_loop_does_not_matter():
    assert Up({"web.1": 0}).left(fleet(instance("web.1"), instance("api.1", "backoff", crash_loop=True))) == []


def test_scaled_waits_for_exactly_the_named_types():
    answer = Accepted((), {"web": 2, "api": 1})
    goal = scaled(answer, ["web"], fleet(instance("web.1", restarts=4)))
    assert goal == Up({"web.1": 0, "web.2": 0}, {"web": 2}, {"web.1": 4})


def test_renewed_wants_new_lives_and_lets_removed_slots_go():
    before = fleet(instance("web.1", generation=3), instance("web.2"), instance("old.1"))
    answer = Accepted(("web.1", "web.2", "old.1", "new.1"), {"web": 1, "new": 1})
    goal = renewed(answer, before, fleet())
    assert goal.after == {"web.1": 3, "new.1": 0}
    assert goal.slots == {"web": 1, "old": 0, "new": 1}


def test_down_waits_until_all_are_stopped_or_gone():
    goal = Down(("web.1", "web.2"))
    assert goal.left(fleet(instance("web.1", "stopping"), instance("api.1"))) == ["web.1 (stopping)"]
    assert goal.left(fleet(instance("web.1", "stopped"))) == []


def test_down_gives_up_what_cannot_be_killed():
    row = instance("web.1", "stopping", pid=42, reason="unkillable: KILL had no effect")
    with pytest.raises(HopelessError, match="unkillable"):
        Down(("web.1",)).left(fleet(row))


def test_down_notices_that_somebody_started_it_again():
    with pytest.raises(HopelessError, match="started again"):
        Down(("web.1",)).left(fleet(instance("web.1")))
