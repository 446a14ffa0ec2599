"""Instances as people read them: rows of ps, who is waited for, how everything ended."""

from __future__ import annotations

import pytest
from making import ASKED, FAILURE, NOW, PID, SUCCESS, TERMINATED, Story, instance_in, plan_of, spec_of

from procman.core.overview import view_of
from procman.core.phases import PHASES, Backoff, Clearing, Down, Failed, Ready, Starting, Stopping, StopStep, Waiting
from procman.core.wording import SCALED_DOWN, ended_line, reason_of, waiting_line, waits


def test_a_row_has_ages_not_moments():
    row = view_of(instance_in(Ready, spec=spec_of(port=5000)), NOW, crash_loop=False)
    assert (row.name, row.type, row.phase, row.pid, row.port) == ("web.1", "web", "ready", PID, 5000)
    assert (row.uptime, row.age, row.restarts, row.generation, row.reason) == (50.0, 1.0, 0, 7, None)


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
def test_every_phase_is_shown_by_a_name_that_users_know(phase):
    row = view_of(instance_in(phase), NOW, crash_loop=False)
    assert row.phase in {
        "starting",
        "ready",
        "stopping",
        "backoff",
        "failed",
        "done",
        "stopped",
        "waiting",
        "unhealthy",
        "draining",
    }
    assert (row.uptime is None) is (row.pid is None)


@pytest.mark.parametrize(
    ("i", "crash_loop", "reason"),
    [
        (instance_in(Backoff, until=NOW + 3.8), False, "exit 1; again in 3.8 s"),
        (instance_in(Backoff, until=NOW - 1), True, "exit 1; again in 0.0 s (crash loop)"),
        (instance_in(Stopping, why=SCALED_DOWN), False, "scaled down; KILL in 9.0 s"),
        (instance_in(Clearing), False, "exit 1"),
        (instance_in(Down, why=ASKED, phase_since=NOW - 60), False, "stopped by procman stop 1m 0s ago"),
        (instance_in(Down), False, None),
        (instance_in(Failed), False, "exit 1"),
        (instance_in(Ready), False, None),
        (instance_in(Starting), True, "crash loop"),
    ],
)
def test_the_reason_says_why_and_what_comes_next(i, crash_loop, reason):
    assert reason_of(i, NOW, crash_loop=crash_loop) == reason


def test_who_is_waited_for_is_named_with_pid_and_seconds_left():
    waited = instance_in(Stopping, kill_at=NOW + 8.0)
    late = instance_in(Stopping, name="web.2", kill_at=NOW - 8.0, step=StopStep.KILL_SENT)
    line = waiting_line([waited, instance_in(Ready), late], NOW)
    assert line == f"waiting for web.1 (pid {PID}, 8.0 s left), web.2 (pid {PID}, 0.0 s left)"
    assert waiting_line([instance_in(Ready)], NOW) == ""


def test_many_that_are_waited_for_are_counted():
    many = [instance_in(Stopping, name=f"web.{n}") for n in range(1, 12)]
    assert waiting_line(many, NOW).endswith("and 3 more")


def test_the_end_names_few_and_counts_many():
    few = [instance_in(Down, name=f"web.{n}", last_exit=status) for n, status in enumerate((SUCCESS, FAILURE), 1)]
    assert ended_line(few) == "stopped: web.1 exit 0, web.2 exit 1"
    many = [instance_in(Down, name=f"web.{n}", last_exit=TERMINATED if n > 2 else SUCCESS) for n in range(1, 12)]
    assert ended_line(many) == "stopped: 2 web exit 0, 9 web SIGTERM"
    assert ended_line([instance_in(Down, last_exit=None)]) == ""


def test_the_end_of_many_types_is_counted_by_how_it_was():
    ends = [
        instance_in(Down, name=f"t{n}.1", spec=spec_of(f"t{n}"), last_exit=FAILURE if n == 4 else TERMINATED)
        for n in range(20)
    ]
    assert ended_line(ends) == "stopped: 19 instances SIGTERM, 1 instance exit 1"


@pytest.mark.parametrize("before", [None, FAILURE, TERMINATED])
def test_what_could_not_be_killed_has_not_the_exit_of_a_run_before(before):
    stuck = instance_in(Stopping, step=StopStep.UNKILLABLE, last_exit=before)
    assert ended_line([stuck]) == "stopped: web.1 unkillable"
    many = [instance_in(Stopping, name=f"web.{n}", step=StopStep.UNKILLABLE, last_exit=before) for n in range(12)]
    assert ended_line(many) == "stopped: 12 web unkillable"


def test_what_left_somebody_unkillable_behind_has_its_own_exit():
    left = instance_in(Clearing, step=StopStep.UNKILLABLE)
    assert ended_line([left, instance_in(Stopping, exit=SUCCESS, step=StopStep.UNKILLABLE, last_exit=SUCCESS)]) == (
        "stopped: web.1 exit 1, web.1 exit 0"
    )


def test_the_view_has_the_formation_and_every_slot_in_order():
    story = Story(plan_of({"web": 2, "job": 1}))
    story.ready("web.1")
    view = story.fleet.view(story.now)
    assert view.formation == {"web": 2, "job": 1}
    assert [(row.name, row.phase) for row in view.instances] == [
        ("web.1", "ready"),
        ("web.2", "starting"),
        ("job.1", "starting"),
    ]
    assert not view.stopping


def test_who_waits_for_no_type_waits_for_its_turn():
    assert waits(instance_in(Waiting), ("redis", "db")).change.text == "web.1 waits for redis, db"
    assert waits(instance_in(Waiting), ()).change.text == "web.1 waits for its turn"
