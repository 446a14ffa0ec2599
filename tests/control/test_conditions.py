"""What is waited for, judged on fleets."""

from __future__ import annotations

import pytest
from scripted import fleet, instance

from procman.control.conditions import Condition, OperationCondition, listed
from procman.core.requests import AwaitedState
from procman.core.view import Operation, OperationState, Reason, ReasonCode

STARTING = fleet(instance("web.1", "starting"))


def judged(view, names=(), until="ready", begun=STARTING):
    return Condition(names, AwaitedState(until), begun).judge(view)


def outcome(*rows, **how):
    return judged(fleet(*rows), **how).outcome


def pending(*rows, **how):
    return judged(fleet(*rows), **how).pending


def failure(*rows, **how):
    verdict = judged(fleet(*rows), **how)
    assert verdict.outcome == "failed"
    return verdict.reason


# ---- ready


def test_an_instance_that_is_still_starting_is_pending():
    assert pending(instance("web.1", "starting")) == ("web.1 (starting)",)


@pytest.mark.parametrize("phase", ["ready", "done"])
def test_ready_and_done_are_what_is_waited_for(phase):
    assert outcome(instance("web.1", phase)) == "reached"


def test_nobody_at_all_is_nobody_to_wait_for():
    assert outcome() == "reached"


def test_a_slot_on_its_way_out_is_pending_until_it_is_gone():
    assert pending(instance("web.1"), instance("web.2", "stopping"), names=("web",)) == ("web.2 (stopping)",)
    assert outcome(instance("web.1"), names=("web",)) == "reached"


@pytest.mark.parametrize("phase", ["failed", "stopped"])
def test_an_instance_at_rest_fails_it_and_says_why(phase):
    why = failure(instance("web.1", phase, reason="exit 78"))
    state = {"failed": "has failed", "stopped": "is stopped"}[phase]
    assert why == f"cannot keep waiting for web.1: it {state}: exit 78"


def test_one_that_a_person_has_stopped_is_named_with_the_way_to_start_it():
    row = instance("web.1", "stopped", reason="stopped by procman stop 2.0 s ago")
    why = failure(row)
    assert why == "cannot keep waiting for web.1: it was stopped by procman stop 2.0 s ago"
    failed = Operation(
        id=1,
        what="scale",
        state=OperationState.FAILED,
        reason=Reason(ReasonCode.STOPPED, "web.1 was stopped by procman stop"),
        instance="web.1",
    )
    verdict = OperationCondition(lambda: failed).judge(fleet(row))
    assert (verdict.reason, verdict.hint) == (
        "cannot keep waiting: web.1 was stopped by procman stop",
        "`procman restart web.1` starts it",
    )


def test_an_instance_that_was_named_and_is_removed_fails_it():
    begun = fleet(instance("web.1"), instance("web.2", "starting"))
    assert "web.2: it is no longer there" in failure(instance("web.1"), names=("web.2",), begun=begun)


def test_an_instance_of_a_type_that_was_named_may_go():
    begun = fleet(instance("web.1"), instance("web.2", "stopping"))
    assert outcome(instance("web.1"), names=("web",), begun=begun) == "reached"


@pytest.mark.parametrize("until", ["ready", "done"])
def test_a_stopping_procman_ends_it(until):
    view = fleet(instance("web.1", "starting"), stopping=True)
    assert judged(view, until=until).outcome == "ending"


def test_what_is_reached_is_so_although_procman_ends_with_it():
    assert judged(fleet(instance("web.1", "done"), stopping=True), until="done").outcome == "reached"


def test_backoff_without_a_crash_loop_is_waited_out():
    row = instance("web.1", "backoff", reason="exit 1; again in 0.5 s")
    assert pending(row) == ("web.1 (backoff: exit 1; again in 0.5 s)",)


def test_a_crash_loop_fails_it_once_the_instance_backs_off():
    assert "exit 1 (crash loop)" in failure(instance("web.1", "backoff", crash_loop=True, reason="exit 1 (crash loop)"))


def test_a_crash_loop_fails_it_once_the_instance_was_restarted_since():
    begun = fleet(instance("web.1", "starting", restarts=2))
    assert failure(instance("web.1", "starting", crash_loop=True, restarts=3), begun=begun)


def test_a_restart_out_of_a_crash_loop_gets_its_chance():
    begun = fleet(instance("web.1", "starting", crash_loop=True, restarts=5))
    assert pending(instance("web.1", "starting", crash_loop=True, restarts=5, generation=8), begun=begun)


def test_a_sibling_in_a_crash_loop_does_not_matter():
    assert outcome(instance("web.1"), instance("api.1", "backoff", crash_loop=True), names=("web",)) == "reached"


def test_a_pattern_means_whom_it_matches():
    rows = instance("web.1"), instance("worker.1", "starting")
    assert outcome(*rows, names=("we*",)) == "reached"
    assert pending(*rows, names=("w*",)) == ("worker.1 (starting)",)


# ---- done


def test_one_that_is_ready_is_not_done():
    assert pending(instance("migrate.1"), until="done") == ("migrate.1 (ready)",)
    assert outcome(instance("migrate.1", "done"), until="done") == "reached"


def test_one_that_failed_will_not_be_done():
    assert "it has failed" in failure(instance("migrate.1", "failed"), until="done")


# ---- stopped


@pytest.mark.parametrize("phase", ["stopped", "done", "failed"])
def test_who_does_not_run_is_stopped(phase):
    assert outcome(instance("web.1", phase), until="stopped") == "reached"


def test_who_is_gone_is_stopped():
    assert outcome(until="stopped", names=("web.1",)) == "reached"


def test_a_stopping_procman_stops_all():
    assert judged(fleet(instance("web.1", "stopping"), stopping=True), until="stopped").outcome == "pending"


def test_one_that_runs_is_waited_for():
    begun = fleet(instance("web.1"))
    assert pending(instance("web.1"), until="stopped", begun=begun) == ("web.1 (ready)",)


def test_one_that_cannot_be_killed_fails_it():
    why = failure(instance("web.1", "stopping", pid=7, reason="unkillable: KILL had no effect"), until="stopped")
    assert why == "cannot stop web.1: unkillable: KILL had no effect"


def test_the_code_says_that_it_cannot_be_killed_whatever_the_words():
    stuck = instance("web.1", "stopping", pid=7, reason="there is no end to it", reason_code="unkillable")
    assert failure(stuck, until="stopped") == "cannot stop web.1: there is no end to it"
    other = instance("web.1", "stopping", pid=7, reason="unkillable: so they say", reason_code="stopped")
    assert outcome(other, until="stopped") == "pending"


def test_one_that_was_stopping_and_is_ready_was_started_again():
    begun = fleet(instance("web.1", "stopping"))
    assert "it was started again" in failure(instance("web.1"), until="stopped", begun=begun)


def test_many_are_counted():
    assert listed(tuple("abcdefg")) == "a, b, c, d, e and 2 more"
    assert listed(tuple("abc")) == "a, b, c"
