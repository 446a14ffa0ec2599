"""Ready by a probe, unhealthy by another, and what follows where neither comes in time."""

from __future__ import annotations

import re

import pytest
from making import Story, finish_codes, of_type, plan_of, spec_of, told
from msgspec.structs import replace

from procman.core.actions import SetTimer, Signal, Spawn, StartProbe, StopProbe
from procman.core.events import KillAsked, Notified, Probed, ShutdownAsked
from procman.core.phases import Backoff, Failed, Ready, Starting, Stopping, Unhealthy
from procman.core.policies import Health, HttpProbe, LogProbe, OnUnhealthy, Readiness, TcpProbe
from procman.core.stopping import REPEAT_AFTER
from procman.core.timers import SlotTimer
from procman.core.view import Kind

READY = Readiness(probe=TcpProbe(), timeout=60.0, interval=1.0)
HEALTH = Health(probe=HttpProbe("/health"), failures=3)


def started(**changes) -> Story:
    story = Story(plan_of({"web": 1}, spec_of(**({"ready": READY} | changes))))
    story.spawned("web.1")
    return story


def probed(story: Story, *, ok: bool, answer: str = "") -> list:
    return story.happens(Probed("web.1", story.instance("web.1").generation, ok, answer))


def test_a_process_with_a_readiness_probe_is_probed_from_its_start_and_ready_at_its_first_success():
    story = started()
    assert of_type(story.seen, StartProbe) == [StartProbe("web.1", 1, TcpProbe(), 60.0, 1.0)]
    probed(story, ok=False, answer="connection refused")
    assert story.phase("web.1") is Starting
    assert story.fleet.view(story.now).instances[0].probe == "connection refused"
    actions = probed(story, ok=True)
    assert story.phase("web.1") is Ready
    assert of_type(actions, StopProbe) == [StopProbe("web.1", 1)]
    assert story.fleet.view(story.now).instances[0].ready


@pytest.mark.parametrize(
    ("probe", "is_ready", "once"),
    [
        (LogProbe("up"), True, True),
        (LogProbe("up"), False, False),
        (TcpProbe(), True, False),
        (HttpProbe("/"), True, False),
    ],
)
def test_what_its_own_check_has_called_ready_is_asked_to_stop_once_however_young_it_is(probe, is_ready, once):
    """Not where the check is that it answers at a socket: HAProxy does before it handles its signals."""
    story = started(ready=replace(READY, probe=probe))
    if is_ready:
        probed(story, ok=True)
    story.now += 0.5
    actions = story.happens(ShutdownAsked("asked"))
    next_look = [a.at for a in of_type(actions, SetTimer) if a.key == SlotTimer("web.1")][-1]
    assert (next_look > story.now + REPEAT_AFTER) == once


def test_what_is_not_ready_in_time_is_a_failed_start_with_the_last_answer():
    story = started()
    probed(story, ok=False, answer="connection refused")
    story.now += 60.0
    actions = story.timer("web.1")
    assert story.phase("web.1") is Stopping
    assert told(actions, Kind.UNHEALTHY) == ["web.1 is restarted: not ready within 1m 0s: connection refused"]
    assert [s.signal for s in of_type(actions, Signal)] == ["TERM", "CONT"]
    story.ends("web.1", 143, "TERM")
    assert story.phase("web.1") is Backoff
    assert story.instance("web.1").record.early_exits == 1
    assert [a.generation for a in of_type(story.timer("web.1"), Spawn)] == [2]


@pytest.mark.parametrize("how", [(143, "TERM"), (137, "KILL"), (0, None), (7, None)])
def test_one_that_is_never_ready_is_failed_where_its_restarts_are_used_up_and_ends_everything_with_1(how):
    """Its exit follows a signal of procman's, so it says nothing about the program."""
    story = started(restart={"max_restarts": 0})
    story.now += 60.0
    story.timer("web.1")
    actions = story.ends("web.1", *how)
    assert story.phase("web.1") is Failed
    assert finish_codes(actions) == [1]


def test_one_that_is_unhealthy_and_not_restarted_ends_everything_with_1():
    story = started(restart={"max_restarts": 0}, health=Health(probe=TcpProbe(), failures=1))
    probed(story, ok=True)
    probed(story, ok=False)
    assert finish_codes(story.ends("web.1", 143, "TERM")) == [1]


def test_one_that_was_late_once_and_then_fails_by_itself_ends_everything_with_its_status():
    story = started(restart={"max_restarts": 1})
    story.now += 60.0
    story.timer("web.1")
    story.ends("web.1", 143, "TERM")
    story.timer("web.1")
    story.spawned("web.1")
    assert finish_codes(story.ends("web.1", 7)) == [7]


@pytest.mark.parametrize("code", [0, 1])
def test_an_end_before_ready_is_a_failed_start_whatever_its_status(code):
    story = started()
    (line,) = told(story.ends("web.1", code), Kind.ENDED)
    assert story.phase("web.1") is Backoff
    assert re.search(rf"exit {code} after \S+ s, before it was ready", line)
    assert ("stay in the foreground" in line) is (code == 0)


def test_a_good_end_after_ready_is_done():
    story = started()
    probed(story, ok=True)
    story.ends("web.1", 0)
    assert story.fleet.stopping  # all are done


def test_a_ready_one_is_probed_for_its_health():
    story = started(health=HEALTH)
    actions = probed(story, ok=True)
    assert of_type(actions, StartProbe) == [StartProbe("web.1", 1, HttpProbe("/health"), 5.0, 10.0, health=True)]


def test_the_first_failed_check_takes_it_out_of_rotation_and_the_first_good_one_puts_it_back():
    story = started(health=HEALTH)
    probed(story, ok=True)
    (line,) = told(probed(story, ok=False, answer="http /health answered 503"), Kind.UNHEALTHY)
    assert line == "web.1 is unhealthy: http /health answered 503"
    row = story.fleet.view(story.now).instances[0]
    assert (row.phase, row.ready, row.probe) == ("unhealthy", False, "http /health answered 503")
    probed(story, ok=True)
    assert story.phase("web.1") is Ready


def test_so_many_failed_checks_in_a_row_restart_it():
    story = started(health=HEALTH)
    probed(story, ok=True)
    for _ in range(2):
        assert of_type(probed(story, ok=False, answer="503"), Signal) == []
    actions = probed(story, ok=False, answer="503")
    assert of_type(actions, Signal) != []
    assert told(actions, Kind.UNHEALTHY) == ["web.1 is restarted: unhealthy: 503, three times in a row"]
    story.ends("web.1", 0)
    assert story.phase("web.1") is Backoff


def test_it_may_stay_out_of_rotation_in_place_of_a_restart():
    story = started(health=Health(probe=TcpProbe(), failures=1, on_failure=OnUnhealthy.UNREADY))
    probed(story, ok=True)
    for _ in range(5):
        assert of_type(probed(story, ok=False), Signal) == []
    assert story.phase("web.1") is Unhealthy


def test_an_answer_of_an_earlier_life_means_nothing():
    story = started(health=HEALTH)
    probed(story, ok=True)
    before = story.instance("web.1")
    assert story.happens(Probed("web.1", 0, ok=False, answer="503")) == []
    assert story.instance("web.1") == before


def test_a_program_that_asks_for_more_time_gets_it():
    story = started()
    story.now += 59.0
    story.happens(Notified("web.1", 1, status="migrating", extend=120.0))
    story.now += 60.0
    assert story.phase("web.1") is Starting
    assert story.fleet.view(story.now).instances[0].probe == "migrating"


@pytest.mark.parametrize(("asked", "given"), [(1.0, 60.0), (90.0, 90.0), (86_400.0, 3600.0)])
def test_asking_for_time_never_makes_it_shorter_and_gives_an_hour_at_most(asked, given):
    story = started()
    story.happens(Notified("web.1", 1, extend=asked))
    assert story.seen[-1] == SetTimer(SlotTimer("web.1"), story.instance("web.1").token, story.now + given)


def test_what_a_ready_program_says_of_itself_is_shown():
    story = started()
    probed(story, ok=True)
    story.happens(Notified("web.1", 1, status="12 jobs"))
    assert story.fleet.view(story.now).instances[0].probe == "12 jobs"


@pytest.mark.parametrize("what", [{"stopping": True}, {"reloading": True}])
def test_a_program_that_says_so_is_out_of_rotation_until_it_is_ready_again(what):
    story = started()
    probed(story, ok=True)
    story.happens(Notified("web.1", 1, **what))
    assert story.phase("web.1") is Unhealthy
    probed(story, ok=True)
    assert story.phase("web.1") is Ready


@pytest.mark.parametrize("ready", [False, True])
def test_what_is_asked_to_end_is_probed_no_more(ready):
    story = started(health=HEALTH)
    if ready:
        probed(story, ok=True)
    assert of_type(story.happens(ShutdownAsked("SIGTERM")), StopProbe) == [StopProbe("web.1", 1)]
    again = started()
    again.now += 60.0
    assert of_type(again.timer("web.1"), StopProbe) == [StopProbe("web.1", 1)]
    assert of_type(started().happens(KillAsked()), StopProbe) == [StopProbe("web.1", 1)]
