"""Erlang/OTP and a release of Elixir: nodes that form a cluster, with epmd as a type of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from harness import eventually
from system import SLOW, Example, built, free_ports, get, needs, under_way

pytestmark = [needs("erl", "erlc", "epmd"), pytest.mark.timeout(500)]


@pytest.fixture(params=["erlang", pytest.param("elixir", marks=needs("elixir", "mix"))])
def erlang(example, request, tmp_path_factory) -> Example:
    """With an epmd of its own: every node of a machine would share the usual one."""
    made: Example = example(request.param)
    folder: Path = made.world.folder
    if request.param == "erlang":
        subprocess.run(["erlc", "web.erl"], cwd=folder, check=True, timeout=SLOW)
    else:
        command = ["mix", "release", "--quiet"]
        program = built("elixir", command, "_build/prod/rel/web/bin/web", tmp_path_factory)
        shutil.copytree(program.parents[4], folder / "_build", symlinks=True)
    made.world.env["ERL_EPMD_PORT"] = str(free_ports(20) + 15)
    made.world.env["PATH"] += f":{Path(shutil.which('erl') or '').parent}"
    return made


def nodes(erlang: Example, name: str) -> int:
    status, body = get(erlang.port_of(name), "/nodes")
    return int(body) if status == 200 else 0


def test_nodes_form_a_cluster_that_follows_the_scale(erlang):
    """2 -> 3 -> 1, as the nodes themselves see it."""
    supervisor = erlang.start()
    eventually(lambda: supervisor.ps()["web.2"]["phase"] == "ready", "two are ready", SLOW)
    eventually(lambda: nodes(erlang, "web.1") == 2, "two see each other", SLOW)
    assert erlang.run("scale", "web=3", "--wait").code == 0
    eventually(lambda: nodes(erlang, "web.1") == 3, "three see each other", SLOW)
    request = under_way(supervisor, erlang.port_of("web.3"), "/slow/1500")
    assert erlang.run("scale", "web=1", "--wait").code == 0
    assert request.result() == (200, "slept\n")
    eventually(lambda: nodes(erlang, "web.1") == 1, "one is left", SLOW)
    assert supervisor.stop(SLOW) == 0
    assert "killed" not in supervisor.seen


def test_a_node_that_is_stopped_in_its_first_moments_needs_no_kill(erlang):
    """The virtual machine loses a TERM in its first 300 ms; it is sent once more."""
    supervisor = erlang.start("-m", "web=0")
    eventually(lambda: supervisor.ps()["epmd.1"]["phase"] == "ready", "epmd is ready", SLOW)
    for _ in range(3):
        supervisor.ask("scale", to={"web": 1})
        supervisor.until(lambda now: "web.1" in now and now["web.1"]["pid"], "it runs")
        supervisor.ask("scale", to={"web": 0})
        supervisor.until(lambda now: "web.1" not in now, "it is gone")
    assert "killed" not in supervisor.seen
    assert supervisor.stop(SLOW) == 0


def test_ctrl_c_reaches_the_node_as_its_stop_signal(erlang):
    supervisor = erlang.start("-m", "web=1")
    eventually(lambda: supervisor.ps()["web.1"]["phase"] == "ready", "it is ready", SLOW)
    supervisor.signal(signal.SIGINT)
    supervisor.expect("finishing", SLOW)
    assert supervisor.wait(SLOW) == 0


def test_stopping_a_type_leaves_epmd_to_the_others(erlang):
    supervisor = erlang.start("-m", "web=2")
    eventually(lambda: supervisor.ps()["web.2"]["phase"] == "ready", "two are ready", SLOW)
    epmd = supervisor.ps()["epmd.1"]["pid"]
    assert erlang.run("restart", "web", "--wait").code == 0
    assert supervisor.ps()["epmd.1"]["pid"] == epmd
    eventually(lambda: nodes(erlang, "web.1") == 2, "two see each other again", SLOW)
    assert supervisor.stop(SLOW) == 0


def test_a_killed_procman_leaves_no_node(erlang):
    supervisor = erlang.start("-m", "web=1", "-t", "3")
    eventually(lambda: supervisor.ps()["web.1"]["phase"] == "ready", "it is ready", SLOW)
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: not erlang.world.left(), "nothing is left", SLOW)


PORTS = 'exec erl -noinput -eval \'open_port({spawn, "sleep 86399"}, []), io:format("opened~n")\''
NOTIFIES = (
    "exec erl -noinput -eval '{ok, S} = gen_udp:open(0, [local]), "
    'Where = case os:getenv("NOTIFY_SOCKET") of [$@ | Rest] -> [0 | Rest]; Path -> Path end, '
    'ok = gen_udp:send(S, {local, Where}, 0, <<"READY=1">>)\''
)


@pytest.fixture
def node(example) -> Example:
    made: Example = example("")
    made.world.env["PATH"] += f":{Path(shutil.which('erl') or '').parent}"
    return made


def test_what_a_node_has_started_by_open_port_ends_with_it(node):
    node.one(PORTS, ready={"log": "opened"})
    supervisor = node.start()
    eventually(lambda: supervisor.ps()["web.1"]["phase"] == "ready", "it is ready", SLOW)
    assert any("sleep 86399" in line for line in node.world.left())
    assert node.run("stop", "web").code == 0
    eventually(lambda: not any("sleep 86399" in line for line in node.world.left()), "it is gone", SLOW)
    assert supervisor.stop(SLOW) == 0


def test_a_node_says_itself_when_it_is_ready(node):
    """By the protocol of sd_notify(3), with what OTP has: gen_udp over a Unix socket."""
    node.one(NOTIFIES, ready="notify")
    supervisor = node.start()
    eventually(lambda: supervisor.ps()["web.1"]["phase"] == "ready", "it is ready", SLOW)
    assert supervisor.stop(SLOW) == 0
