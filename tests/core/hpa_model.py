"""The rule of autoscaling once more, as plainly as it can be written: the whole history is kept, nothing is shared with
the package but its values. What the two disagree on, one of them has wrong.
"""

from __future__ import annotations

import math
from fractions import Fraction

from procman.core.demand import MOST, Measure, Observation, ReplicaState, ScalingRule


class Model:
    """One type from its start to its end."""

    def __init__(self, rule: ScalingRule) -> None:
        self.rule = rule
        self.looks: list[tuple[float, int]] = []  # every recommendation there ever was
        self.moves: list[tuple[float, int]] = []  # every change there ever was
        self.failed = {metric.name: 0 for metric in rule.metrics}
        self.quiet_from = None

    def decide(self, seen: Observation, now: float) -> int:
        rule = self.rule
        low, high = rule.min, rule.max
        for bounds in (seen.window, seen.asked):
            if bounds:
                low = bounds.min if bounds.min is not None else low
                high = bounds.max if bounds.max is not None else high
        low = min(low, high)
        proposals = self._proposals(seen)
        resting = bool(seen.count and seen.replicas) and all(
            m.state in {ReplicaState.RESTING, ReplicaState.LEAVING} for m in seen.replicas
        )
        broken = any(proposed is None for proposed in proposals)
        demand = max([w for w in proposals if w is not None], default=low)
        if resting:
            demand = seen.count
        elif broken:
            demand = max(demand, seen.count)
        recent = [look for look in self.looks if look[0] > now - max(rule.up.window, rule.down.window)]
        if not recent:
            self.looks.append((now, seen.count))
        self.looks.append((now, demand))
        wanted = self._held_back(seen, demand, now)
        idle = False
        self._mind_quiet(seen, now)
        if low == 0 and seen.count > 0 and not resting:
            quiet_for = -1.0 if self.quiet_from is None else now - self.quiet_from
            if quiet_for >= rule.idle and not (broken and demand == seen.count):
                wanted, idle = 0, True
            elif wanted == 0:
                wanted = 1
        if not idle:
            wanted = self._slowed(seen, wanted, now)
        if wanted > seen.count:
            if seen.crash_loop:
                wanted = seen.count
            elif seen.free_memory is not None and seen.instance_memory:
                wanted = min(wanted, seen.count + seen.free_memory // seen.instance_memory)
        wanted = max(low, min(high, wanted))
        if seen.paused:
            wanted = seen.count
        if wanted != seen.count:
            self.moves.append((now, wanted - seen.count))
        return wanted

    def _proposals(self, seen):
        readings = {reading.metric: reading for reading in seen.readings}
        proposals = []
        for metric in self.rule.metrics:
            reading = readings.get(metric.name)
            if reading is None or reading.error:
                self.failed[metric.name] += 1
                proposed = None
            else:
                self.failed[metric.name] = 0
                proposed = self._proposal(metric, reading, seen)
            if proposed is None and self.rule.fallback is not None:
                proposed = self.rule.fallback if self.failed[metric.name] >= self.rule.fallback_after else None
            proposals.append(proposed)
        return proposals

    def _proposal(self, metric, reading, seen):
        target = Fraction(metric.target)
        if metric.measure is Measure.TOTAL:
            value = Fraction(reading.value)
            if seen.count and self._near(value / (target * seen.count)):
                return seen.count
            return self._up(value / target)
        ready = [m for m in seen.replicas if m.state is ReplicaState.READY]
        if metric.measure is Measure.RATIO:
            ratio = Fraction(reading.value) / target
            if not seen.count:
                return self._up(ratio)
            return seen.count if not ready or self._near(ratio) else self._up(ratio * len(ready))
        alive = [m for m in seen.replicas if m.state in {ReplicaState.READY, ReplicaState.STARTING}]
        if not alive:
            return seen.count
        old = [m for m in ready if m.ready_for >= self.rule.young]
        fresh = len(alive) - len(old)
        loads = [Fraction(reading.values[m.name]) for m in old if m.name in reading.values]
        if not loads:
            return seen.count if not old else None
        gaps = len(old) - len(loads)
        ratio = sum(loads) / len(loads) / target
        every = loads + [Fraction(0)] * (gaps + fresh) if ratio > 1 else loads + [target] * gaps
        after = sum(every) / len(every) / target
        if not gaps and not (fresh and ratio > 1):
            return seen.count if self._near(ratio) else self._up(ratio * len(loads))
        if self._near(after) or (ratio > 1) != (after > 1):
            return seen.count
        result = self._up(after * len(every))
        return seen.count if (after > 1) == (result < seen.count) and result != seen.count else result

    def _near(self, ratio):
        return abs(1 - ratio) <= Fraction(self.rule.tolerance) + Fraction(1, 10**9)

    def _up(self, count):
        return math.ceil(min(count, MOST) * (1 - Fraction(1, 10**12)))

    def _held_back(self, seen, demand, now):
        down = [demand, *(count for at, count in self.looks if at > now - self.rule.down.window)]
        up = [demand, *(count for at, count in self.looks if at > now - self.rule.up.window)]
        if demand < seen.count:
            return min(seen.count, max(down))
        if demand > seen.count:
            return max(seen.count, min(up))
        return demand

    def _mind_quiet(self, seen, now):
        waking = [metric.name for metric in self.rule.metrics if metric.wakes]
        zero = {r.metric for r in seen.readings if not r.error and r.value == 0}
        if not waking or any(name not in zero for name in waking):
            self.quiet_from = None
        elif self.quiet_from is None:
            self.quiet_from = now

    def _slowed(self, seen, wanted, now):
        pace = self.rule.up if wanted > seen.count else self.rule.down
        if wanted == seen.count or (pace.percent is None and pace.count is None):
            return wanted
        start = seen.count - sum(change for at, change in self.moves if at > now - pace.period)
        percent, count = Fraction(pace.percent or 0) / 100, pace.count or 0
        if wanted > seen.count:
            return min(wanted, max(seen.count, start + count, math.ceil(start * (1 + percent))))
        return max(wanted, min(seen.count, start - count, math.floor(start * (1 - percent))))
