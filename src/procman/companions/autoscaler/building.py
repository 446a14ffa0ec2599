"""Turns the settings of a type into what the loop needs: the rule, the gauges, the schedule.

The module of a gauge is imported when a metric of its kind is used, so that the redis package is only needed for redis.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from procman.companions.autoscaler.loop import ScaledType
from procman.companions.autoscaler.metrics.cpu import CpuGauge
from procman.companions.autoscaler.readings import MetricReader
from procman.companions.program import needing
from procman.core.autoscale_settings import Autoscale, Metric, kind_of, rule_of, with_variables
from procman.errors import ConfigError

if TYPE_CHECKING:
    from procman.companions.autoscaler.metrics import Gauge

KINDS = {
    "cpu": ("cpu", "CpuGauge"),
    "queue": ("redis_queues", "QueueGauge"),
    "latency": ("redis_queues", "LatencyGauge"),
    "haproxy": ("haproxy", "HaproxyGauge"),
    "http": ("web", "HttpGauge"),
    "prometheus": ("web", "PrometheusGauge"),
    "command": ("command", "CommandGauge"),
}
"""The module and the class of the gauge of each kind, which is made from the settings and a timeout; `cpu` has neither."""


def scaled(settings: Autoscale, environ: dict[str, str]) -> ScaledType:
    """The type to scale, for settings that `faults_of` has accepted. `environ` is the environment of the type's
    instances. Raises ConfigError for what cannot be used all the same.
    """
    try:
        settings = with_variables(settings, environ)
    except KeyError as error:
        raise ConfigError(f"cannot read a metric: the variable {error.args[0]} is not set") from None
    rule = rule_of(settings)
    gauges = [gauge_of(wanted) for wanted in settings.metrics]
    readers = tuple(
        MetricReader(metric.name, gauge, wanted.timeout)
        for metric, gauge, wanted in zip(rule.metrics, gauges, settings.metrics, strict=True)
    )
    samplers = tuple(gauge.sample for gauge in gauges if isinstance(gauge, CpuGauge))
    if not settings.schedule:
        return ScaledType(rule, readers, lambda _now: None, samplers)
    with needing("follow the schedule"):
        from procman.companions.autoscaler import calendar  # noqa: PLC0415  an extra, only needed with a schedule
    calendar.check_schedule(settings.schedule)
    return ScaledType(rule, readers, partial(calendar.window_at, settings.schedule), samplers)


def gauge_of(metric: Metric) -> Gauge:
    """The gauge of a metric. Raises ConfigError for an invalid address or selector, and for a missing package."""
    kind = kind_of(metric)
    assert kind is not None
    module, name = KINDS[kind]
    with needing(f"read the metric {kind}"):
        make = getattr(import_module(f"procman.companions.autoscaler.metrics.{module}"), name)
    try:
        gauge: Gauge = make() if kind == "cpu" else make(getattr(metric, kind), metric.timeout)
    except ValueError as error:
        raise ConfigError(f"cannot read the metric {kind}: {error}") from None
    return gauge
