"""Processes of no instance: left alone, asked, killed, given up."""

from __future__ import annotations

import pytest

from procman.core.actions import SetTimer, SignalProcess
from procman.core.orphans import Orphans
from procman.core.spec import StopPolicy
from procman.core.timers import OrphansTimer

ASKED = [SignalProcess(7, "TERM"), SignalProcess(7, "CONT")]
KILL = SignalProcess(7, "KILL")


@pytest.fixture
def orphans() -> Orphans:
    return Orphans()


def last_timer(actions) -> SetTimer:
    return [a for a in actions if isinstance(a, SetTimer)][-1]


def test_an_orphan_is_left_alone_until_everything_ends(orphans):
    assert orphans.orphaned(7, now=0.0) == []
    assert orphans.left
    assert orphans.end_all(now=5.0, grace=10.0) == [*ASKED, SetTimer(OrphansTimer(), 1, 15.0)]


def test_an_orphan_that_appears_while_everything_ends_is_asked_with_what_is_left_of_the_grace(orphans):
    orphans.end_all(now=0.0, grace=10.0)
    assert orphans.orphaned(7, now=4.0) == [*ASKED, SetTimer(OrphansTimer(), 1, 10.0)]


def test_an_orphan_that_appears_after_the_grace_is_killed_at_once(orphans):
    orphans.end_all(now=0.0, grace=10.0)
    assert orphans.orphaned(7, now=10.0)[0] == KILL


def test_what_a_run_left_behind_is_ended_at_once_with_its_own_grace(orphans):
    assert orphans.left_behind(7, StopPolicy(), now=0.0) == [*ASKED, SetTimer(OrphansTimer(), 1, 10.0)]
    assert orphans.deadline(1, now=10.0)[0] == KILL


def test_what_a_run_left_behind_gets_the_stop_signal_and_the_grace_of_its_type(orphans):
    stop = StopPolicy(signal="QUIT", exit_code=131, grace=3.0)
    quit_, _, timer = orphans.left_behind(7, stop, now=0.0)
    assert (quit_, timer) == (SignalProcess(7, "QUIT"), SetTimer(OrphansTimer(), 1, 3.0))


def test_what_is_left_behind_while_everything_ends_has_no_more_time_than_the_rest(orphans):
    orphans.end_all(now=0.0, grace=3.0)
    assert last_timer(orphans.left_behind(7, StopPolicy(), now=1.0)).at == 3.0


def test_what_is_left_behind_after_a_kill_is_killed_at_once(orphans):
    orphans.kill_all(now=0.0)
    assert orphans.left_behind(7, StopPolicy(), now=0.1)[0] == KILL


def test_kill_all_reaches_the_lonely_and_the_ending_but_none_twice(orphans):
    orphans.orphaned(5, now=0.0)
    orphans.left_behind(7, StopPolicy(), now=0.0)
    killed = [a for a in orphans.kill_all(now=1.0) if isinstance(a, SignalProcess)]
    assert killed == [SignalProcess(5, "KILL"), KILL]
    assert [a for a in orphans.kill_all(now=2.0) if isinstance(a, SignalProcess)] == []


def test_one_that_is_gone_is_not_signalled_any_more(orphans):
    orphans.left_behind(7, StopPolicy(), now=0.0)
    orphans.reaped(7)
    assert not orphans.left
    assert orphans.deadline(1, now=10.0) == []


def test_a_late_deadline_of_an_earlier_token_does_nothing(orphans):
    orphans.left_behind(7, StopPolicy(), now=0.0)
    orphans.left_behind(8, StopPolicy(), now=1.0)
    assert orphans.deadline(1, now=60.0) == []


def test_each_is_killed_at_its_own_deadline(orphans):
    orphans.left_behind(7, StopPolicy(), now=0.0)
    second = last_timer(orphans.left_behind(8, StopPolicy(), now=4.0))
    actions = orphans.deadline(second.token, now=10.0)
    assert actions[0] == KILL
    assert last_timer(actions).at == 14.0
    assert SignalProcess(8, "KILL") not in actions


def test_what_kill_does_not_remove_is_given_up_after_five_seconds(orphans):
    orphans.kill_all(now=0.0)
    orphans.orphaned(7, now=0.0)
    assert orphans.deadline(1, now=5.0) == []
    assert orphans.stuck == [7]
    assert not orphans.left


def test_one_that_was_given_up_and_goes_after_all_is_not_held_against_procman(orphans):
    orphans.kill_all(now=0.0)
    orphans.orphaned(7, now=0.0)
    orphans.deadline(1, now=5.0)
    orphans.reaped(7)
    assert orphans.stuck == []
