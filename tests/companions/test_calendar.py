"""The schedule: which bounds hold at a time of the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("cronsim")

from procman.companions.autoscaler.calendar import check_schedule, window_at
from procman.core.autoscale_settings import Schedule
from procman.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")
DAY = Schedule(cron="0 8 * * 1-5", min=4, timezone="Europe/Berlin")
NIGHT = Schedule(cron="0 20 * * *", min=1, max=2, timezone="Europe/Berlin")


def at(text, zone=BERLIN):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("moment", "low", "high"),
    [
        ("2026-11-27T07:59:59", 1, 2),  # a Friday
        ("2026-11-27T08:00:00", 4, None),
        ("2026-11-27T08:00:00.999", 4, None),
        ("2026-11-27T19:59:59", 4, None),
        ("2026-11-27T20:00:00", 1, 2),
        ("2026-11-28T12:00:00", 1, 2),  # Saturday: the evening before still holds
        ("2026-11-30T08:00:01", 4, None),
    ],
)
def test_the_entry_whose_time_came_last_holds(moment, low, high):
    window = window_at((DAY, NIGHT), at(moment))
    assert (window.min, window.max) == (low, high)


def test_an_entry_holds_for_as_long_as_it_says():
    noon = Schedule(cron="0 12 * * *", min=9, seconds=3600, timezone="Europe/Berlin")
    assert window_at((noon,), at("2026-11-27T12:59:59")).min == 9
    assert window_at((noon,), at("2026-11-27T13:00:00")) is None


def test_without_a_schedule_there_is_no_window():
    assert window_at((), at("2026-11-27T12:00:00")) is None


@pytest.mark.parametrize("moment", ["2026-03-29T08:30:00", "2026-10-25T08:30:00"])
def test_a_change_of_the_clock_moves_nothing(moment):
    every_day = Schedule(cron="0 8 * * *", min=4, seconds=3600, timezone="Europe/Berlin")
    assert window_at((every_day,), at(moment)).min == 4
    assert window_at((every_day,), at(moment).astimezone(ZoneInfo("America/New_York"))).min == 4


@pytest.mark.parametrize(
    ("moment", "low"),
    [
        ("2026-03-29T00:50:00+00:00", 1),
        ("2026-03-29T01:00:00+00:00", 2),  # 3:00; there is no 2:15 on this day
        ("2026-03-29T12:00:00+00:00", 2),
        ("2026-10-25T00:10:00+00:00", 1),
        ("2026-10-25T00:15:00+00:00", 2),  # 2:15
        ("2026-10-25T01:05:00+00:00", 2),  # 2:05 again
    ],
)
@pytest.mark.parametrize("machines", [True, False])
def test_a_time_in_the_hour_that_is_skipped_or_repeated_comes_once(monkeypatch, machines, moment, low):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    more = {} if machines else {"timezone": "Europe/Berlin"}
    entries = (Schedule(cron="45 1 * * *", min=1, **more), Schedule(cron="15 2 * * *", min=2, **more))
    assert window_at(entries, datetime.fromisoformat(moment)).min == low


def test_every_hour_comes_in_a_repeated_hour_again(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    hourly = Schedule(cron="0 * * * *", min=3, seconds=600)
    assert window_at((hourly,), datetime.fromisoformat("2026-10-25T00:05:00+00:00")).min == 3
    assert window_at((hourly,), datetime.fromisoformat("2026-10-25T01:05:00+00:00")).min == 3


@pytest.mark.parametrize("days", [-400, -1, 1, 400])
def test_a_clock_that_is_set_moves_to_the_window_of_its_new_time(days):
    noon, night = (Schedule(cron=f"0 {h} * * *", min=n, timezone="Europe/Berlin") for h, n in ((12, 9), (20, 1)))
    there = at("2026-11-27T13:00:00") + timedelta(days=days)
    assert window_at((noon, night), there).min == 9


@pytest.mark.parametrize("zone", ["CET-1CEST", ":Nowhere/Land", "/etc/passwd"])
def test_a_machine_whose_zone_has_no_known_rules_has_a_window_all_the_same(monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    assert window_at((Schedule(cron="* * * * *", min=2),), datetime.now(UTC)).min == 2


def test_a_zone_of_its_own_is_told_from_the_machines(monkeypatch):
    local = Schedule(cron="0 8 * * *", min=4, seconds=60)
    now = datetime.fromisoformat("2026-11-27T08:00:30").astimezone()
    assert window_at((local,), now).min == 4


@pytest.mark.parametrize(
    ("cron", "zone"),
    [("0 8 * *", None), ("x", None), ("61 * * * *", None), ("0 0 30 2 *", None), ("0 8 * * *", "Nowhere/Land")],
)
def test_an_entry_that_names_no_time_is_refused(cron, zone):
    more = {"timezone": zone} if zone else {}
    with pytest.raises(ConfigError, match=r"schedule\[1\]: cannot (use|find)"):
        check_schedule((DAY, Schedule(cron=cron, min=1, **more)))
