"""Node.js: a server, the same behind npm, and node:cluster."""

from __future__ import annotations

import os
import signal

import pytest
from harness import children_of, eventually
from system import SLOW, Example, get, needs, serves, under_way

pytestmark = needs("node", "npm")

KINDS = ("web", "npm", "cluster")


def test_instances_serve_on_their_ports_and_follow_the_scale(example):
    """2, then 6, then 1: each port listens when its instance is ready, and no more when it is gone."""
    node: Example = example("node")
    supervisor = node.start()
    supervisor.phase(web_1="ready", web_2="ready")
    assert get(node.port_of("web.2")) == (200, "hello from web.2\n")
    assert node.run("scale", "web=6", "--wait").code == 0
    ports = [node.port_of(f"web.{number}") for number in range(1, 7)]
    assert [serves(port) for port in ports] == [True] * 6
    assert node.run("scale", "web=1", "--wait").code == 0
    assert [serves(port) for port in ports] == [True] + [False] * 5
    assert supervisor.stop() == 0


@pytest.mark.parametrize("terminal", ["--no-tty", "--tty"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_request_is_answered_over_a_stop_and_nothing_is_left(example, kind, terminal):
    node: Example = example("node")
    supervisor = node.start(terminal, "-m", ",".join(f"{other}={int(other == kind)}" for other in KINDS))
    supervisor.phase(**{f"{kind}_1": "ready"})
    port = node.port_of(f"{kind}.1")
    request = under_way(supervisor, port, "/slow/1500")
    assert node.run("stop", kind).code == 0
    assert request.result() == (200, f"slept in {kind}.1\n")
    assert not serves(port)
    assert supervisor.stop() == 0


def test_after_npm_is_killed_the_next_one_finds_its_port_free(example):
    node: Example = example("node")
    supervisor = node.start("-m", "web=0,npm=1")
    before = supervisor.phase(npm_1="ready")["npm.1"]["pid"]
    port = node.port_of("npm.1")
    os.kill(before, signal.SIGKILL)
    supervisor.until(lambda now: now["npm.1"]["phase"] == "ready" and now["npm.1"]["pid"] != before, "it is back")
    assert get(port) == (200, "hello from npm.1\n")
    assert "port" not in " ".join(supervisor.own()[1:])  # no line about a port that is taken
    assert supervisor.stop() == 0


def test_a_crash_shows_the_exit_code_of_the_server(example):
    node: Example = example("node")
    supervisor = node.start("-m", "web=1")
    supervisor.phase(web_1="ready")
    get(node.port_of("web.1"), "/crash")
    supervisor.expect(r"web\.1 ended: exit 3 after", SLOW)
    supervisor.phase(web_1="ready")
    assert supervisor.stop() == 0


def test_the_cluster_replaces_its_own_workers_and_procman_its_primary(example):
    node: Example = example("node")
    supervisor = node.start("-m", "web=0,cluster=1")
    primary = supervisor.phase(cluster_1="ready")["cluster.1"]["pid"]
    workers = eventually(lambda: len(found := children_of(primary)) == 2 and found, "two workers")
    os.kill(workers[0], signal.SIGKILL)
    supervisor.expect(r"worker \d+ ended \(SIGKILL\); another one takes its place", SLOW)
    assert supervisor.ps()["cluster.1"]["restarts"] == 0
    os.kill(primary, signal.SIGKILL)
    supervisor.until(
        lambda now: now["cluster.1"]["phase"] == "ready" and now["cluster.1"]["restarts"] == 1, "it is back"
    )
    assert get(node.port_of("cluster.1"))[0] == 200
    assert supervisor.stop() == 0
