"""The proposal of one metric: the count that a reading asks for, as the HorizontalPodAutoscaler computes it. Pure.

The rule and its treatment of missing, unready and young instances are those of the Kubernetes documentation,
"Horizontal Pod Autoscaling", section "Algorithm details". It differs in two points: without a ready instance a ratio
changes nothing, and an average over no instances is not a failure but means no demand.
"""

from __future__ import annotations

import math
from typing import assert_never

from procman.core.demand import (
    MOST,
    Measure,
    MetricReading,
    MetricRule,
    Observation,
    Proposal,
    Replica,
    ReplicaState,
    ScalingRule,
)


def propose(rule: ScalingRule, metric: MetricRule, reading: MetricReading | None, seen: Observation) -> Proposal:
    """The count that this metric asks for, with its arithmetic."""
    if reading is None or reading.error:
        return Proposal(metric=metric.name, count=None, text=reading.error if reading else "not read")
    match metric.measure:
        case Measure.EACH:
            return _of_each(rule, metric, reading, seen)
        case Measure.TOTAL:
            return _of_total(rule, metric, reading, seen)
        case Measure.RATIO:
            return _of_ratio(rule, metric, reading, seen)
        case _:
            assert_never(metric.measure)


def is_active(replica: Replica) -> bool:
    """Whether the instance is capacity, or is about to be."""
    return replica.state in {ReplicaState.READY, ReplicaState.STARTING}


def within(ratio: float, tolerance: float) -> bool:
    """Whether a ratio is too near to 1 for a change. The last bit of a division should not cause one."""
    return abs(1.0 - ratio) <= tolerance + 1e-9


def rounded_up(count: float) -> int:
    """The next whole number above, allowing for the rounding error of floating point."""
    return math.ceil(min(count, MOST) * (1 - 1e-12))


def _of_total(rule: ScalingRule, metric: MetricRule, reading: MetricReading, seen: Observation) -> Proposal:
    value = reading.value
    if value is None:
        return Proposal(metric=metric.name, count=None, text="not read")
    text = f"{_number(value)} at {_number(metric.target)} per instance"
    if seen.count and within(value / (metric.target * seen.count), rule.tolerance):
        return Proposal(metric=metric.name, count=seen.count, text=f"{text}: within the tolerance")
    return Proposal(metric=metric.name, count=rounded_up(value / metric.target), text=text)


def _of_ratio(rule: ScalingRule, metric: MetricRule, reading: MetricReading, seen: Observation) -> Proposal:
    value = reading.value
    if value is None:
        return Proposal(metric=metric.name, count=None, text="not read")
    ratio = value / metric.target
    text = f"{_number(value)}, target {_number(metric.target)}"
    if seen.count == 0:
        return Proposal(metric=metric.name, count=rounded_up(ratio), text=text)
    ready = sum(replica.state is ReplicaState.READY for replica in seen.replicas)
    if not ready:
        return Proposal(metric=metric.name, count=seen.count, text=f"{text}: none is ready")
    if within(ratio, rule.tolerance):
        return Proposal(metric=metric.name, count=seen.count, text=f"{text}: within the tolerance")
    return Proposal(metric=metric.name, count=rounded_up(ratio * ready), text=f"{text}, {ready} ready")


def _of_each(rule: ScalingRule, metric: MetricRule, reading: MetricReading, seen: Observation) -> Proposal:
    active = [replica for replica in seen.replicas if is_active(replica)]
    if not active:
        return Proposal(metric=metric.name, count=0 if seen.count == 0 else seen.count, text="no instance runs")
    young = {m.name for m in active if m.state is ReplicaState.STARTING or m.ready_for < rule.young}
    settled = [m.name for m in active if m.name not in young]
    known = [reading.values[name] for name in settled if name in reading.values]
    if not known:
        if young and len(young) == len(active):
            return Proposal(metric=metric.name, count=seen.count, text="every instance is young or not ready")
        return Proposal(metric=metric.name, count=None, text="no instance could be measured")
    count = _balanced(rule, metric, known, (len(settled) - len(known), len(young)), seen.count)
    aside = f", {len(young)} young or not ready" if young else ""
    missing = f", {len(settled) - len(known)} not measured" if len(known) < len(settled) else ""
    mean = sum(known) / len(known)
    text = f"{_number(mean)} on average over {len(known)}, target {_number(metric.target)}{aside}{missing}"
    return Proposal(metric=metric.name, count=count, text=text)


def _balanced(rule: ScalingRule, metric: MetricRule, known: list[float], unknown: tuple[int, int], current: int) -> int:
    """The documented arithmetic over instances whose load is known. `unknown`: how many are missing, how many young.

    For a scale-down, missing ones count as at their target; for a scale-up, missing and young ones count as idle. If
    that reverses the direction, or leads into the tolerance, nothing changes.
    """
    missing, young = unknown
    ratio = sum(known) / len(known) / metric.target
    dampened = young > 0 and ratio > 1
    if not dampened and not missing:
        return current if within(ratio, rule.tolerance) else rounded_up(ratio * len(known))
    # in a scale-down a young instance is left out of the mean, not counted as idle
    values = [*known, *[metric.target if ratio < 1 else 0.0] * missing, *[0.0] * (young if dampened else 0)]
    corrected = sum(values) / len(values) / metric.target
    if within(corrected, rule.tolerance) or (ratio < 1) != (corrected < 1):
        return current
    count = rounded_up(corrected * len(values))
    backwards = count > current if corrected < 1 else count < current
    return current if backwards else count


def _number(value: float) -> str:
    return f"{value:.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"
