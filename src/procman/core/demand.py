"""The values of autoscaling: what is wanted of a type, what was read, what was decided. No rule stands here.

Every value is frozen and can be written as JSON, so that a decision can be shown to a person and run again. Times are
seconds of one monotonic clock; the rule itself is in autoscale.py, what a single metric wishes in wishes.py.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

MOST = 1_000_000
"""Largest wish that is noted: beyond it a reading is a mistake, and JSON's readers round integers."""


class Measure(Enum):
    """What the number of a metric stands for."""

    EACH = "each"
    """A number for each instance, as CPU; their mean is compared with the target."""
    TOTAL = "total"
    """One number for all, as a queue's length; the target is one instance's share of it."""
    RATIO = "ratio"
    """One number that does not add up, as an age; the number itself is compared with the target."""


class MetricRule(Struct, frozen=True, kw_only=True):
    """One metric of a type. `wakes`: it can be read without any instance, so that it starts the first one; `cheap`: a reading
    costs a server next to nothing.
    """

    name: str
    measure: Measure
    target: float
    wakes: bool = False
    cheap: bool = False


class Pace(Struct, frozen=True, kw_only=True):
    """How fast the count may move one way: by the larger of `percent` and `count` in `period` seconds, None for no limit.

    `window`: seconds of recommendations of which the most cautious counts.
    """

    percent: float | None = None
    count: int | None = None
    period: float = 15.0
    window: float = 0.0


class ScalingRule(Struct, frozen=True, kw_only=True):
    """What a person has said about a type's capacity. The defaults are the HorizontalPodAutoscaler's.

    `young`: an instance that has been ready for less says nothing yet of its load; `fallback`: the count that a metric
    wishes after `fallback_after` failed readings in a row; `idle`: seconds without demand before the last one goes.
    """

    min: int = 1
    max: int
    metrics: tuple[MetricRule, ...]
    every: float = 15.0
    tolerance: float = 0.1
    up: Pace = Pace(percent=100.0, count=4)
    down: Pace = Pace(window=300.0)
    young: float = 5.0
    idle: float = 300.0
    fallback: int | None = None
    fallback_after: int = 3


class Bounds(Struct, frozen=True, kw_only=True):
    """Bounds that replace those of the rule for now, None where they do not, and where they come from."""

    min: int | None = None
    max: int | None = None
    origin: str = ""


class ReplicaState(Enum):
    """What an instance is to the arithmetic."""

    READY = "ready"
    STARTING = "starting"
    """Wanted and not ready: its load is not known, and it is not idle."""
    LEAVING = "leaving"
    """On its way out: neither load nor capacity."""
    RESTING = "resting"
    """Stopped, done or failed: it stands, and nothing runs."""


class Replica(Struct, frozen=True, kw_only=True):
    """One instance of the type; `ready_for` is seconds since it became ready."""

    name: str
    state: ReplicaState
    ready_for: float = 0.0


class MetricReading(Struct, frozen=True, kw_only=True):
    """What a metric said: `value`, or `values` by instance for `Measure.EACH`; else `error` says why not."""

    metric: str
    value: float | None = None
    values: dict[str, float] = {}
    error: str = ""


class Observation(Struct, frozen=True, kw_only=True):
    """All that a decision depends on, besides the rule and what is remembered.

    `count` is the wanted one. `window` are the bounds of the schedule, `asked` those that a person has set since. Memory
    is in bytes, None where it is not known.
    """

    count: int
    replicas: tuple[Replica, ...] = ()
    readings: tuple[MetricReading, ...] = ()
    window: Bounds | None = None
    asked: Bounds | None = None
    crash_loop: bool = False
    free_memory: int | None = None
    instance_memory: int | None = None
    paused: bool = False


class Mark(Struct, frozen=True):
    """A count, or a change of it, at a time."""

    at: float
    count: int


class Scaler(Struct, frozen=True, kw_only=True):
    """What is remembered of a type. An empty one is right after a start: nothing is scaled down on its account."""

    recommendations: tuple[Mark, ...] = ()
    changes: tuple[Mark, ...] = ()
    failures: dict[str, int] = {}
    idle_since: float | None = None


class Wish(Struct, frozen=True, kw_only=True):
    """The count that one metric asks for; None where it could not be read. `text` is its arithmetic in words."""

    metric: str
    count: int | None
    text: str


class Because(Enum):
    """The rule that had the last word."""

    STEADY = "steady"
    UP = "up"
    DOWN = "down"
    STABILIZING = "stabilizing"
    PACED = "paced"
    AT_MIN = "at-min"
    AT_MAX = "at-max"
    NOT_IDLE_YET = "not-idle-yet"
    IDLE = "idle"
    UNREADABLE = "unreadable"
    CRASH_LOOP = "crash-loop"
    MEMORY = "memory"
    AT_REST = "at-rest"
    PAUSED = "paused"


class Decision(Struct, frozen=True, kw_only=True):
    """What is to be done: `count` is the new one, equal to `before` where nothing is. `next_in` is seconds to the next look."""

    before: int
    count: int
    min: int
    max: int
    wishes: tuple[Wish, ...]
    because: Because
    text: str
    next_in: float

    @property
    def changes(self) -> bool:
        return self.count != self.before


class Decided(Struct, frozen=True, kw_only=True):
    """A decision with all that led to it, as it is told in an event: whoever has it can run it again."""

    type: str
    at: float
    rule: ScalingRule
    state: Scaler
    seen: Observation
    decision: Decision
