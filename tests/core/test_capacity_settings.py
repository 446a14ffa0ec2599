"""The keys of `autoscale:` and `balancer:`: their limits, short forms, and what does not fit together."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from procman.core import autoscale_settings, balancer_settings
from procman.core.autoscale_settings import Autoscale, RedisSource, rule_of
from procman.core.balancer_settings import Balancer
from procman.core.demand import Measure, Pace

QUEUE = {"queue": {"redis": "redis://:geheim@host/0", "celery": "celery"}, "target": 10}
LATENCY = {"latency": {"redis": "redis://host/0", "rq": "default"}, "target": 30}


def autoscale(**values):
    return msgspec.convert({"max": 8, **values}, Autoscale)


def faults(**values):
    return [where for where, _ in autoscale_settings.faults_of(autoscale(**values))]


def test_bounds_alone_scale_by_cpu():
    settings = autoscale_settings.short("1..8")
    assert (settings.min, settings.max) == (1, 8)
    assert autoscale_settings.faults_of(settings) == []
    (metric,) = rule_of(settings).metrics
    assert (metric.name, metric.measure, metric.target, metric.wakes) == ("cpu", Measure.EACH, 0.7, False)


@pytest.mark.parametrize("text", ["", "8", "1..", "..8", "1...8", "a..b", "-1..8", "1..8..9"])
def test_what_are_no_bounds(text):
    with pytest.raises(ValueError, match="expected"):
        autoscale_settings.short(text)


def test_metrics_have_names_of_their_own():
    settings = autoscale(metrics=[{"cpu": 0.7}, QUEUE, QUEUE, LATENCY, {"command": "./depth", "target": 3}])
    names = [metric.name for metric in rule_of(settings).metrics]
    assert names == ["cpu", "queue celery", "queue celery #2", "latency default", "command"]


def test_what_adds_up_is_a_total_and_an_age_is_none():
    http = {"url": "http://h/", "json": "a.b"}
    settings = autoscale(
        metrics=[QUEUE, LATENCY, {"http": http, "target": 1}, {"http": {**http, "ratio": True}, "target": 1}]
    )
    measures = [metric.measure for metric in rule_of(settings).metrics]
    assert measures == [Measure.TOTAL, Measure.RATIO, Measure.TOTAL, Measure.RATIO]


def test_the_defaults_are_those_of_the_horizontal_pod_autoscaler():
    rule = rule_of(autoscale(metrics=[QUEUE]))
    assert (rule.every, rule.tolerance) == (15, 0.1)
    assert rule.up == Pace(percent=100, count=4, period=15, window=0)
    assert rule.down == Pace(window=300)


def test_a_limit_that_is_given_replaces_both():
    rule = rule_of(autoscale(metrics=[QUEUE], up={"count": 1}, down={"percent": 10, "period": 60}))
    assert rule.up == Pace(count=1)
    assert rule.down == Pace(percent=10, period=60, window=300)


FAULTS = {
    "a minimum above the maximum": ({"min": 9, "metrics": [QUEUE]}, ["min"]),
    "zero without what wakes": ({"min": 0, "metrics": [{"cpu": 0.7}]}, ["min"]),
    "zero with a queue": ({"min": 0, "metrics": [QUEUE]}, []),
    "no kind": ({"metrics": [{"target": 5}]}, ["metrics[0]"]),
    "two kinds": ({"metrics": [{**QUEUE, "command": "x"}]}, ["metrics[0]"]),
    "no target": ({"metrics": [{"command": "x"}]}, ["metrics[0]"]),
    "cpu with a second target": ({"metrics": [{"cpu": 0.7, "target": 5}]}, ["metrics[0].target"]),
    "a queue of nothing": ({"metrics": [{"queue": {"redis": "redis://h"}, "target": 5}]}, ["metrics[0].queue"]),
    "an age without a time": (
        {"metrics": [{"latency": {"redis": "redis://h", "celery": "c"}, "target": 5}]},
        ["metrics[0].latency.celery"],
    ),
    "a group without a stream": (
        {"metrics": [{"queue": {"redis": "redis://h", "list": "c", "group": "g"}, "target": 5}]},
        ["metrics[0].queue.group"],
    ),
    "unacked of what knows its own": (
        {"metrics": [{"queue": {"redis": "redis://h", "rq": "c", "unacked": "u"}, "target": 5}]},
        ["metrics[0].queue.unacked"],
    ),
    "a schedule of nothing": ({"schedule": [{"cron": "0 8 * * *"}]}, ["schedule[0]"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_does_not_fit_together_is_named(name):
    values, where = FAULTS[name]
    assert faults(**values) == where


@pytest.mark.parametrize(
    "values",
    [{"max": -1}, {"max": 1001}, {"tolerance": 1}, {"every": 0}, {"metrics": [{"cpu": 0}]}, {"none": 1}, {"idle": -1}],
)
def test_limits_hold(values):
    with pytest.raises(msgspec.ValidationError):
        autoscale(**values)


def test_no_repr_shows_a_password():
    settings = autoscale(metrics=[QUEUE, {"http": {"url": "http://u:geheim@h/?t=geheim", "json": "a"}, "target": 1}])
    assert "geheim" not in repr(settings)
    assert "geheim" not in str(RedisSource(redis="redis://:geheim@h:x/0", list="a"))


def test_settings_go_to_the_companion_and_back_as_json():
    settings = autoscale(metrics=[QUEUE, {"cpu": 0.7}], schedule=[{"cron": "0 8 * * *", "min": 2}])
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Autoscale) == settings


def test_variables_are_put_into_addresses_only():
    http = {"url": "http://$HOST/", "json": "$a"}
    settings = autoscale(
        metrics=[
            {"queue": {"redis": "${REDIS}", "list": "$list"}, "target": 1},
            {"http": http, "target": 1},
            {"prometheus": {"url": "$HOST", "metric": "a"}, "target": 1},
            {"command": "echo $HOST", "target": 1},
            {"cpu": 0.7},
        ]
    )
    queue, page, prometheus, command, cpu = autoscale_settings.with_variables(
        settings, {"REDIS": "redis://:a@h/0", "HOST": "host"}
    ).metrics
    assert (queue.queue.redis, queue.queue.list) == ("redis://:a@h/0", "$list")
    assert (page.http.url, page.http.json, prometheus.prometheus.url) == ("http://host/", "$a", "host")
    assert (command.command, cpu.cpu) == ("echo $HOST", 0.7)


# ---- balancer

HAPROXY = {"socket": "run/haproxy.sock"}

BALANCER_FAULTS = {
    "haproxy by its socket": ({"haproxy": HAPROXY}, []),
    "haproxy by agent checks": ({"haproxy": {"agent": "127.0.0.1:9000"}}, []),
    "neither socket nor agent": ({"haproxy": {}}, ["haproxy"]),
    "both": ({"haproxy": {**HAPROXY, "agent": "127.0.0.1:9000"}}, ["haproxy"]),
    "no place": ({"haproxy": {"agent": "9000"}}, ["haproxy.agent"]),
    "a name that is none": ({"haproxy": {**HAPROXY, "backend": "a b; del server x/y"}}, ["haproxy.backend"]),
    "options of two lines": ({"haproxy": {**HAPROXY, "options": "check\nshutdown"}}, ["haproxy.options"]),
    "a file": ({"file": "a", "template": "b", "reload": "c"}, []),
    "a file that is read by itself": ({"file": "a", "template": "b"}, []),
    "a file of nothing": ({"file": "a"}, [""]),
    "nothing": ({}, [""]),
    "two": ({"haproxy": HAPROXY, "file": "a", "template": "b"}, [""]),
}


@pytest.mark.parametrize("name", BALANCER_FAULTS)
def test_what_does_not_fit_together_in_a_balancer_is_named(name):
    values, where = BALANCER_FAULTS[name]
    settings = msgspec.convert(values, Balancer)
    assert [at for at, _ in balancer_settings.faults_of(settings)] == where


def test_a_socket_alone_is_haproxys():
    settings = balancer_settings.short("run/haproxy.sock")
    assert settings.haproxy.socket == "run/haproxy.sock"
    assert balancer_settings.faults_of(settings) == []
    with pytest.raises(ValueError, match="expected"):
        balancer_settings.short("")


@pytest.mark.parametrize(
    ("text", "place"),
    [("127.0.0.1:9000", ("127.0.0.1", 9000)), ("[::1]:1", ("::1", 1)), ("h:0", None), ("h:65536", None), (":1", None)],
)
def test_a_place(text, place):
    assert balancer_settings.host_and_port(text) == place


@pytest.mark.parametrize("settings", [Autoscale, Balancer])
def test_every_key_is_described(settings):
    _, components = msgspec.json.schema_components([settings])
    for name, component in components.items():
        for key, schema in component.get("properties", {}).items():
            text = str(schema)
            assert "description" in text or "$ref" in text, f"{name}.{key}"


# ---- the pages that explain them

PAGES = sorted((Path(__file__).parents[2] / "docs" / "how-to").glob("*ing.md"))
SHOWN = [block for page in PAGES for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]


@pytest.mark.parametrize("text", SHOWN)
def test_settings_that_are_shown_can_be_used(text):
    for process in yaml.safe_load(text).get("processes", {}).values():
        if "autoscale" in process:
            value = process["autoscale"]
            settings = autoscale_settings.short(value) if isinstance(value, str) else msgspec.convert(value, Autoscale)
            assert autoscale_settings.faults_of(settings) == []
        if "balancer" in process:
            assert balancer_settings.faults_of(msgspec.convert(process["balancer"], Balancer)) == []


def test_settings_are_shown():
    assert len(SHOWN) >= 6
