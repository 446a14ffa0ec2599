"""Turns the settings of a type into what the loop needs: the rule, the gauges, the schedule."""

from __future__ import annotations

from functools import partial

from procman.companions.autoscaler.loop import ScaledType
from procman.companions.autoscaler.metrics.cpu import CpuGauge
from procman.companions.autoscaler.metrics.registry import gauge_of
from procman.companions.autoscaler.readings import MetricReader
from procman.core.autoscale_settings import Autoscale, rule_of, with_variables
from procman.core.demand import Bounds
from procman.errors import ConfigError
from procman.extras import how_to_install


def scaled(settings: Autoscale, environ: dict[str, str]) -> ScaledType:
    """For settings that `faults_of` has accepted. `environ` is the environment of the type's instances. Raises
    ConfigError for what cannot be used all the same.
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
        return ScaledType(rule, readers, _no_window, samplers)
    try:
        from procman.companions.autoscaler import calendar  # noqa: PLC0415  an extra, only needed with a schedule
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "procman"):
            raise
        message = f"cannot follow the schedule: the Python package {package} is not installed"
        raise ConfigError(message, f"`{how_to_install(package)}` installs it") from None
    faults = calendar.check_schedule(settings.schedule)
    if faults:
        number, what = faults[0]
        raise ConfigError(f"cannot follow the schedule: schedule[{number}]: {what}")
    return ScaledType(rule, readers, partial(calendar.window_at, settings.schedule), samplers)


def _no_window(now: object) -> Bounds | None:
    del now
    return None
