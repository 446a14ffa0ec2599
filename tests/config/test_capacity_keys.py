"""Keys of readiness, order, replacing, sockets and groups: how they are written, and what is refused, with its line."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import jsonschema
import msgspec
import pytest
import yaml
from folders import SCHEMA, faults_of, write

from procman.config import policies
from procman.config.load import Options, load
from procman.config.sections import ReadySection
from procman.core.policies import (
    Dependency,
    Drain,
    ExecProbe,
    FileProbe,
    Group,
    Health,
    HttpProbe,
    ListenSocket,
    LogProbe,
    NotifyProbe,
    OnUnhealthy,
    Probe,
    Readiness,
    Recycle,
    Rolling,
    Strategy,
    TcpProbe,
    Until,
)


def plan_of(folder, text):
    write(folder, yml=text)
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(yaml.safe_load(text))
    return load(Options(), {})


def web(folder, keys):
    return plan_of(folder, f"processes:\n  web: {{{keys}}}\n").types["web"]


@pytest.mark.parametrize(
    ("written", "probe"),
    [
        ("tcp", TcpProbe()),
        ("{tcp: true}", TcpProbe()),
        ("{tcp: 6379}", TcpProbe(6379)),
        ("notify", NotifyProbe()),
        ("{notify: true}", NotifyProbe()),
        ("{http: /health}", HttpProbe("/health")),
        ("{http: 'https://[::1]:1/x', status: 204}", HttpProbe("https://[::1]:1/x", (204,))),
        ("{http: /, status: [200, 401]}", HttpProbe("/", (200, 401))),
        ("{log: 'listening on \\d+'}", LogProbe("listening on \\d+")),
        ("{exec: 'pg_isready -q'}", ExecProbe("pg_isready -q")),
        ("{file: tmp/ready}", FileProbe("tmp/ready")),
    ],
)
def test_each_probe_can_be_written(folder, written, probe):
    spec = web(folder, f"ready: {written}, health: {written}")
    assert (spec.ready, spec.health) == (Readiness(probe=probe), Health(probe=probe))


@pytest.mark.parametrize("kind", get_args(Probe), ids=lambda kind: kind.__name__)
def test_every_kind_of_probe_can_be_written(kind):
    """Under its tag, which the mapping of `ready:` has as a key."""
    tag = kind.__struct_config__.tag
    section = msgspec.convert({tag: True if tag in ("tcp", "notify") else "x"}, ReadySection)
    assert isinstance(policies.probe(section), kind)


def test_times_of_probes_may_be_words(folder):
    spec = web(
        folder,
        "ready: {tcp: true, timeout: 5m, interval: 0.5}, "
        "health: {http: /, interval: 1m, timeout: 500ms, failures: 5, on_failure: unready}",
    )
    assert spec.ready == Readiness(probe=TcpProbe(), timeout=300, interval=0.5)
    assert spec.health == Health(
        probe=HttpProbe("/"), interval=60, timeout=0.5, failures=5, on_failure=OnUnhealthy.UNREADY
    )


def test_dependencies_wait_for_ready_or_for_the_end_of_a_one_off(folder):
    assert web(folder, "depends_on: [worker, release]").depends_on == (
        Dependency(type="worker", until=Until.READY),
        Dependency(type="release", until=Until.DONE),
    )


def test_dependencies_can_be_written_in_full(folder):
    spec = web(folder, "depends_on: {worker: started, release: {until: done, instances: all, restart: true}}")
    assert spec.depends_on == (
        Dependency(type="worker", until=Until.STARTED),
        Dependency(type="release", until=Until.DONE, every=True, restart=True),
    )


@pytest.mark.parametrize(
    ("written", "rolling"),
    [
        ("{unavailable: 25%}", Rolling(unavailable=0.25)),
        ("{unavailable: 2}", Rolling(unavailable=2)),
        ("{surge: 1}", Rolling(surge=1)),
        ("{unavailable: 100 %, surge: 0}", Rolling(unavailable=1.0)),
    ],
)
def test_how_many_may_be_away_is_a_number_or_a_share(folder, written, rolling):
    assert web(folder, f"rolling: {written}").rolling == rolling


@pytest.mark.parametrize(
    ("keys", "rolling"),
    [
        ("balancer: run/haproxy.sock", Rolling(surge=1)),
        ("balancer: run/haproxy.sock, rolling: {unavailable: 2}", Rolling(unavailable=2, surge=1)),
        ("balancer: run/haproxy.sock, rolling: {surge: 0}", Rolling()),
        ("balancer: run/haproxy.sock, max: 1", None),
        ("ready: tcp", None),
    ],
)
def test_behind_a_balancer_an_extra_instance_is_the_default(folder, keys, rolling):
    assert web(folder, keys).rolling == rolling


@pytest.mark.parametrize(
    ("written", "recycle"),
    [
        ("{age: 12h, memory: 512MB, jitter: 0.2}", Recycle(age=43200, memory=512_000_000, jitter=0.2)),
        ("{age: 90}", Recycle(age=90)),
        ("{memory: 1GiB}", Recycle(memory=2**30)),
        ("{memory: 50M}", Recycle(memory=50 * 2**20)),
        ("{memory: 1.5 kB}", Recycle(memory=1500)),
    ],
)
def test_when_to_recycle_is_a_time_or_a_size(folder, written, recycle):
    assert web(folder, f"recycle: {written}").recycle == recycle


@pytest.mark.parametrize(
    ("written", "drain"),
    [
        ("2.5", Drain(seconds=2.5)),
        ("3s", Drain(seconds=3)),
        ("{seconds: 20, signal: SIGTSTP}", Drain(seconds=20, signal="TSTP")),
        ("{seconds: 1m, exec: 'deregister $PS'}", Drain(seconds=60, command="deregister $PS")),
    ],
)
def test_a_drain_is_a_time_or_a_mapping(folder, written, drain):
    assert web(folder, f"stop: {{drain: {written}}}").stop.drain == drain
    assert plan_of(folder, f"defaults: {{stop: {{drain: {written}}}}}").types["worker"].stop.drain == drain


def test_a_socket_takes_the_place_of_a_port_and_nobody_elses(folder):
    plan = plan_of(folder, "processes: {web: {socket: 'tcp://127.0.0.1:8000'}}")
    assert plan.types["web"].sockets == (ListenSocket("socket", "tcp://127.0.0.1:8000"),)
    assert (plan.types["web"].port, plan.types["worker"].port) == (None, 5100)
    spec = web(folder, "socket: {http: 'tcp://[::]:80', admin: 'unix://run/admin.sock'}")
    assert spec.sockets == (
        ListenSocket("http", "tcp://[::]:80"),
        ListenSocket("admin", f"unix://{folder}/run/admin.sock"),
    )


def test_groups_are_of_the_plan(folder):
    plan = plan_of(folder, "groups: {g: {members: [web, worker], strategy: rest_for_one, intensity: 5, period: 2m}}")
    assert plan.groups == (
        Group(name="g", members=("web", "worker"), strategy=Strategy.REST_FOR_ONE, intensity=5, period=120),
    )


@pytest.mark.parametrize(
    ("keys", "path", "why"),
    [
        ("ready: soon", "ready", "expected one of tcp, notify"),
        ("ready: [tcp]", "ready", "expected tcp or notify or a mapping"),
        ("ready: {}", "ready", "no probe is named"),
        ("ready: {timeout: 5}", "ready", "no probe is named"),
        ("ready: {tcp: true, http: /}", "ready", "cannot use tcp and http at once"),
        ("ready: {tcp: false}", "ready.tcp", "cannot use 'false'"),
        ("ready: {tcp: 70000}", "ready.tcp", "cannot use '70000'"),
        ("ready: {http: health}", "ready.http", "expected a path or a URL"),
        ("ready: {tcp: true, status: 200}", "ready.status", "without 'http'"),
        ("ready: {http: /, status: 42}", "ready.status", "cannot use '42'"),
        ("ready: {log: '('}", "ready.log", "as a regular expression"),
        ("ready: {log: x, timeout: never}", "ready.timeout", "a time such as 90s, 5m or 12h"),
        ("ready: {log: x, failures: 3}", "ready.failures", "cannot use this key"),
        ("health: {http: /, failures: 0}", "health.failures", "cannot use '0'"),
        ("health: {http: /, on_failure: pray}", "health.on_failure", "expected one of restart, unready"),
        ("depends_on: wrker", "depends_on", "expected a list or a mapping"),
        ("depends_on: [wrker]", "depends_on[0]", "did you mean 'worker'?"),
        ("depends_on: [worker, worker]", "depends_on[1]", "twice"),
        ("depends_on: {worker: sometimes}", "depends_on.worker", "expected one of started, ready, done"),
        ("depends_on: [web]", "depends_on", "web waits for web"),
        ("rolling: {unavailable: 25.5%}", "rolling.unavailable", "such as 25%"),
        ("rolling: {unavailable: 0}", "rolling.unavailable", "cannot use '0'"),
        ("rolling: {surge: 2}", "rolling.surge", "cannot use '2'"),
        ("recycle: {}", "recycle", "neither 'age' nor 'memory'"),
        ("recycle: {memory: 1XB}", "recycle.memory", "a size such as 512MB or 1GiB"),
        ("recycle: {memory: 0}", "recycle.memory", "cannot use 0"),
        ("stop: {drain: {signal: NOPE}}", "stop.drain.signal", "no such signal"),
        ("stop: {drain: {signal: TSTP, exec: x}}", "stop.drain", "at once"),
        ("socket: 8000", "socket", "expected text"),
        ("socket: 'tcp://x'", "socket", "a port from 1 to 65535"),
        ("socket: 'tcp://:80'", "socket", "it names no host"),
        ("socket: 'http://a:80'", "socket", "expected tcp://HOST:PORT or unix://PATH"),
        ("socket: 'unix://'", "socket", "it names no path"),
        ("socket: {}", "socket", "without a socket"),
        ("socket: {a: 'tcp://h:1', b: 'tcp://h:1'}", "socket.a", "twice"),
        ("socket: {'a b': 'tcp://h:1'}", "socket.a b", "as a name"),
        ("socket: 'tcp://h:1', ready: tcp", "ready", "web has no port of its own"),
        ("oneshot: true, health: {http: /x}", "health", "web has no port of its own"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line_and_path(folder, keys, path, why):
    write(folder, yml=f"processes:\n  web:\n    {{{keys}}}\n")
    found = faults_of()
    assert found[0].startswith(f"procman.yml:3: processes.web.{path}: ")
    assert why in found[0]


def test_types_that_wait_for_one_another_are_told_with_the_way_round(folder):
    write(
        folder,
        yml="processes:\n  web:\n    depends_on: [worker]\n  worker: {depends_on: [release]}\n  release: {depends_on: [web]}\n",
    )
    (fault,) = faults_of()
    assert fault.startswith("procman.yml:3: processes.web.depends_on: cannot start any of them")
    assert "web waits for worker waits for release waits for web" in fault


@pytest.mark.parametrize("members", ["[web, worker]", "[web, release, worker]"])
def test_an_order_of_a_group_that_goes_against_what_a_member_depends_on_is_refused(folder, members):
    write(folder, yml=f"processes:\n  web: {{depends_on: [worker]}}\ngroups: {{g: {{members: {members}}}}}\n")
    (fault,) = faults_of()
    assert fault.startswith("procman.yml:2: processes.web.depends_on: cannot start any of them: web waits for worker")


def test_members_of_a_group_may_depend_on_those_before_them(folder):
    write(folder, yml="processes: {worker: {depends_on: [web]}}\ngroups: {g: {members: [web, worker]}}\n")
    assert load(Options(), {}).groups


def test_a_thousand_types_may_wait_in_a_line(folder):
    names = [f"t{n}" for n in range(1500)]
    write(
        folder,
        Procfile="".join(f"{name}: x\n" for name in names),
        yml="processes:\n" + "".join(f"  {a}: {{depends_on: [{b}]}}\n" for a, b in pairwise(names)),
    )
    assert len(load(Options(no_port=True), {}).types) == 1500


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("groups: {g: {}}", "groups.g: cannot use a mapping: it has no 'members'"),
        ("groups: {g: {members: []}}", "groups.g.members: cannot use a list without members"),
        ("groups: {g: {members: [nope]}}", "groups.g.members[0]: cannot find the process type 'nope'"),
        ("groups: {g: {members: [web, web]}}", "groups.g.members[1]: cannot name 'web' twice"),
        ("groups: {g: {members: [web]}, h: {members: [web]}}", "groups.h.members[0]: cannot put web into two groups"),
        ("groups: {g: {members: [web], intensity: -1}}", "groups.g.intensity: cannot use '-1'"),
        ("groups: {g: {members: [web], strategy: all}}", "groups.g.strategy: cannot use 'all'"),
    ],
)
def test_a_group_is_checked_as_well(folder, text, path):
    write(folder, yml=text)
    (fault,) = faults_of()
    assert fault.startswith(f"procman.yml:1: {path}")
