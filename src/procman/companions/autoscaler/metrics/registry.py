"""The registry of kinds: a row has the settings of a kind and its gauge.

A module is imported when a metric of its kind is used, so that the redis package is only needed for redis.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct

from procman.core.autoscale_settings import Metric, kind_of
from procman.errors import ConfigError
from procman.extras import how_to_install

if TYPE_CHECKING:
    from procman.companions.autoscaler.metrics import Gauge

_HERE = "procman.companions.autoscaler.metrics"


class MetricKind(Struct, frozen=True):
    """`module` has a class `gauge`, made from the settings and a timeout; `plain`: from nothing. `extra`: what pip
    installs for it.
    """

    module: str
    gauge: str
    plain: bool = False
    extra: str = ""


KINDS: dict[str, MetricKind] = {
    "cpu": MetricKind("cpu", "CpuGauge", plain=True),
    "queue": MetricKind("redis_queues", "QueueGauge", extra="autoscale"),
    "latency": MetricKind("redis_queues", "LatencyGauge", extra="autoscale"),
    "haproxy": MetricKind("haproxy", "HaproxyGauge"),
    "http": MetricKind("web", "HttpGauge"),
    "prometheus": MetricKind("web", "PrometheusGauge"),
    "command": MetricKind("command", "CommandGauge"),
}


def gauge_of(metric: Metric) -> Gauge:
    """The gauge of a metric. Raises ConfigError for an invalid address or selector, and for a missing package."""
    name = kind_of(metric)
    assert name is not None
    kind = KINDS[name]
    try:
        make = getattr(importlib.import_module(f"{_HERE}.{kind.module}"), kind.gauge)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not kind.extra or package in ("", "procman"):
            raise
        message = f"cannot read the metric {name}: the Python package {package} is not installed"
        raise ConfigError(message, f"`{how_to_install(package)}` installs it") from None
    settings = getattr(metric, name)
    assert settings is not UNSET
    try:
        gauge: Gauge = make() if kind.plain else make(settings, metric.timeout)
    except ValueError as error:
        raise ConfigError(f"cannot read the metric {name}: {error}") from None
    return gauge
