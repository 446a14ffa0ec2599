"""A HAProxy that procman keeps in step with what it runs: no request fails while instances come, go and are replaced."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from haproxied import CONFIG, SLOTS, needs_haproxy, requests
from harness import PYTHON, Supervisor, World, eventually
from waiting import free_port

pytestmark = needs_haproxy

COMPANIONS = Path(__file__).resolve().parents[1] / "companions"

SETTINGS = """
formation: {web: 2}
processes:
  web: {ready: tcp, balancer: {haproxy: {socket: haproxy.sock, file: haproxy.state}}}
"""


def free_ports(count: int) -> int:
    """The first of as many ports in a row, below those that the system gives away by itself."""
    while True:
        first = random.randrange(10_000, 31_000)
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first


@pytest.fixture
def balanced(world: World) -> tuple[Supervisor, int]:
    """Two web servers that end at once when they are told to, behind HAProxy on a port."""
    port = free_port()
    world.file("haproxy.cfg", haproxy_file(world.folder, port))
    world.file("procman.yml", SETTINGS)
    world.procfile(
        web=f"exec {PYTHON} {COMPANIONS / 'webserver.py'} $PORT 0.02", haproxy="exec haproxy -W -f haproxy.cfg"
    )
    supervisor = world.start("--port", str(free_ports(5)))
    supervisor.phase(web_1="ready", web_2="ready", haproxy_1="ready")
    supervisor.expect("Server web/web2 is UP")
    return supervisor, port


def haproxy_file(folder: Path, port: int) -> str:
    return CONFIG.format(folder=folder, port=port, level="admin") + SLOTS.format(balance="roundrobin")


@contextlib.contextmanager
def load(port: int) -> Iterator[None]:
    """Requests all the while; none fails."""
    with requests(port, 10) as result:
        yield
    assert result["done"] > 0
    assert result["failed"] == {}


def test_no_request_fails_over_scaling_restarting_and_a_killed_balancer(balanced):
    supervisor, port = balanced
    with load(port):
        assert supervisor.world.run("scale", "web=3", "--wait").code == 0
        assert supervisor.world.run("scale", "web=1", "--wait").code == 0
        assert supervisor.world.run("scale", "web=2", "--wait").code == 0
        assert supervisor.world.run("restart", "web", "--wait").code == 0
        (companion,) = supervisor.ask("ps")["fleet"]["companions"]
        os.kill(companion["pid"], signal.SIGKILL)
        assert supervisor.world.run("scale", "web=3", "--wait").code == 0


def test_a_single_instance_is_replaced_without_a_failed_request(balanced):
    supervisor, port = balanced
    assert supervisor.world.run("scale", "web=1", "--wait").code == 0
    with load(port):
        assert supervisor.world.run("restart", "web", "--wait").code == 0
        line = f"exec {PYTHON} {COMPANIONS / 'webserver.py'} $PORT 0.03"
        supervisor.world.procfile(web=line, haproxy="exec haproxy -W -f haproxy.cfg")
        assert supervisor.world.run("reload", "--wait").code == 0
        eventually(lambda: [*supervisor.ps()] == ["web.1", "haproxy.1"], "the end of the extra instance")


def test_a_haproxy_that_hangs_holds_up_a_stop_for_its_drain_alone(balanced):
    supervisor, _ = balanced
    settings = SETTINGS.replace("file: haproxy.state}", "file: haproxy.state}, drain: 1")
    supervisor.world.file("procman.yml", settings)
    supervisor.ask("reload")
    hung = supervisor.ps()["haproxy.1"]["pid"]
    workers = Path(f"/proc/{hung}/task/{hung}/children").read_text().split()
    for pid in (hung, *map(int, workers)):
        os.kill(pid, signal.SIGSTOP)
    try:
        supervisor.ask("scale", to={"web": 1})
        eventually(lambda: "web.2" not in supervisor.ps(), "the end of web.2")
        told = eventually(lambda: (row := companion_row(supervisor))["phase"] == "unhealthy" and row, "a state")
        assert "no answer within" in told["reason"]
    finally:
        for pid in (hung, *map(int, workers)):
            os.kill(pid, signal.SIGCONT)
    eventually(lambda: companion_row(supervisor)["phase"] == "ready", "a state that is well again")


def companion_row(supervisor: Supervisor) -> dict:
    """@balancer, as `ps --companions --json` has it."""
    shown = supervisor.world.run("ps", "--companions", "--json")
    return json.loads(shown.out)["companions"][0]


def test_a_balancer_that_cannot_be_told_is_a_state_of_the_companion_and_heals_by_itself(world):
    world.file("procman.yml", "processes: {web: {balancer: {haproxy: {socket: haproxy.sock, backend: web}}}}")
    world.procfile(web=f"exec {PYTHON} -c 'import time; time.sleep(1000)'")
    supervisor = world.start("--port", str(free_ports(1)))
    supervisor.phase(web_1="ready")

    def is_told(text: str) -> bool:
        row = companion_row(supervisor)
        return row["phase"] == "unhealthy" and text in row["reason"]

    eventually(lambda: is_told("cannot reach HAProxy on haproxy.sock"), "a HAProxy that is absent")
    assert "cannot reach HAProxy" in supervisor.world.run("ps", "--companions").out
    for backend, told in (("other", "cannot find the backend web"), ("web", "")):
        text = haproxy_file(world.folder, free_port()).replace("backend web\n", f"backend {backend}\n")
        world.file("haproxy.cfg", text)
        with subprocess.Popen(["haproxy", "-f", "haproxy.cfg"], cwd=world.folder, stderr=subprocess.DEVNULL) as haproxy:
            try:
                if told:
                    eventually(lambda told=told: is_told(told), f"what HAProxy says: {told}")
                else:
                    eventually(lambda: companion_row(supervisor)["phase"] == "ready", "a state that is well again")
            finally:
                haproxy.terminate()
    supervisor.expect("in step again")


def test_a_stop_that_a_killed_balancer_held_is_released_by_the_one_that_comes_after_it(balanced):
    supervisor, port = balanced
    with load(port):
        (companion,) = supervisor.ask("ps")["fleet"]["companions"]
        os.kill(companion["pid"], signal.SIGKILL)
        supervisor.ask("scale", to={"web": 1})
        eventually(lambda: "web.2" not in supervisor.ps(), "the end of web.2")
