"""The schedule: which bounds hold at a time of the calendar. Cron expressions are cronsim's, which are those of
Debian's cron.

cronsim is maintained (releases through 2026, used by Home Assistant and Healthchecks) and can search backwards. The
other parser, croniter, lost its author in 2024.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from msgspec import UNSET

from procman.core.demand import Bounds
from procman.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procman.core.autoscale_settings import Schedule


def check_schedule(schedule: Sequence[Schedule]) -> None:
    """Raises ConfigError for the first entry that cannot be used."""
    for number, entry in enumerate(schedule):
        start = f"cannot follow the schedule: schedule[{number}]: cannot"
        try:
            _last(entry, datetime(2000, 1, 1, tzinfo=_zone(entry)))
        except (CronSimError, StopIteration) as error:
            reason = str(error).lower() or "it names no time"
            raise ConfigError(f"{start} use {entry.cron!r}: {reason}") from None
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(f"{start} find the timezone {entry.timezone!r}") from None


def window_at(schedule: Sequence[Schedule], now: datetime) -> Bounds | None:
    """The bounds of the entry that started last; None before the first one, and once its `seconds` are over.

    `now` has a timezone. An entry without one of its own uses the machine's local time.
    """
    latest: tuple[datetime, Schedule] | None = None
    for entry in schedule:
        began = _last(entry, _local(entry, now)).astimezone(now.tzinfo)
        if latest is None or began >= latest[0]:
            latest = began, entry
    if latest is None:
        return None
    began, entry = latest
    if entry.seconds is not UNSET and now - began >= timedelta(seconds=entry.seconds):
        return None
    return Bounds(
        min=None if entry.min is UNSET else entry.min,
        max=None if entry.max is UNSET else entry.max,
        origin=f"schedule {entry.cron}",
    )


def _zone(entry: Schedule) -> ZoneInfo | None:
    return None if entry.timezone is UNSET else ZoneInfo(entry.timezone)


def _local(entry: Schedule, now: datetime) -> datetime:
    zone = _zone(entry) or _machines_zone()
    return now.astimezone(zone) if zone else now.astimezone().replace(tzinfo=None)


def _machines_zone() -> ZoneInfo | None:
    """The machine's timezone with its rules, of which datetime only has the present offset. Without the rules, a time
    in an hour that a change of the clock skips would lie before that hour, and a time in a repeated hour would come
    only once. None if the rules are not known, as with TZ=CET-1CEST.
    """
    try:
        name = os.environ.get("TZ", "").removeprefix(":")
        if name:
            return ZoneInfo(name)
        with open("/etc/localtime", "rb") as file:
            return ZoneInfo.from_file(file)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _last(entry: Schedule, local: datetime) -> datetime:
    """The latest time of the entry up to `local`. Raises CronSimError, or StopIteration where there is none."""
    found = next(CronSim(entry.cron, _second_after(local), reverse=True))
    if not local.fold or local.tzinfo is None:
        return found
    # An hour that is repeated. A time of the day comes in its first pass, which cronsim, that compares clock readings, takes
    # for later than a reading in the second pass.
    first = next(CronSim(entry.cron, _end_of_repetition(local), reverse=True))
    instants = [one for one in (found, first) if one.astimezone(UTC) <= local.astimezone(UTC)]
    return max(instants, key=lambda one: one.astimezone(UTC))


def _second_after(local: datetime) -> datetime:
    """A second later; datetime's own arithmetic leads from the second pass of a repeated hour into the first."""
    if local.tzinfo is None:
        return local + timedelta(seconds=1)
    return (local.astimezone(UTC) + timedelta(seconds=1)).astimezone(local.tzinfo)


def _end_of_repetition(local: datetime) -> datetime:
    """The first minute after a repeated hour, which the clock shows only once."""
    minute = local.replace(second=0, microsecond=0, fold=0)
    while minute.utcoffset() != minute.replace(fold=1).utcoffset():
        minute += timedelta(minutes=1)
    return minute
