"""The keys of `autoscale:` under a process type of procman.yml, and faults of values that have the right type.

One definition serves the file, its schema and the companion that gets the value. The number of a metric that is only a
number (`cpu: 0.7`) is its target; every other metric has `target:` beside it. Pure.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict, replace

from procman.core.addresses import expanded, masked
from procman.core.demand import Measure, MetricRule, Pace, ScalingRule
from procman.core.requests import MAX_COUNT
from procman.text.quantities import SECONDS, about, read_seconds, worded

YEAR = 365 * 86400

Capacity = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Duration = Annotated[float, worded(read_seconds, "5m", SECONDS, ge=0, le=YEAR)]
Interval = Annotated[float, worded(read_seconds, "15s", SECONDS, ge=1, le=YEAR)]
Positive = Annotated[float, Meta(gt=0, le=1e15)]
Percent = Annotated[float, Meta(ge=0, le=10_000)]
Word = Annotated[str, Meta(min_length=1, max_length=4096)]


class HaproxyNumber(Enum):
    """What `haproxy:` reads of a backend."""

    QUEUE = "queue"
    SESSIONS = "sessions"
    RATE = "rate"


class RedisSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where items wait in redis: a key of one of redis's types, or the queue of a known library by its name."""

    redis: Annotated[Word, about("redis://host:port/db, rediss:// or unix://; `$NAME` is replaced by the variable")]
    list: Annotated[Word | UnsetType, about("A list: its length")] = UNSET
    stream: Annotated[Word | UnsetType, about("A stream: the entries that its group has not acknowledged")] = UNSET
    group: Annotated[Word | UnsetType, about("The consumer group of the stream")] = UNSET
    sorted_set: Annotated[Word | UnsetType, about("A sorted set: its number of members")] = UNSET
    unacked: Annotated[Word | UnsetType, about("A hash of items that are taken and not done; its length is added")] = (
        UNSET
    )
    celery: Annotated[Word | UnsetType, about("A queue of Celery: waiting and unacknowledged")] = UNSET
    rq: Annotated[Word | UnsetType, about("A queue of RQ: waiting and running")] = UNSET
    sidekiq: Annotated[Word | UnsetType, about("A queue of Sidekiq: waiting and running")] = UNSET
    arq: Annotated[Word | UnsetType, about("A queue of arq: due and running")] = UNSET
    dramatiq: Annotated[Word | UnsetType, about("A queue of Dramatiq: waiting and running")] = UNSET

    def __repr__(self) -> str:
        return f"{type(self).__name__}({masked(self.redis)!r}, {', '.join(sources_of(self))})"


class HaproxySource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number of one of HAProxy's backends."""

    socket: Annotated[Word, about("HAProxy's `stats socket`, relative to the root")]
    backend: Annotated[Word, about("The backend's name")]
    of: Annotated[HaproxyNumber, about("Which number is read")] = HaproxyNumber.QUEUE


class HttpSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number in a JSON document."""

    url: Annotated[Word, about("http:// or https://; `$NAME` is replaced by the variable")]
    json: Annotated[Word, about("Where the number is: names and indexes, separated by dots")]
    ratio: Annotated[bool, about("true: the number is not divided among the instances, such as an age")] = False

    def __repr__(self) -> str:
        return f"HttpSource({masked(self.url)!r}, {self.json!r})"


class PrometheusSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sample of a page in Prometheus's text format."""

    url: Annotated[Word, about("http:// or https://; `$NAME` is replaced by the variable")]
    metric: Annotated[Word, about('`name` or `name{label="value"}`; samples that match are added')]
    ratio: Annotated[bool, about("true: the number is not divided among the instances, such as an age")] = False

    def __repr__(self) -> str:
        return f"PrometheusSource({masked(self.url)!r}, {self.metric!r})"


class Metric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric: exactly one kind, and its target."""

    target: Annotated[Positive | UnsetType, about("How much of it each instance should have")] = UNSET
    timeout: Annotated[Duration, about("Most seconds that a reading takes")] = 5.0
    cpu: Annotated[
        Positive | UnsetType,
        about("CPU time of all processes of an instance, as a share of one core; the number is the target"),
    ] = UNSET
    queue: Annotated[RedisSource | UnsetType, about("Number of items in redis that wait or are being worked on")] = (
        UNSET
    )
    latency: Annotated[RedisSource | UnsetType, about("Age of the oldest item in redis that waits, in seconds")] = UNSET
    haproxy: Annotated[HaproxySource | UnsetType, about("A number of a backend of HAProxy")] = UNSET
    http: Annotated[HttpSource | UnsetType, about("A number in a JSON document")] = UNSET
    prometheus: Annotated[PrometheusSource | UnsetType, about("A sample in Prometheus's text format")] = UNSET
    command: Annotated[
        Word | UnsetType,
        about("A command that prints a number, in the environment that procman was started in: without `.env`"),
    ] = UNSET


class Movement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast the count may change in one direction: by the larger of the two in a period."""

    percent: Annotated[Percent | UnsetType, about("Largest change in a period, in percent of the count")] = UNSET
    count: Annotated[Capacity | UnsetType, about("Largest change in a period, in instances")] = UNSET
    period: Annotated[Interval | UnsetType, about("Seconds of a period")] = UNSET
    window: Annotated[
        Duration | UnsetType, about("Seconds. The most cautious of all counts computed in that time is used")
    ] = UNSET


class Schedule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds from a time of the calendar on, until the next entry's time, or for a while."""

    cron: Annotated[Word, about("Five fields: minute, hour, day, month, day of the week")]
    min: Annotated[Capacity | UnsetType, about("Fewest instances")] = UNSET
    max: Annotated[Capacity | UnsetType, about("Most instances")] = UNSET
    seconds: Annotated[Interval | UnsetType, about("Seconds that the entry is in force")] = UNSET
    timezone: Annotated[Word | UnsetType, about("Such as Europe/Berlin; default: that of the machine")] = UNSET


class Autoscale(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the count of a type follows demand."""

    min: Annotated[Capacity, about("Fewest instances; 0 needs a metric that can be read while none runs")] = 1
    max: Annotated[Capacity, about("Most instances")]
    metrics: Annotated[tuple[Metric, ...], about("Each metric asks for a count; the largest is used")] = ()
    every: Annotated[Interval, about("Seconds between two polls")] = 15.0
    tolerance: Annotated[
        float, Meta(ge=0, lt=1, description="A difference up to this share of the target changes nothing")
    ] = 0.1
    up: Annotated[Movement, about("How fast the count goes up")] = Movement()
    down: Annotated[Movement, about("How fast the count goes down")] = Movement()
    young: Annotated[Duration | UnsetType, about("Seconds that an instance must be ready before its load counts")] = (
        UNSET
    )
    idle: Annotated[Duration, about("With `min: 0`: seconds without demand before the last instance is stopped")] = (
        300.0
    )
    fallback: Annotated[
        Capacity | UnsetType, about("The count that a metric asks for after three failed readings in a row")
    ] = UNSET
    schedule: Annotated[tuple[Schedule, ...], about("Other bounds at times of the calendar")] = ()


KINDS: tuple[str, ...] = ("cpu", "queue", "latency", "haproxy", "http", "prometheus", "command")

LAYOUTS: tuple[str, ...] = ("list", "stream", "sorted_set", "celery", "rq", "sidekiq", "arq", "dramatiq")

WITHOUT_AGE = ("list", "celery")
"""Sources whose items have no time, so that the age of the oldest cannot be read."""


def short(text: str) -> Autoscale:
    """`1..8`: between these bounds by CPU, at 70 % of a core. Raises ValueError for anything else."""
    low, dots, high = text.partition("..")
    if not dots or not (low.isascii() and low.isdigit() and high.isascii() and high.isdigit()):
        raise ValueError("expected MIN..MAX or a mapping")
    return msgspec.convert({"min": int(low), "max": int(high), "metrics": [{"cpu": 0.7}]}, Autoscale)


def kind_of(metric: Metric) -> str | None:
    """The one kind that is given, None if there is none or several."""
    given = [kind for kind in KINDS if getattr(metric, kind) is not UNSET]
    return given[0] if len(given) == 1 else None


def sources_of(source: RedisSource) -> list[str]:
    return [layout for layout in LAYOUTS if getattr(source, layout) is not UNSET]


def settings_of(value: str | Autoscale) -> Autoscale:
    """The section in procman.yml as one value. Raises ValueError for a text that is not of the short form."""
    return short(value) if isinstance(value, str) else value


def faults_of(settings: Autoscale) -> list[tuple[str, str]]:
    """What does not go together: where, below `autoscale`, and what is wrong, as a message continues after the path."""
    faults = []
    if settings.min > settings.max:
        faults.append(("min", f"cannot be more than max ({settings.max})"))
    for number, metric in enumerate(settings.metrics):
        faults += [(f"metrics[{number}]{where}", what) for where, what in _metric_faults(metric)]
    if settings.min == 0 and not faults and not any(rule.wakes for rule in rules_of(settings)):
        faults.append(("min", "cannot be 0 without a metric that can be read while nothing runs, as `queue`"))
    for number, entry in enumerate(settings.schedule):
        if entry.min is UNSET and entry.max is UNSET:
            faults.append((f"schedule[{number}]", "cannot be used without min or max"))
    return faults


def _metric_faults(metric: Metric) -> list[tuple[str, str]]:
    kind = kind_of(metric)
    if kind is None:
        return [("", f"expected exactly one of {', '.join(KINDS)}")]
    if kind == "cpu":
        return [] if metric.target is UNSET else [(".target", "cannot be used beside `cpu`, whose value is the target")]
    faults = [] if metric.target is not UNSET else [("", "expected a target")]
    for source in (metric.queue, metric.latency):
        if not isinstance(source, RedisSource):
            continue
        given = sources_of(source)
        if len(given) != 1:
            faults.append((f".{kind}", f"expected exactly one of {', '.join(LAYOUTS)}"))
        elif kind == "latency" and given[0] in WITHOUT_AGE:
            faults.append((f".{kind}.{given[0]}", "cannot read an age: its items have no time"))
        if source.group is not UNSET and source.stream is UNSET:
            faults.append((f".{kind}.group", "cannot be used without `stream`"))
        if source.unacked is not UNSET and (kind == "latency" or given != ["list"]):
            faults.append((f".{kind}.unacked", "cannot be used without `list`"))
    return faults


CHEAP = frozenset({"queue", "latency", "haproxy"})
"""Kinds that are read without any work of the application's: a page or a command may be anything."""


def rules_of(settings: Autoscale) -> tuple[MetricRule, ...]:
    """The metrics as the rule sees them, each with a name of its own. For settings without faults."""
    rules: list[MetricRule] = []
    for metric in settings.metrics:
        name = label_of(metric)
        same = sum(rule.name.partition(" #")[0] == name for rule in rules)
        target = metric.cpu if metric.target is UNSET else metric.target
        assert not isinstance(target, UnsetType)
        measure = _measure(metric)
        rules.append(
            MetricRule(
                name=f"{name} #{same + 1}" if same else name,
                measure=measure,
                target=target,
                wakes=measure is not Measure.EACH,
                cheap=kind_of(metric) in CHEAP,
            )
        )
    return tuple(rules)


def label_of(metric: Metric) -> str:
    """The name for people: `cpu`, `queue default`, `http jobs.waiting`."""
    kind = str(kind_of(metric))
    match getattr(metric, kind):
        case RedisSource() as source:
            return f"{kind} {getattr(source, sources_of(source)[0])}"
        case HaproxySource(backend=backend, of=of):
            return f"{kind} {backend} {of.value}"
        case HttpSource(json=what) | PrometheusSource(metric=what):
            return f"{kind} {what}"
        case _:
            return kind


def _measure(metric: Metric) -> Measure:
    match str(kind_of(metric)):
        case "cpu":
            return Measure.EACH
        case "latency":
            return Measure.RATIO
        case kind:
            return Measure.RATIO if getattr(getattr(metric, kind), "ratio", False) else Measure.TOTAL


def addresses_of(settings: Autoscale) -> list[str]:
    """Every address in its metrics, as it is written."""
    found = []
    for metric in settings.metrics:
        for source in (metric.queue, metric.latency, metric.http, metric.prometheus):
            if isinstance(source, RedisSource):
                found.append(source.redis)
            elif isinstance(source, HttpSource | PrometheusSource):
                found.append(source.url)
    return found


def with_variables(settings: Autoscale, environ: dict[str, str]) -> Autoscale:
    """The settings with `$NAME` in addresses replaced. Raises KeyError for a name that is not set."""
    return replace(settings, metrics=tuple(_filled(metric, environ) for metric in settings.metrics))


def _filled(metric: Metric, environ: dict[str, str]) -> Metric:
    for kind in ("queue", "latency", "http", "prometheus"):
        source = getattr(metric, kind)
        if isinstance(source, RedisSource):
            return replace(metric, **{kind: replace(source, redis=expanded(source.redis, environ))})
        if isinstance(source, HttpSource | PrometheusSource):
            return replace(metric, **{kind: replace(source, url=expanded(source.url, environ))})
    return metric


def rule_of(settings: Autoscale) -> ScalingRule:
    """The rule that core/autoscale.py follows. For settings without faults."""
    default = ScalingRule(max=settings.max, metrics=())
    return ScalingRule(
        min=settings.min,
        max=settings.max,
        metrics=rules_of(settings),
        every=settings.every,
        tolerance=settings.tolerance,
        up=_pace(settings.up, default.up),
        down=_pace(settings.down, default.down),
        young=default.young if settings.young is UNSET else settings.young,
        idle=settings.idle,
        fallback=None if settings.fallback is UNSET else settings.fallback,
    )


def _pace(given: Movement, default: Pace) -> Pace:
    values = {key: value for key, value in asdict(given).items() if value is not UNSET}
    if "percent" in values or "count" in values:
        default = replace(default, percent=None, count=None)
    return replace(default, **values)
