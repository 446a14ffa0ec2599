"""What `procman autoscale` shows."""

from __future__ import annotations

from msgspec.structs import replace

from procman.cli.show.autoscale import COUNT, MINUTES, chart, in_words, table
from procman.companions.autoscaler.store import Point, TypeStatus
from procman.core.autoscale import decide
from procman.core.demand import (
    Decided,
    Measure,
    MetricReading,
    MetricRule,
    Observation,
    Replica,
    ReplicaState,
    Scaler,
    ScalingRule,
)

RULE = ScalingRule(
    max=8,
    metrics=(
        MetricRule(name="cpu", measure=Measure.EACH, target=0.7),
        MetricRule(name="queue mail", measure=Measure.TOTAL, target=10, wakes=True),
    ),
)
NOW = 10_000.0


def status_of(count, value, error=""):
    replicas = tuple(Replica(name=f"web.{n}", state=ReplicaState.READY, ready_for=99) for n in range(count))
    readings = (
        MetricReading(metric="cpu", values=dict.fromkeys((m.name for m in replicas), 0.7)),
        MetricReading(metric="queue mail", value=None if error else value, error=error),
    )
    seen = Observation(count=count, replicas=replicas, readings=readings)
    _, decision = decide(RULE, Scaler(), seen, 0.0)
    decided = Decided(type="web", at=0.0, rule=RULE, state=Scaler(), seen=seen, decision=decision)
    return TypeStatus(at=NOW, ready=count, decided=decided)


def test_readings_proposals_the_decision_and_the_next_poll():
    assert table({"web": status_of(2, 60)}, NOW + 3) == [
        "TYPE  COUNT  READY  MIN  MAX  METRIC      PROPOSED  READING",
        "web       6      2    1    8  cpu                2  0.7 on average over 2, target 0.7",
        "                              queue mail         6  60 at 10 per instance",
        "",
        "web 2 -> 6: queue mail asks for 6: 60 at 10 per instance (up); next poll in 12 s",
    ]


def test_why_nothing_is_done():
    lines = table({"web": status_of(4, 60, "connection refused"), "api": status_of(2, 20)}, NOW)
    assert "connection refused" in lines[2]
    assert lines[-2].startswith("web stays at 4: cannot read queue mail: connection refused (unreadable)")
    assert lines[-1] == "api stays at 2: cpu: 0.7 on average over 2, target 0.7; next poll in 15 s"


def test_a_pause_is_named_once():
    paused = replace(status_of(2, 60).decided.seen, paused=True)
    _, decision = decide(RULE, Scaler(), paused, 0.0)
    assert (
        in_words("web", decision)
        == "web stays at 2: paused; would go to 6: queue mail asks for 6: 60 at 10 per instance"
    )


def test_an_autoscaler_that_has_not_polled_for_long():
    assert table({"web": status_of(2, 20)}, NOW + 600)[-1].endswith("polled 10m 0s ago")


def test_without_a_type_that_is_scaled():
    assert table({}, NOW)[0].startswith("no count follows demand")


def test_a_type_without_a_decision_yet():
    assert table({}, NOW, ["job"]) == ["job: no decision yet"]
    assert table({"web": status_of(2, 20)}, NOW, ["job"])[-1] == "job: no decision yet"


def test_the_last_hour_as_a_chart():
    history = [Point(NOW - 60 * age, 1 + (age < 20), 3 if age < 30 else 1) for age in range(59, -1, -1)]
    assert chart("web", history, NOW) == [
        "web, the last hour: count █, proposal ░",
        f"3 │{' ' * 30}{'░' * 30}",
        f"2 │{' ' * 30}{'░' * 10}{'█' * 20}",
        f"1 │{'█' * 60}",
        f"0 └{'─' * 60}",
        f"   -60 min{'now':>53}",
    ]


def test_a_minute_without_a_poll_is_empty_and_what_is_older_is_left_out():
    lines = chart("web", [Point(NOW - 7200, 9, 9), Point(NOW - 1800, 1, None)], NOW)
    assert lines[1].count(COUNT) == 1
    assert not any("9" in line for line in lines)


def test_many_instances_fit_into_eight_rows():
    lines = chart("web", [Point(NOW, 1000, 500)], NOW)
    assert len(lines) == 1 + 8 + 2
    assert all(len(line) <= 6 + MINUTES for line in lines)


def test_nothing_is_known_of_the_last_hour():
    assert chart("web", [], NOW) == ["web: no record of the last hour"]
