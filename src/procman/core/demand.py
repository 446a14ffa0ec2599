"""Values of autoscaling: the rule of a type, what was read, what was decided. Contains no logic.

Every value is frozen and can be written as JSON, so that a decision can be shown and repeated. Times are seconds of one
monotonic clock. The rule is in autoscale.py, the proposal of a single metric in proposals.py.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

MOST = 1_000_000
"""Largest count that is proposed: a reading beyond it is a mistake, and readers of JSON round large integers."""


class Measure(Enum):
    """What the number of a metric stands for."""

    EACH = "each"
    """A number for each instance, as CPU; their mean is compared with the target."""
    TOTAL = "total"
    """One number for all, as a queue's length; the target is one instance's share of it."""
    RATIO = "ratio"
    """One number that does not add up, as an age; the number itself is compared with the target."""


class MetricRule(Struct, frozen=True, kw_only=True):
    """One metric of a type. `wakes`: it can be read without any instance, and so can start the first one; `cheap`: a reading
    costs a server next to nothing.
    """

    name: str
    measure: Measure
    target: float
    wakes: bool = False
    cheap: bool = False


class Pace(Struct, frozen=True, kw_only=True):
    """How fast the count may change in one direction: by the larger of `percent` and `count` in `period` seconds, None
    for no limit. `window`: seconds of recommendations of which the most cautious counts.
    """

    percent: float | None = None
    count: int | None = None
    period: float = 15.0
    window: float = 0.0


class ScalingRule(Struct, frozen=True, kw_only=True):
    """A person's settings for the capacity of a type. The defaults are the HorizontalPodAutoscaler's.

    `young`: the load of an instance that has been ready for less is ignored; `fallback`: the count that a metric asks
    for after `fallback_after` failed readings in a row; `idle`: seconds without demand before the last one goes.
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
    """Bounds in place of the rule's, None if the rule's apply, and where they come from."""

    min: int | None = None
    max: int | None = None
    origin: str = ""


class ReplicaState(Enum):
    """The state of an instance, for the arithmetic."""

    READY = "ready"
    STARTING = "starting"
    """Wanted and not ready: its load is unknown, and it is not idle."""
    LEAVING = "leaving"
    """Leaving: neither load nor capacity."""
    RESTING = "resting"
    """Stopped, done or failed: nothing runs."""


class Replica(Struct, frozen=True, kw_only=True):
    """One instance of the type; `ready_for` is seconds since it became ready."""

    name: str
    state: ReplicaState
    ready_for: float = 0.0


class MetricReading(Struct, frozen=True, kw_only=True):
    """The reading of a metric: `value`, or `values` by instance for `Measure.EACH`; else `error` with the reason."""

    metric: str
    value: float | None = None
    values: dict[str, float] = {}
    error: str = ""


class Observation(Struct, frozen=True, kw_only=True):
    """Everything that a decision depends on, besides the rule and what is remembered.

    `count` is the wanted one. `window` are the bounds of the schedule, `asked` those that a person has set since.
    Memory is in bytes, None if unknown.
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
    """What is remembered of a type. An empty one is right after a start: it does not cause a scale-down."""

    recommendations: tuple[Mark, ...] = ()
    changes: tuple[Mark, ...] = ()
    failures: dict[str, int] = {}
    idle_since: float | None = None


class Proposal(Struct, frozen=True, kw_only=True):
    """The count that one metric asks for; None if it could not be read. `text` is its arithmetic."""

    metric: str
    count: int | None
    text: str


class Because(Enum):
    """The rule that decided the count."""

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
    """The decision: `count` is the new one, equal to `before` for no change. `next_in` is seconds to the next poll."""

    before: int
    count: int
    min: int
    max: int
    proposals: tuple[Proposal, ...] = ()  # an older procman wrote them under another name
    because: Because
    text: str
    next_in: float

    @property
    def changes(self) -> bool:
        return self.count != self.before


class Decided(Struct, frozen=True, kw_only=True):
    """A decision with everything that led to it, as an event publishes it, so that it can be repeated."""

    type: str
    at: float
    rule: ScalingRule
    state: Scaler
    seen: Observation
    decision: Decision
