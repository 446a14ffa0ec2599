"""The rule of autoscaling against a plain model of it, over random traces."""

from __future__ import annotations

import random

import pytest
from hpa_model import Model

from procman.core.autoscale import decide
from procman.core.demand import (
    Bounds,
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
TRACES = 10_000


def random_rule(rng):
    metrics = rng.sample((CPU, QUEUE, AGE), rng.randint(1, 3))
    waking = any(metric.wakes for metric in metrics)
    return ScalingRule(
        min=rng.choice((0, 1, 2)) if waking else 1,
        max=rng.choice((2, 5, 10, 40)),
        metrics=tuple(metrics),
        tolerance=rng.choice((0.0, 0.1, 0.25)),
        up=random_pace(rng),
        down=random_pace(rng),
        idle=rng.choice((0, 30, 300)),
        fallback=rng.choice((None, 3)),
    )


def random_pace(rng):
    return Pace(
        percent=rng.choice((None, 0, 10, 100)),
        count=rng.choice((None, 0, 1, 4)),
        period=rng.choice((15, 60)),
        window=rng.choice((0, 0, 60, 300)),
    )


def random_look(rng, rule, count):
    states = rng.choices((READY, STARTING, LEAVING, RESTING), (20, 3, 1, 1), k=max(count + rng.randint(-1, 1), 0))
    replicas = tuple(
        Replica(name=f"web.{n}", state=state, ready_for=rng.choice((1.0, 4.9, 5.0, 600.0)))
        for n, state in enumerate(states, 1)
    )
    readings = []
    for metric in rule.metrics:
        if rng.random() < 0.1:
            readings += rng.choice(([], [MetricReading(metric=metric.name, error="refused")]))
        elif metric is CPU:
            values = {m.name: rng.choice((0, 50, 90, 100, 110, 111, 200, 400)) for m in replicas if rng.random() < 0.9}
            readings.append(MetricReading(metric="cpu", values=values))
        else:
            readings.append(
                MetricReading(metric=metric.name, value=rng.choice((0, 0, 0, 1, 9, 10, 30, 33, 60, 250, 1e9)))
            )
    return Observation(
        count=count,
        replicas=replicas,
        readings=tuple(readings),
        window=Bounds(min=rng.randint(0, 4)) if rng.random() < 0.1 else None,
        asked=Bounds(min=1, max=rng.randint(0, 9)) if rng.random() < 0.05 else None,
        crash_loop=rng.random() < 0.05,
        free_memory=rng.choice((None, 0, 250, 10_000)),
        instance_memory=rng.choice((None, 0, 100)),
        paused=rng.random() < 0.05,
    )


@pytest.mark.parametrize("part", range(10))
def test_random_traces_go_as_the_plain_model_of_the_rule_says(part):
    for seed in range(part * TRACES // 10, (part + 1) * TRACES // 10):
        rng = random.Random(seed)
        rule = random_rule(rng)
        model, state, count, now = Model(rule), Scaler(), rng.randint(0, 5), 0.0
        for _ in range(12):
            seen = random_look(rng, rule, count)
            state, decision = decide(rule, state, seen, now)
            assert decision.count == model.decide(seen, now), (seed, now, rule, seen, decision)
            count = decision.count if rng.random() < 0.95 else rng.randint(0, 6)
            now += rng.choice((1.0, 15.0, 15.0, 15.0, 100.0, 400.0))
