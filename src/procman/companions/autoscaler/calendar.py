"""The schedule: which bounds hold at a time of the calendar. Cron expressions are cronsim's, which are those of
Debian's cron.

cronsim is maintained (releases through 2026, used by Home Assistant and Healthchecks) and can search backwards. The
author of croniter, the other parser, gave it up in 2024, and it has changed hands since.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from msgspec import UNSET

from procman.core.demand import Bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procman.core.autoscale_settings import Schedule


def check_schedule(schedule: Sequence[Schedule]) -> list[tuple[int, str]]:
    """Entries that cannot be used, by number, and why."""
    faults = []
    for number, entry in enumerate(schedule):
        try:
            _last(entry, datetime(2000, 1, 1, tzinfo=_zone(entry)))
        except (CronSimError, StopIteration) as error:
            faults.append((number, f"cannot use {entry.cron!r}: {str(error).lower() or 'it names no time'}"))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            faults.append((number, f"cannot find the timezone {entry.timezone!r}"))
    return faults


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
    zone = _zone(entry)
    return now.astimezone(zone) if zone else now.astimezone().replace(tzinfo=None)


def _last(entry: Schedule, local: datetime) -> datetime:
    """The latest time of the entry that is not after `local`. Raises CronSimError, or StopIteration where there is
    none.
    """
    return next(CronSim(entry.cron, local + timedelta(seconds=1), reverse=True))
