"""What an end means, how long to wait, and when a type is in a crash loop."""

from __future__ import annotations

import pytest
from making import NOW, instance_in, spec_of

from procman.core.events import Exited, ExitStatus, SpawnFailed, TimerFired
from procman.core.instance import step
from procman.core.phases import AfterClearing, Backoff, Failed, Ready, Spawning, Starting
from procman.core.restart import CrashWatch, Outcome, backoff, described, judge
from procman.core.spec import RestartPolicy, When
from procman.core.timers import SlotTimer

RETRY, GIVE_UP, DONE = Outcome.RETRY, Outcome.GIVE_UP, Outcome.DONE

VERDICTS = [
    # policy, other settings, success codes, exit code, failures in a row -> outcome
    (When.ON_FAILURE, {}, (0,), 0, 1, DONE),
    (When.ON_FAILURE, {}, (0,), 1, 1, RETRY),
    (When.ON_FAILURE, {}, (0, 143), 143, 1, DONE),
    (When.ON_FAILURE, {}, (143,), 0, 1, DONE),
    (When.ON_FAILURE, {}, (0,), 143, 1, RETRY),
    (When.ALWAYS, {}, (0,), 0, 1, RETRY),
    (When.ALWAYS, {}, (0,), 1, 99, RETRY),
    (When.NEVER, {}, (0,), 0, 1, DONE),
    (When.NEVER, {}, (0,), 1, 1, GIVE_UP),
    (When.ON_FAILURE, {"no_retry_exit_codes": (78,)}, (0,), 78, 1, GIVE_UP),
    (When.ON_FAILURE, {"no_retry_exit_codes": (78,)}, (0,), 77, 1, RETRY),
    (When.ALWAYS, {"no_retry_exit_codes": (78,)}, (0,), 78, 1, GIVE_UP),
    (When.ON_FAILURE, {"max_restarts": 3}, (0,), 1, 3, RETRY),
    (When.ON_FAILURE, {"max_restarts": 3}, (0,), 1, 4, GIVE_UP),
    (When.ON_FAILURE, {"max_restarts": 0}, (0,), 1, 1, GIVE_UP),
    (When.ALWAYS, {"max_restarts": 1}, (0,), 0, 2, GIVE_UP),
]


@pytest.mark.parametrize("row", VERDICTS)
def test_an_end_is_judged_by_policy_codes_and_how_often_in_a_row(row):
    policy, more, success, code, failures, outcome = row
    spec = spec_of(restart={"policy": policy, **more}, success_exit_codes=success)
    assert judge(spec, ExitStatus(code), failures)[0] is outcome


@pytest.mark.parametrize("row", [row for row in VERDICTS if row[-1] is GIVE_UP])
def test_giving_up_names_its_rule(row):
    policy, more, success, code, failures, _ = row
    spec = spec_of(restart={"policy": policy, **more}, success_exit_codes=success)
    assert (
        "policy" in judge(spec, ExitStatus(code), failures)[1]
        or next(iter(more)) in judge(spec, ExitStatus(code), failures)[1]
    )


def test_backoff_doubles_from_half_a_second_to_thirty():
    delays = [backoff(RestartPolicy(), failures, 0.0) for failures in range(1, 10)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_jitter_only_ever_adds_and_at_most_a_tenth():
    assert backoff(RestartPolicy(), 1, 0.999999) == pytest.approx(0.55)
    assert backoff(RestartPolicy(), 9, 0.999999) == pytest.approx(33.0)


def test_no_delay_is_no_delay():
    assert backoff(RestartPolicy(delay=0.0), 5, 0.9) == 0.0


def test_a_delay_above_the_most_is_the_most():
    assert backoff(RestartPolicy(delay=60.0, max_delay=30.0), 1, 0.0) == 30.0


def test_thousands_of_failures_are_no_overflow():
    assert backoff(RestartPolicy(), 100_000, 0.0) == 30.0


@pytest.mark.parametrize(("ready_for", "failures"), [(29.9, 6), (30.0, 1), (3000.0, 1)])
def test_half_a_minute_of_ready_life_starts_the_count_anew(ready_for, failures):
    before = instance_in(Ready, failures=5, ready_at=NOW - ready_for)
    after, _, _ = step(before, Exited("web.1", 7, ExitStatus(1)), NOW)
    assert after.record.failures == failures


def test_a_run_that_was_never_ready_never_starts_the_count_anew():
    before = instance_in(Starting, failures=5, started_at=NOW - 100.0)
    assert step(before, Exited("web.1", 7, ExitStatus(1)), NOW)[0].record.failures == 6


def test_reset_after_is_the_types_own():
    before = instance_in(Ready, spec=spec_of(restart={"reset_after": 5.0}), failures=5, ready_at=NOW - 6.0)
    assert step(before, Exited("web.1", 7, ExitStatus(1)), NOW)[0].record.failures == 1


def test_early_deaths_count_only_until_ready():
    ready, _, _ = step(instance_in(Starting, early_exits=2), TimerFired(SlotTimer("web.1"), 40), NOW)
    assert ready.record.early_exits == 0
    assert step(instance_in(Starting, early_exits=2), Exited("web.1", 7, ExitStatus(1)), NOW)[0].record.early_exits == 3


@pytest.mark.parametrize(
    ("restart", "success", "code", "phase"),
    [
        ({}, (0, 1), 1, Backoff),  # no room is no exit code, and no success
        ({}, (0, 127), 127, Backoff),
        ({"no_retry_exit_codes": (1,)}, (0,), 1, Backoff),
        ({"no_retry_exit_codes": (127,)}, (0,), 127, Failed),
        ({"policy": When.NEVER}, (0,), 127, Failed),
        ({"max_restarts": 0}, (0,), 126, Failed),
        ({"policy": When.ALWAYS}, (0,), 126, Backoff),
    ],
)
def test_a_start_that_failed_is_judged_as_a_failure_whatever_its_code(restart, success, code, phase):
    before = instance_in(Spawning, spec=spec_of(restart=restart, success_exit_codes=success))
    after, _, _ = step(before, SpawnFailed("web.1", 7, code, "why"), NOW)
    assert isinstance(after.phase, phase)
    assert after.phase.why.text.startswith("cannot start: why")


def test_the_jitter_of_the_event_reaches_the_deadline():
    before = instance_in(Ready)
    after, _, _ = step(before, Exited("web.1", 7, ExitStatus(1), "", 0.5), NOW)
    assert after.phase.delay == pytest.approx(0.525)
    failed, _, _ = step(instance_in(Spawning), SpawnFailed("web.1", 7, 127, "why", 0.5), NOW)
    assert failed.phase.until == pytest.approx(NOW + 0.525)


def test_a_note_says_who_is_in_the_way():
    after, _, _ = step(instance_in(Ready), Exited("web.1", 7, ExitStatus(1), "port 5000 is nginx's"), NOW)
    assert (after.phase.then, after.phase.why.text) == (AfterClearing.BACKOFF, "exit 1: port 5000 is nginx's")


@pytest.mark.parametrize(
    ("status", "lived", "text"),
    [
        (ExitStatus(1), 0.2, "exit 1"),
        (ExitStatus(139, "SEGV"), 0.2, "SIGSEGV"),
        (ExitStatus(127), 0.2, "exit 127 (command not found)"),
        (ExitStatus(126), 0.2, "exit 126 (not executable)"),
        (ExitStatus(127), 1.0, "exit 127"),
    ],
)
def test_an_end_is_described_as_people_say_it(status, lived, text):
    assert described(status, lived) == text


@pytest.mark.parametrize(
    ("before", "line", "reason"),
    [
        (0, "web.1 ended: exit 1 after 4.0 s; starting again in 0.5 s", "exit 1"),
        (1, "web.1 ended: exit 1 after 4.0 s, twice in a row; starting again in 1.0 s", "exit 1 twice in a row"),
        (5, "web.1 ended: exit 1 after 4.0 s, 6 times in a row; starting again in 16 s", "exit 1 6 times in a row"),
    ],
)
def test_an_end_says_how_after_how_long_how_often_and_what_follows(before, line, reason):
    i = instance_in(Ready, failures=before, started_at=NOW - 4.0, ready_at=NOW - 3.0)
    after, actions, _ = step(i, Exited("web.1", 7, ExitStatus(1)), NOW)
    assert (actions[0].change.text, after.phase.why.text) == (line, reason)


# ---- crash loops


def deaths(*times_and_early: tuple[float, int]) -> CrashWatch:
    watch = CrashWatch()
    for at, early in times_and_early:
        watch = watch.death(at, early, retried=True)
    return watch


def test_the_third_death_in_a_row_before_ready_makes_a_crash_loop():
    assert not deaths((0, 1), (100, 2)).looping
    assert deaths((0, 1), (100, 2), (200, 3)).looping


def test_five_deaths_of_a_type_in_a_minute_make_a_crash_loop():
    assert not deaths(*((at, 0) for at in (0, 10, 20, 30))).looping
    assert deaths(*((at, 0) for at in (0, 10, 20, 30, 59.9))).looping
    assert not deaths(*((at, 0) for at in (0, 10, 20, 30, 60))).looping


def test_a_crash_loop_goes_on_until_somebody_says_otherwise_and_remembers_five_deaths():
    watch = deaths(*((at, 3) for at in range(50)))
    assert watch.death(10_000, 0, retried=True).looping
    assert len(watch.deaths) == 5


def test_each_death_has_its_own_token():
    assert deaths((0, 1)).token != deaths((0, 1), (1, 1)).token


def test_a_death_that_is_the_last_makes_no_crash_loop_but_counts_in_one():
    watch = deaths((0, 1), (1, 2))
    assert not watch.death(2, 3, retried=False).looping
    assert watch.death(2, 3, retried=False).death(3, 3, retried=True).looping
