"""A live upgrade in the midst of a rollout, a drain, a probe, a wait: it goes on where it was. A kill there leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from typing import Any

import pytest
from harness import DEADLINE, Supervisor, World, alive, all_children_of, eventually
from test_load_balancer import free_ports
from upgrades import upgrade

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

SERVER = """
import os, signal, socket, sys
name = os.environ["PS"]
def heard(number, _):
    with open(f"heard-{name}", "a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if number == signal.SIGTERM:
        os._exit(0)
for number in (signal.SIGTERM, signal.SIGUSR2):
    signal.signal(number, heard)
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
print("up", flush=True)
while True:
    peer, _ = server.accept()
    if peer.recv(4096):
        while os.path.exists("silent"):
            signal.sigtimedwait([], 0.02)
        try:
            peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
        except OSError:
            pass
    peer.close()
"""
"""Serves, and notes the signals that it gets. As long as there is a file `silent` it takes requests and answers none."""

SHARED = """
import select, signal, socket
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
server = socket.socket(fileno=3)
server.setblocking(False)
while not ended:
    select.select([server], [], [], 0.05)
    try:
        peer, _ = server.accept()
    except BlockingIOError:  # another one has it
        continue
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    peer.close()
"""


def started(world: World, count: int = 1, script: str = SERVER, **settings: Any) -> Supervisor:
    """So many servers with these keys."""
    world.procfile(web=world.script("server.py", script))
    keys = {"port": free_ports(count)} | settings
    if "socket" in settings:
        del keys["port"]
    world.file("procman.yml", json.dumps({"formation": {"web": count}, "processes": {"web": keys}}))
    return world.start()


def all_ready(supervisor: Supervisor, count: int) -> dict[str, dict[str, Any]]:
    return supervisor.phase(**{f"web_{n}": "ready" for n in range(1, count + 1)})


def heard(world: World, name: str = "web.1") -> list[str]:
    path = world.folder / f"heard-{name}"
    return path.read_text().split() if path.exists() else []


# ---- upgrades


def test_a_rollout_goes_on_and_whoever_waits_for_it_too(world: World) -> None:
    supervisor = started(world, 4, ready="tcp")
    before = all_ready(supervisor, 4)
    with world.popen("restart", "web", "--wait=60") as command:
        supervisor.until(
            lambda now: now["web.1"]["generation"] == 2 and now["web.1"]["phase"] == "ready", "the first is replaced"
        )
        upgrade(supervisor)
        (web,) = supervisor.ask("ps")["fleet"]["types"]
        assert web["rollout"] == "1 of 4"
        assert "the rollout of web is at 1 of 4" in world.run("why", "web.3").out
        assert command.wait(DEADLINE) == 0
    after = all_ready(supervisor, 4)
    assert [row["generation"] for row in after.values()] == [2] * 4
    assert {row["pid"] for row in after.values()}.isdisjoint(row["pid"] for row in before.values())
    assert supervisor.stop() == 0


def test_a_rollout_that_fails_goes_back_to_the_settings_of_before(world: World) -> None:
    supervisor = started(world, 2, ready={"tcp": True, "timeout": 4})
    all_ready(supervisor, 2)
    world.procfile(web="exec sleep 1000")
    assert world.run("reload").code == 0
    supervisor.phase(web_1="starting")
    upgrade(supervisor)
    supervisor.expect("rollout of web aborted: web.1 not ready within 4.0 s")
    supervisor.until(lambda now: now["web.1"]["generation"] == 3 and now["web.1"]["phase"] == "ready", "the old one")
    assert supervisor.stop() == 0


def test_a_drain_goes_on_and_its_signal_is_not_sent_again(world: World) -> None:
    supervisor = started(world, stop={"drain": {"signal": "USR2", "seconds": 5}})
    all_ready(supervisor, 1)
    with world.popen("stop", "web") as command:
        eventually(lambda: heard(world) == ["SIGUSR2"], "it drains")
        upgrade(supervisor)
        row = supervisor.ps()["web.1"]
        assert (row["phase"], heard(world)) == ("draining", ["SIGUSR2"])
        assert command.wait(DEADLINE) == 0
    assert heard(world) == ["SIGUSR2", "SIGTERM"]
    assert supervisor.stop() == 0


def test_the_command_of_a_drain_runs_to_its_end(world: World) -> None:
    command = "echo begun >> drained; while test -e silent; do sleep 0.02; done; echo done >> drained"
    world.file("silent", "")
    drained = world.folder / "drained"
    supervisor = started(world, stop={"drain": {"exec": command, "seconds": 15}})
    all_ready(supervisor, 1)
    with world.popen("stop", "web") as stop:
        eventually(drained.exists, "it drains")
        before = set(all_children_of(supervisor.pid))
        with world.popen("upgrade", stdout=subprocess.DEVNULL) as upgrading:
            (check,) = eventually(lambda: set(all_children_of(supervisor.pid)) - before, "the new program is asked")
            eventually(lambda: not alive(check), "it has answered")
            (world.folder / "silent").unlink()
            assert upgrading.wait(DEADLINE) == 0
        assert drained.read_text() == "begun\ndone\n"
        supervisor.signal(signal.SIGTERM)  # which cuts the drain short
        assert stop.wait(DEADLINE) == 0
    assert supervisor.wait() == 0
    assert "drain command" not in supervisor.seen


@pytest.mark.parametrize("probe", ["http", "exec"])
def test_a_readiness_probe_that_is_under_way_is_made_again(world: World, probe: str) -> None:
    world.file("silent", "")
    how = {
        "http": {"http": "/health"},
        "exec": {"exec": "echo $$ >> probes; while test -e silent; do sleep 0.02; done"},
    }
    supervisor = started(world, ready=how[probe] | {"timeout": 60})
    supervisor.expect("up")
    if probe == "exec":
        eventually((world.folder / "probes").exists, "the command runs")
    pid = supervisor.phase(web_1="starting")["web.1"]["pid"]
    upgrade(supervisor)
    (world.folder / "silent").unlink()
    assert supervisor.phase(web_1="ready")["web.1"]["pid"] == pid
    supervisor.expect("ready after")
    if probe == "exec":  # the one that the program before it had begun is no orphan
        first = int((world.folder / "probes").read_text().split()[0])
        eventually(lambda: not os.path.exists(f"/proc/{first}"), "its end")
    assert supervisor.stop() == 0


def test_health_checks_go_on(world: World) -> None:
    supervisor = started(world, ready="tcp", health={"http": "/", "interval": 0.1, "timeout": 0.3, "failures": 3})
    pid = all_ready(supervisor, 1)["web.1"]["pid"]
    upgrade(supervisor)
    world.file("silent", "")
    supervisor.expect("web.1 is unhealthy: ")
    supervisor.expect("web.1 is restarted: unhealthy: ")
    (world.folder / "silent").unlink()
    supervisor.until(lambda now: now["web.1"]["phase"] == "ready" and now["web.1"]["pid"] != pid, "it is back")
    assert supervisor.stop() == 0


def test_one_that_waits_for_another_is_started_when_that_is_ready(world: World) -> None:
    world.file("silent", "")
    world.procfile(db=world.script("server.py", SERVER), web="exec sleep 1000")
    settings = {"db": {"ready": {"http": "/"}, "port": free_ports(1)}, "web": {"depends_on": ["db"]}}
    world.file("procman.yml", json.dumps({"processes": settings}))
    supervisor = world.start()
    supervisor.phase(db_1="starting", web_1="waiting")
    with world.popen("wait", "web") as command:
        upgrade(supervisor)
        row = supervisor.ps()["web.1"]
        assert row["phase"] == "waiting"
        assert row["reason"].startswith("waiting for db: not ready")
        (world.folder / "silent").unlink()
        assert command.wait(DEADLINE) == 0
    supervisor.expect(r"ready after \S+ s: db \S+, web ")
    assert supervisor.stop() == 0


def test_a_shared_socket_refuses_nobody(world: World) -> None:
    port = free_ports(1)
    supervisor = started(world, 2, SHARED, socket=f"tcp://127.0.0.1:{port}")
    all_ready(supervisor, 2)
    over, answers = threading.Event(), []

    def ask() -> None:
        while not over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), DEADLINE) as peer:
                    peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    answers.append(peer.recv(4096)[:15])
            except OSError as error:
                answers.append(repr(error).encode())

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(2):
            upgrade(supervisor)
        assert world.run("restart", "web", "--wait=20").code == 0
    finally:
        over.set()
        asking.join()
    assert set(answers) == {b"HTTP/1.1 200 OK"}
    assert supervisor.stop() == 0


# ---- kills


def in_a_rollout(world: World) -> Supervisor:
    supervisor = started(world, 4, ready="tcp")
    all_ready(supervisor, 4)
    assert world.run("restart", "web").code == 0
    supervisor.until(lambda now: now["web.1"]["generation"] == 2, "the first is replaced")
    return supervisor


def in_a_drain(world: World) -> Supervisor:
    supervisor = started(world, stop={"drain": {"signal": "USR2", "seconds": 15}})
    all_ready(supervisor, 1)
    assert world.run("stop", "web", "--no-wait").code == 0
    eventually(lambda: heard(world) == ["SIGUSR2"], "it drains")
    return supervisor


def in_a_probe(world: World) -> Supervisor:
    supervisor = started(world, ready={"exec": "echo $$ >> probes; sleep 1000"})
    eventually((world.folder / "probes").exists, "the command runs")
    return supervisor


def in_a_wait(world: World) -> Supervisor:
    supervisor = started(world, ready={"file": "never"})
    supervisor.phase(web_1="starting")
    return supervisor


@pytest.mark.parametrize("midst", [in_a_rollout, in_a_drain, in_a_probe, in_a_wait])
def test_after_a_kill_nothing_is_left_and_the_next_start_works(world: World, midst: Any) -> None:
    supervisor = midst(world)
    os.kill(supervisor.pid, signal.SIGKILL)
    assert supervisor.wait() == -signal.SIGKILL
    eventually(lambda: not world.left(), "nothing is left")
    world.file("procman.yml", "processes: {web: {ready: tcp}}")
    again = world.start("-p", str(free_ports(1)))
    again.phase(web_1="ready")
    assert again.stop() == 0
