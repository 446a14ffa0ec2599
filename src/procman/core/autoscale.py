"""How many instances a type should have: the rule of Kubernetes' HorizontalPodAutoscaler, for one type. Pure.

`decide(rule, state, seen, now)` is all of it: the same four values give the same decision, which is how a recorded one
is replayed. The order is the HPA's: every metric asks for a count, the largest wins, recommendations of a window limit
it, its pace is limited, bounds come last. Added are `min: 0`, a fallback, a pause, and two guards against scaling up
into a crash loop or into a machine without memory. A metric that cannot be read never takes capacity away.

What one metric asks for, and how missing, unready and young instances count, is in the Kubernetes documentation,
"Horizontal Pod Autoscaling", section "Algorithm details". It differs in two points: without a ready instance a ratio
changes nothing, and an average over no instances is not a failure but means no demand.
"""

from __future__ import annotations

import math
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from procman.core.demand import (
    MOST,
    Because,
    Decided,
    Decision,
    Mark,
    Measure,
    MetricReading,
    MetricRule,
    Observation,
    Pace,
    Proposal,
    Replica,
    ReplicaState,
    Scaler,
    ScalingRule,
)

WAKE_EVERY = 1.0
"""Seconds between two polls of a type that has a count of 0 and waits for demand."""

WAKE_SOON = 0.25
"""The same if every metric that can wake it is cheap to read: redis and HAProxy answer in a fraction of a millisecond.
"""


class _Choice(Struct, frozen=True):
    """A count on its way through the rules, and the last rule that changed it."""

    count: int
    because: Because
    text: str


def decide(rule: ScalingRule, state: Scaler, seen: Observation, now: float) -> tuple[Scaler, Decision]:
    """The decision for a type now, and what to remember. The new state assumes that it is carried out; if that fails,
    keep the `changes` of the old one.
    """
    low, high = bounds_of(rule, seen)
    failures = _failures(rule, state, seen)
    proposals = _proposals(rule, seen, failures)
    idle_since = _idle_since(rule, state, seen, now)
    demanded = _demanded(proposals, seen, low)
    window = max(rule.up.window, rule.down.window)
    known = [mark for mark in state.recommendations if mark.at > now - window] or [Mark(now, seen.count)]
    recommendations = (*known, Mark(now, demanded.count))
    choice = _stabilized(rule, demanded, recommendations, seen, now)
    if low == 0:
        choice = _around_zero(rule, choice, seen, now, idle_since)
    choice = _paced(rule, choice, state.changes, seen, now)
    choice = _guarded(choice, seen)
    choice = _bounded(choice, demanded, low, high)
    if seen.paused:
        would = f"would go to {choice.count}: {choice.text}" if choice.count != seen.count else choice.text
        choice = _Choice(seen.count, Because.PAUSED, f"paused; {would}")
    longest = max(rule.up.period, rule.down.period)
    changes = tuple(mark for mark in state.changes if mark.at > now - longest)
    if choice.count != seen.count:
        changes = (*changes, Mark(now, choice.count - seen.count))
    kept = Scaler(recommendations=_thinned(recommendations), changes=changes, failures=failures, idle_since=idle_since)
    return kept, Decision(
        before=seen.count,
        count=choice.count,
        min=low,
        max=high,
        proposals=proposals,
        because=choice.because,
        text=choice.text,
        next_in=min(rule.every, _wake_every(rule, demanded)) if choice.count == 0 and low == 0 else rule.every,
    )


def _wake_every(rule: ScalingRule, demanded: _Choice) -> float:
    """The short interval, unless something else delays the start: reading again soon does not help if no instance may
    be started, or nothing can be read.
    """
    cheap = all(metric.cheap for metric in rule.metrics if metric.wakes)
    return WAKE_SOON if cheap and demanded.count == 0 and demanded.because is not Because.UNREADABLE else WAKE_EVERY


def replay(decided: Decided) -> Decision:
    """The decision that the present rule makes from what was recorded."""
    return decide(decided.rule, decided.state, decided.seen, decided.at)[1]


def bounds_of(rule: ScalingRule, seen: Observation) -> tuple[int, int]:
    """The bounds in force: a person's, else the schedule's, else the rule's. The minimum is at most the maximum."""
    low, high = rule.min, rule.max
    for bounds in (seen.window, seen.asked):
        if bounds is not None:
            low = low if bounds.min is None else bounds.min
            high = high if bounds.max is None else bounds.max
    return min(low, high), high


def _failures(rule: ScalingRule, state: Scaler, seen: Observation) -> dict[str, int]:
    """Failed readings in a row, by metric."""
    read = {reading.metric for reading in seen.readings if not reading.error}
    return {m.name: state.failures.get(m.name, 0) + 1 for m in rule.metrics if m.name not in read}


def _proposals(rule: ScalingRule, seen: Observation, failures: dict[str, int]) -> tuple[Proposal, ...]:
    readings = {reading.metric: reading for reading in seen.readings}
    proposals = []
    for metric in rule.metrics:
        proposed = propose(rule, metric, readings.get(metric.name), seen)
        failed = failures.get(metric.name, 0)
        if proposed.count is None and rule.fallback is not None and failed >= rule.fallback_after:
            text = f"fallback after {failed} failed readings: {proposed.text}"
            proposed = replace(proposed, count=rule.fallback, text=text)
        proposals.append(proposed)
    return tuple(proposals)


def _idle_since(rule: ScalingRule, state: Scaler, seen: Observation, now: float) -> float | None:
    """Since when every metric that can wake the type has read 0; None while one has not, or cannot be read."""
    waking = {metric.name for metric in rule.metrics if metric.wakes}
    quiet = {reading.metric for reading in seen.readings if reading.value == 0 and not reading.error}
    if not waking or not waking <= quiet:
        return None
    return now if state.idle_since is None else state.idle_since


def _demanded(proposals: tuple[Proposal, ...], seen: Observation, low: int) -> _Choice:
    """The largest proposal, else the minimum. A metric that could not be read keeps the count; others may raise it."""
    if seen.count and seen.replicas and not any(map(is_active, seen.replicas)):
        return _Choice(seen.count, Because.AT_REST, "every instance is stopped, done or failed")
    known = [(p.count, p) for p in proposals if p.count is not None]
    failed = [p for p in proposals if p.count is None]
    count, largest = max(known, key=lambda pair: pair[0], default=(low, None))
    if failed and count <= seen.count:
        return _Choice(seen.count, Because.UNREADABLE, f"cannot read {failed[0].metric}: {failed[0].text}")
    if count == seen.count:
        return _Choice(count, Because.STEADY, f"{largest.metric}: {largest.text}" if largest else "no metric")
    text = f"{largest.metric} asks for {count}: {largest.text}" if largest else f"no metric: the minimum, {count}"
    return _Choice(count, Because.UP if count > seen.count else Because.DOWN, text)


def _stabilized(
    rule: ScalingRule, choice: _Choice, recommendations: tuple[Mark, ...], seen: Observation, now: float
) -> _Choice:
    """Scale down at most to the highest recommendation of the window for down, and up at most to the lowest of the
    window for up.
    """
    if choice.count < seen.count:
        highest = max((m.count for m in recommendations if m.at > now - rule.down.window), default=0)
        held = min(max(highest, choice.count), seen.count)
    elif choice.count > seen.count:
        lowest = min((m.count for m in recommendations if m.at > now - rule.up.window), default=choice.count)
        held = max(lowest, seen.count)
    else:
        return choice
    if held == choice.count:
        return choice
    seconds = rule.down.window if choice.count < seen.count else rule.up.window
    text = f"{choice.text}; recommendations of the last {seconds:g} s hold {held}"
    return _Choice(held, Because.STABILIZING, text)


def _around_zero(
    rule: ScalingRule, choice: _Choice, seen: Observation, now: float, idle_since: float | None
) -> _Choice:
    """The last instance is stopped only after `idle` seconds without any demand, and then whatever the window says."""
    if idle_since is None or now - idle_since < rule.idle or seen.count == 0:
        if choice.count == 0 and seen.count > 0:
            passed = 0.0 if idle_since is None else now - idle_since
            return _Choice(1, Because.NOT_IDLE_YET, f"idle for {passed:.0f} s of {rule.idle:g} s")
        return choice
    if choice.because in {Because.AT_REST, Because.UNREADABLE}:
        return choice
    return _Choice(0, Because.IDLE, f"nothing to do for {now - idle_since:.0f} s")


def _paced(rule: ScalingRule, choice: _Choice, changes: tuple[Mark, ...], seen: Observation, now: float) -> _Choice:
    """No faster than the pace allows, from the count at the start of its period."""
    if choice.count == seen.count or choice.because is Because.IDLE:
        return choice
    goes_up = choice.count > seen.count
    pace = rule.up if goes_up else rule.down
    start = seen.count - sum(mark.count for mark in changes if mark.at > now - pace.period)
    limit = _highest(pace, start, seen.count) if goes_up else _lowest(pace, start, seen.count)
    if limit is None or (choice.count <= limit if goes_up else choice.count >= limit):
        return choice
    text = f"{choice.text}; limited to {limit} within {pace.period:g} s"
    return _Choice(limit, Because.PACED, text)


def _highest(pace: Pace, start: int, current: int) -> int | None:
    if pace.percent is None and pace.count is None:
        return None
    by_percent = math.ceil(start * (1 + (pace.percent or 0) / 100) - 1e-9)
    return max(by_percent, start + (pace.count or 0), current)


def _lowest(pace: Pace, start: int, current: int) -> int | None:
    if pace.percent is None and pace.count is None:
        return None
    by_percent = math.floor(start * (1 - (pace.percent or 0) / 100) + 1e-9)
    return min(by_percent, start - (pace.count or 0), current)


def _guarded(choice: _Choice, seen: Observation) -> _Choice:
    """More instances do not help a type that cannot start, nor a machine without memory for them."""
    if choice.count <= seen.count:
        return choice
    if seen.crash_loop:
        text = f"{choice.text}; the type is in a crash loop"
        return _Choice(seen.count, Because.CRASH_LOOP, text)
    if seen.free_memory is None or not seen.instance_memory:
        return choice
    affordable = seen.count + seen.free_memory // seen.instance_memory
    if choice.count <= affordable:
        return choice
    sizes = f"{seen.free_memory >> 20} MiB free, an instance takes {seen.instance_memory >> 20} MiB"
    return _Choice(affordable, Because.MEMORY, f"{choice.text}; {sizes}")


def _bounded(choice: _Choice, demanded: _Choice, low: int, high: int) -> _Choice:
    if choice.count > high:
        return _Choice(high, Because.AT_MAX, f"{choice.text}; max is {high}")
    if choice.count < low:
        return _Choice(low, Because.AT_MIN, f"{choice.text}; min is {low}")
    if choice.count == low and demanded.count < low:
        return _Choice(low, Because.AT_MIN, f"{choice.text}; min is {low}")
    return choice


def _thinned(recommendations: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """Of several marks in a row with the same count, only the first and the last, as the others change neither highest
    nor lowest. A type that is polled every second would have 300 of them.
    """
    kept: list[Mark] = []
    for mark in recommendations:
        if len(kept) > 1 and kept[-1].count == kept[-2].count == mark.count:
            kept[-1] = mark
        else:
            kept.append(mark)
    return tuple(kept)


# ---- what one metric asks for


def propose(rule: ScalingRule, metric: MetricRule, reading: MetricReading | None, seen: Observation) -> Proposal:
    """The count that this metric asks for, with its arithmetic."""
    if reading is None or reading.error:
        return Proposal(metric=metric.name, count=None, text=reading.error if reading else "not read")
    match metric.measure:
        case Measure.EACH:
            return _of_each(rule, metric, reading, seen)
        case Measure.TOTAL | Measure.RATIO if reading.value is None:
            return Proposal(metric=metric.name, count=None, text="not read")
        case Measure.TOTAL:
            return _of_total(rule, metric, reading.value, seen)
        case Measure.RATIO:
            return _of_ratio(rule, metric, reading.value, seen)
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


def _of_total(rule: ScalingRule, metric: MetricRule, value: float, seen: Observation) -> Proposal:
    text = f"{_number(value)} at {_number(metric.target)} per instance"
    if seen.count and within(value / (metric.target * seen.count), rule.tolerance):
        return Proposal(metric=metric.name, count=seen.count, text=f"{text}: within the tolerance")
    return Proposal(metric=metric.name, count=rounded_up(value / metric.target), text=text)


def _of_ratio(rule: ScalingRule, metric: MetricRule, value: float, seen: Observation) -> Proposal:
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
