"""How many instances a type is to have: the documented cases of Kubernetes' HPA, and what is added to it."""

from __future__ import annotations

import itertools
import random

import msgspec
import pytest
from msgspec.structs import replace

from procman.core.autoscale import WAKE_EVERY, WAKE_SOON, bounds_of, decide, replay
from procman.core.demand import (
    Because,
    Bounds,
    Decided,
    Measure,
    MetricReading,
    MetricRule,
    Observation,
    Pace,
    Replica,
    ReplicaState,
    Scaler,
    ScalingRule,
)

READY, STARTING, LEAVING, RESTING = ReplicaState
CPU = MetricRule(name="cpu", measure=Measure.EACH, target=100)
QUEUE = MetricRule(name="queue", measure=Measure.TOTAL, target=10, wakes=True)
AGE = MetricRule(name="age", measure=Measure.RATIO, target=30, wakes=True)
AT_ONCE = Pace(window=0)


def rule_of(*metrics, **settings):
    settings = {"min": 1, "max": 100, "down": AT_ONCE, "up": Pace()} | settings
    return ScalingRule(metrics=metrics or (CPU,), **settings)


def ready(count, ready_for=1000.0):
    return tuple(Replica(name=f"web.{n}", state=READY, ready_for=ready_for) for n in range(1, count + 1))


def cpu(*values):
    return MetricReading(metric="cpu", values={f"web.{n}": v for n, v in enumerate(values, 1) if v is not None})


def queue(value):
    return MetricReading(metric="queue", value=value)


def failed(name):
    return MetricReading(metric=name, error="connection refused")


def seen_of(count, *readings, replicas=None, **more):
    return Observation(count=count, replicas=ready(count) if replicas is None else replicas, readings=readings, **more)


def counted(rule, seen, state=None, now=0.0):
    return decide(rule, state or Scaler(), seen, now)[1].count


# What the documentation of the HorizontalPodAutoscaler says, "Algorithm details": the number of instances, their loads
# (None: not measured), those young or not ready yet, and the count that follows, at a target of 100.
DOCUMENTED = {
    "twice the target doubles": (1, (200,), 0, 2),
    "twice the target doubles each of three": (3, (200, 200, 200), 0, 6),
    "half the target halves": (2, (50, 50), 0, 1),
    "half the target of five rounds up": (5, (50,) * 5, 0, 3),
    "fifty at 90 of 75 become sixty": (50, (120,) * 50, 0, 60),
    "a tenth above is within the tolerance": (10, (110,) * 10, 0, 10),
    "a tenth below is within the tolerance": (10, (90,) * 10, 0, 10),
    "just above the tolerance counts": (10, (111,) * 10, 0, 12),
    "the mean counts, not the largest": (4, (400, 0, 0, 0), 0, 4),
    "missing is idle on the way up": (4, (300, 300, None, None), 0, 6),
    "missing that turns the direction round changes nothing": (4, (150, None, None, None), 0, 4),
    "missing is at its target on the way down": (4, (10, 10, None, None), 0, 3),
    "missing that leads into the tolerance changes nothing": (10, (50,) + (None,) * 9, 0, 10),
    "young ones are idle on the way up": (4, (400, 400), 2, 8),
    "young ones that dampen it all away change nothing": (4, (190, 190), 2, 4),
    "young ones that dampen it into the tolerance change nothing": (4, (210, 210), 2, 4),
    "young ones are set aside on the way down": (4, (20, 20, 20), 1, 1),
    "young and missing on the way up are both idle": (4, (900, None), 2, 9),
    "young and missing on the way down": (4, (20, None), 2, 2),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documented_arithmetic_of_an_average(name):
    count, loads, young, wanted = DOCUMENTED[name]
    replicas = ready(len(loads)) + tuple(Replica(name=f"young.{n}", state=STARTING) for n in range(young))
    assert counted(rule_of(), seen_of(count, cpu(*loads), replicas=replicas)) == wanted


def test_an_instance_that_is_ready_for_a_moment_only_says_nothing():
    replicas = (*ready(1), Replica(name="web.2", state=READY, ready_for=4.9))
    assert counted(rule_of(), seen_of(2, cpu(200, 0), replicas=replicas)) == 2
    assert counted(rule_of(), seen_of(2, cpu(20, 500), replicas=replicas)) == 1


@pytest.mark.parametrize("state", [LEAVING, RESTING])
def test_those_that_leave_or_rest_are_not_counted(state):
    replicas = (*ready(2), Replica(name="web.3", state=state, ready_for=1000))
    assert counted(rule_of(), seen_of(3, cpu(200, 200, 0), replicas=replicas)) == 4


@pytest.mark.parametrize(
    ("count", "value", "wanted"),
    [
        (1, 60, 6),
        (6, 60, 6),
        (6, 65, 6),
        (6, 67, 7),
        (6, 54, 6),
        (6, 53, 6),
        (6, 50, 5),
        (1, 10, 1),
        (1, 0, 1),
        (1, 61, 7),
    ],
)
def test_a_total_is_divided_by_the_share_of_an_instance(count, value, wanted):
    assert counted(rule_of(QUEUE), seen_of(count, queue(value))) == wanted


@pytest.mark.parametrize(("count", "value", "wanted"), [(2, 30, 2), (2, 60, 4), (3, 10, 1), (2, 33, 2), (2, 34, 3)])
def test_a_ratio_multiplies_those_that_are_ready(count, value, wanted):
    assert counted(rule_of(AGE), seen_of(count, MetricReading(metric="age", value=value))) == wanted


def test_of_several_metrics_the_largest_proposal_wins():
    seen = seen_of(2, cpu(50, 50), queue(50))
    assert counted(rule_of(CPU, QUEUE), seen) == 5


def test_a_failed_metric_holds_back_a_scale_down_and_no_scale_up():
    rule = rule_of(CPU, QUEUE)
    decision = decide(rule, Scaler(), seen_of(4, cpu(10, 10, 10, 10), failed("queue")), 0.0)[1]
    assert (decision.count, decision.because) == (4, Because.UNREADABLE)
    assert counted(rule, seen_of(2, cpu(200, 200), failed("queue"))) == 4


def test_rounding_errors_are_no_reason_for_one_more():
    tenth = MetricRule(name="queue", measure=Measure.TOTAL, target=0.1)
    assert counted(rule_of(tenth), seen_of(1, queue(0.3))) == 3


# ---- how fast


def walk(rule, load, seconds, count, every=15):
    """The counts over time, with `load(at, count)` as the reading of the queue."""
    state, counts = Scaler(), []
    for at in range(0, seconds, every):
        state, decision = decide(rule, state, seen_of(count, queue(load(at, count))), float(at))
        count = decision.count
        counts.append(count)
    return counts


def test_by_default_it_goes_up_by_the_larger_of_four_and_all_in_fifteen_seconds():
    rule = ScalingRule(max=100, metrics=(QUEUE,))
    assert walk(rule, lambda at, count: 1000, 75, 1) == [5, 10, 20, 40, 80]


def test_by_default_it_goes_down_to_the_highest_recommendation_of_five_minutes():
    rule = ScalingRule(max=100, metrics=(QUEUE,))
    counts = walk(rule, lambda at, count: 60 if at < 60 else 10, 405, 6)
    assert counts.count(6) == (45 + 300) // 15
    assert counts[-1] == 1


def test_a_short_dip_takes_no_capacity_away():
    rule = ScalingRule(max=100, metrics=(QUEUE,))
    assert set(walk(rule, lambda at, count: 10 if at % 120 == 60 else 60, 1200, 6)) == {6}


def test_the_documented_policy_of_four_or_a_tenth_a_minute_goes_down_as_documented():
    """Eighty to ten: "8 are removed first", then as many as the larger of the two allows, 4 below forty."""
    rule = rule_of(QUEUE, down=Pace(percent=10, count=4, period=60))
    counts = walk(rule, lambda at, count: 100, 24 * 60, 80, every=60)
    assert counts[:3] == [72, 64, 57]
    small = [a - b for a, b in itertools.pairwise(counts) if a <= 40 and b > 10]
    assert set(small) == {4}
    assert counts[-1] == 10


def test_a_pace_of_nothing_forbids_a_direction():
    assert counted(rule_of(QUEUE, down=Pace(percent=0)), seen_of(5, queue(1))) == 5
    assert counted(rule_of(QUEUE, up=Pace(count=0)), seen_of(5, queue(100))) == 5


def test_a_window_for_the_way_up_waits_for_the_lowest_recommendation():
    rule = rule_of(QUEUE, up=Pace(window=60))
    assert walk(rule, lambda at, count: 60 if at >= 30 else 10, 120, 1) == [1, 1, 1, 1, 1, 6, 6, 6]


def test_a_decision_that_was_not_carried_out_does_not_count_against_the_pace():
    rule = rule_of(QUEUE, up=Pace(count=2))
    old = Scaler()
    new, _ = decide(rule, old, seen_of(1, queue(100)), 0.0)
    assert counted(rule, seen_of(1, queue(100)), new, 1.0) == 1 + 2 - 2
    kept = replace(new, changes=old.changes)
    assert counted(rule, seen_of(1, queue(100)), kept, 1.0) == 3


def test_after_a_start_nothing_is_scaled_down_before_a_whole_window():
    rule = ScalingRule(max=10, metrics=(QUEUE,))
    state, decision = decide(rule, Scaler(), seen_of(6, queue(0)), 0.0)
    assert (decision.count, decision.because) == (6, Because.STABILIZING)
    assert counted(rule, seen_of(6, queue(0)), state, 299.0) == 6
    assert counted(rule, seen_of(6, queue(0)), state, 301.0) == 6  # nothing was read in between: the window begins anew


# ---- bounds


def test_a_number_of_any_size_is_told_in_a_few_characters():
    decision = decide(ScalingRule(max=6, metrics=(QUEUE,)), Scaler(), seen_of(4, queue(1e300)), 0.0)[1]
    assert "1e+300 at 10" in decision.text


def test_the_text_of_a_decision_names_the_proposal_and_every_rule_that_limited_it():
    rule = ScalingRule(max=6, metrics=(QUEUE,))
    decision = decide(rule, Scaler(), seen_of(4, queue(497)), 0.0)[1]
    assert decision.text == "queue asks for 50: 497 at 10 per instance; limited to 8 within 15 s; max is 6"


def test_bounds_of_a_person_go_before_the_schedule_and_this_before_the_rule():
    rule = rule_of(min=1, max=5)
    window, asked = Bounds(min=2, max=6), Bounds(min=3)
    assert bounds_of(rule, seen_of(1)) == (1, 5)
    assert bounds_of(rule, seen_of(1, window=window)) == (2, 6)
    assert bounds_of(rule, seen_of(1, window=window, asked=asked)) == (3, 6)
    assert bounds_of(rule, seen_of(1, asked=Bounds(max=0))) == (0, 0)


def test_bounds_hold_whatever_was_read():
    rule = rule_of(QUEUE, min=2, max=4, up=Pace(count=1))
    assert counted(rule, seen_of(2, queue(1000))) == 3
    assert counted(rule, seen_of(4, queue(1000))) == 4
    assert counted(rule, seen_of(9, failed("queue"))) == 4
    assert counted(rule, seen_of(0, failed("queue"))) == 2


def test_a_window_of_the_schedule_raises_the_count_at_once_whatever_the_pace():
    assert counted(rule_of(QUEUE, up=Pace(count=1)), seen_of(1, queue(0), window=Bounds(min=20))) == 20


def test_without_a_metric_the_schedule_alone_sets_the_count():
    rule = ScalingRule(max=9, metrics=())
    assert counted(rule, seen_of(1, window=Bounds(min=4))) == 4
    state, _ = decide(rule, Scaler(), seen_of(4), 0.0)
    state, _ = decide(rule, state, seen_of(4), 200.0)
    assert counted(rule, seen_of(4), state, 400.0) == 1


# ---- zero


ZERO = rule_of(QUEUE, min=0, idle=300)


def test_the_first_item_starts_the_first_instance():
    decision = decide(ZERO, Scaler(), seen_of(0, queue(1)), 0.0)[1]
    assert (decision.count, decision.because) == (1, Because.UP)


def test_at_zero_it_looks_every_second():
    assert decide(ZERO, Scaler(), seen_of(0, queue(0)), 0.0)[1].next_in == WAKE_EVERY
    assert decide(ZERO, Scaler(), seen_of(1, queue(9)), 0.0)[1].next_in == 15


def test_what_is_cheap_to_read_is_looked_at_more_often_while_nothing_waits():
    cheap = rule_of(replace(QUEUE, cheap=True), min=0)
    assert decide(cheap, Scaler(), seen_of(0, queue(0)), 0.0)[1].next_in == WAKE_SOON
    for seen in (seen_of(0, failed("queue")), replace(seen_of(0, queue(1)), paused=True)):
        assert decide(cheap, Scaler(), seen, 0.0)[1].next_in == WAKE_EVERY
    dear = rule_of(replace(QUEUE, cheap=True), AGE, min=0)
    assert decide(dear, Scaler(), seen_of(0, queue(0)), 0.0)[1].next_in == WAKE_EVERY


def test_the_last_instance_goes_after_it_has_been_idle_for_long_enough():
    counts = walk(ZERO, lambda at, count: 0 if at else 5, 345, 1)
    assert counts[: 300 // 15 + 1] == [1] * 21
    assert counts[-1] == 0


def test_an_item_in_between_begins_the_idle_time_anew():
    counts = walk(ZERO, lambda at, count: 1 if at == 285 else 0, 600, 1)
    assert 0 not in counts[:38]


def test_a_reading_that_fails_is_not_idle():
    state, decision = decide(ZERO, Scaler(idle_since=0.0), seen_of(1, failed("queue")), 400.0)
    assert (decision.count, decision.because) == (1, Because.UNREADABLE)
    assert state.idle_since is None  # the idle time begins anew


def test_an_age_wakes_a_type_that_stands_at_zero():
    assert counted(rule_of(AGE, min=0), seen_of(0, MetricReading(metric="age", value=1))) == 1


# ---- what else holds


def test_the_fallback_holds_after_three_failed_readings():
    rule = rule_of(QUEUE, fallback=3)
    state, counts = Scaler(), []
    for at in range(4):
        state, decision = decide(rule, state, seen_of(1, failed("queue")), at * 15.0)
        counts.append(decision.count)
    assert counts == [1, 1, 3, 3]
    state, _ = decide(rule, state, seen_of(3, queue(30)), 60.0)
    assert state.failures == {}


@pytest.mark.parametrize("readings", [(), (failed("queue"),)])
def test_what_cannot_be_read_never_scales_down(readings):
    rule = rule_of(QUEUE)
    state = Scaler()
    for at in range(100):
        state, decision = decide(rule, state, seen_of(7, *readings), at * 15.0)
        assert decision.count == 7


def test_a_pause_changes_nothing_and_says_what_it_would_do():
    decision = decide(rule_of(QUEUE), Scaler(), seen_of(1, queue(60), paused=True), 0.0)[1]
    assert (decision.count, decision.because) == (1, Because.PAUSED)
    assert "6" in decision.text


def test_a_crash_loop_is_not_given_more_instances():
    decision = decide(rule_of(QUEUE), Scaler(), seen_of(1, queue(60), crash_loop=True), 0.0)[1]
    assert (decision.count, decision.because) == (1, Because.CRASH_LOOP)
    assert counted(rule_of(QUEUE), seen_of(6, queue(10), crash_loop=True)) == 1


@pytest.mark.parametrize(
    ("free", "each", "wanted"), [(99, 100, 1), (250, 100, 3), (10_000, 100, 6), (99, 0, 6), (None, 100, 6)]
)
def test_no_more_instances_than_there_is_memory_for(free, each, wanted):
    assert counted(rule_of(QUEUE), seen_of(1, queue(60), free_memory=free, instance_memory=each)) == wanted


def test_a_type_that_a_person_has_stopped_is_left_alone():
    replicas = tuple(Replica(name=f"web.{n}", state=RESTING) for n in (1, 2))
    decision = decide(rule_of(QUEUE), Scaler(), seen_of(2, queue(60), replicas=replicas), 0.0)[1]
    assert (decision.count, decision.because) == (2, Because.AT_REST)


def test_a_recorded_decision_gives_the_same_when_it_is_replayed():
    rule, state = ScalingRule(max=8, metrics=(CPU, QUEUE)), Scaler()
    for at, load in enumerate((10, 200, 500, 40, 3)):
        seen = seen_of(2, cpu(load, load), queue(load))
        before, (state, decision) = state, decide(rule, state, seen, at * 15.0)
        record = Decided(type="web", at=at * 15.0, rule=rule, state=before, seen=seen, decision=decision)
        again = msgspec.json.decode(msgspec.json.encode(record), type=Decided)
        assert again == record
        assert replay(again) == decision


# ---- as a whole: a web server that is bound by CPU, with noise


def cpu_trace(rng, cores, seconds, count=1):
    """The counts over time where `cores(at)` CPUs of work are shared by all; a new instance is ready after 2 s."""
    rule = ScalingRule(max=10, metrics=(MetricRule(name="cpu", measure=Measure.EACH, target=0.7),))
    state, since, counts = Scaler(), dict.fromkeys(range(1, count + 1), -1000.0), []
    for at in range(0, seconds, 15):
        ready_for = {n: at - started - 2.0 for n, started in since.items()}
        share = min(1.0, cores(at) * rng.uniform(0.93, 1.07) / len(since))
        members = tuple(
            Replica(name=f"web.{n}", state=READY if age > 0 else STARTING, ready_for=max(age, 0.0))
            for n, age in ready_for.items()
        )
        values = {f"web.{n}": share * rng.uniform(0.95, 1.05) for n in since}
        reading = MetricReading(metric="cpu", values=values)
        seen = Observation(count=len(since), replicas=members, readings=(reading,))
        state, decision = decide(rule, state, seen, float(at))
        since = {n: since.get(n, float(at)) for n in range(1, decision.count + 1)}
        counts.append(decision.count)
    return counts


@pytest.mark.parametrize("seed", range(20))
def test_a_step_of_load_is_followed_and_noise_is_not(seed):
    """Up from the first look after it, down once the window is over, and nothing in between for ten minutes."""
    rng = random.Random(seed)
    counts = cpu_trace(rng, lambda at: 0.5 if at < 60 or at >= 900 else 2.45, 2100)
    calm, loaded, after = counts[:4], counts[4:60], counts[60:]
    assert set(calm) == {1}
    assert loaded[0] == 2  # a saturated instance uses one core, whatever waits
    assert loaded[2] >= 3  # within 30 s of the first look
    assert loaded[3] >= 4
    settled = loaded[16:]
    assert len(set(settled)) == 1
    assert settled[0] in {4, 5}
    moves = [b - a for a, b in itertools.pairwise(after) if a != b]
    assert all(move < 0 for move in moves)
    assert len(moves) <= 2
    assert after[-1] == 1
