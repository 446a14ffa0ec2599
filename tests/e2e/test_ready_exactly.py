"""Who waits for ready returns when it is so: not a second after the start, and not before."""

from __future__ import annotations

import json
import os
import signal

import pytest
from harness import PYTHON, Supervisor, World, eventually
from test_load_balancer import free_ports

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

LATE = """
import os, signal, socket, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while not os.path.exists("go"):
    time.sleep(0.02)
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
open(f"listens-{os.environ['PS']}", "w").close()
while True:
    peer, _ = server.accept()
    peer.close()
"""
"""Listens as soon as there is a file `go`, and then makes one of its own."""


@pytest.fixture
def late(world: World) -> World:
    world.procfile(web=world.script("late.py", LATE))
    settings = {"processes": {"web": {"ready": "tcp", "port": free_ports(3)}}}
    world.file("procman.yml", json.dumps(settings))
    return world


def listens(world: World, name: str) -> bool:
    return (world.folder / f"listens-{name}").exists()


def end(world: World) -> None:
    assert world.run("shutdown").code == 0


def test_a_start_in_the_background_returns_when_the_server_listens(late: World) -> None:
    with late.popen("start", "--detach") as command:
        eventually(lambda: late.run("ps").code == 0, "it runs")
        eventually(lambda: "connection refused" in late.run("ps").out, "it is probed")
        assert command.poll() is None  # however long it takes
        late.file("go", "")
        assert command.wait(20) == 0
    assert listens(late, "web.1")
    end(late)


def test_a_wait_with_a_timeout_may_come_before_procman(late: World) -> None:
    with late.popen("wait", "--timeout", "60") as command:
        supervisor = late.start()
        supervisor.phase(web_1="starting")
        assert command.poll() is None
        late.file("go", "")
        assert command.wait(60) == 0
    assert listens(late, "web.1")
    end(late)


def test_a_scaling_that_waits_returns_when_the_new_servers_listen(late: World) -> None:
    late.file("go", "")
    supervisor = late.start()
    supervisor.phase(web_1="ready")
    (late.folder / "go").unlink()
    with late.popen("scale", "web=3", "--wait=60") as command:
        supervisor.until(lambda now: now.get("web.3", {}).get("probe"), "it is probed")
        assert command.poll() is None
        late.file("go", "")
        assert command.wait(20) == 0
    assert listens(late, "web.2")
    assert listens(late, "web.3")
    assert supervisor.stop() == 0


# ---- what no probe and no output may do: hold up the others


def answers(world: World, supervisor: Supervisor) -> None:
    """Commands are answered, and another instance goes on."""
    assert world.run("ps").code == 0
    pid = supervisor.pids("other")["other.1"]
    os.kill(pid, signal.SIGKILL)
    supervisor.until(lambda now: now["other.1"]["pid"] not in (None, pid), "the other one is back")


def beside(world: World, command: str, **keys: object) -> Supervisor:
    """A `web` with these keys, beside a program that has nothing to do with it."""
    world.procfile(web=command, other="exec sleep 1000")
    settings = {"web": {"port": free_ports(1), **keys}, "other": {"restart": {"delay": 0}}}
    world.file("procman.yml", json.dumps({"processes": settings}))
    supervisor = world.start()
    supervisor.up("web.1", "other.1")
    return supervisor


HOSTILE = """
import os, signal, socket, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
kept = []
while True:
    peer, _ = server.accept()
    try:
        match sys.argv[1]:
            case "silent":
                kept.append(peer)
            case "slow":
                for byte in b"HTTP/1.1 200 OK\\r\\n" * 100:
                    peer.sendall(bytes([byte]))
                    time.sleep(0.2)
            case "huge":
                peer.sendall(b"HTTP/1.1 200 OK\\r\\nX: ")
                while True:
                    peer.sendall(b"x" * 65536)
            case "endless":
                while True:
                    peer.sendall(b"HTTP/1.1 100 Continue\\r\\n\\r\\n" * 1000)
            case "garbage":
                peer.sendall(os.urandom(4096))
                peer.close()
            case "redirect":
                peer.sendall(b"HTTP/1.1 302 Found\\r\\nLocation: http://127.0.0.1:1/\\r\\nContent-Length: 0\\r\\n\\r\\n")
                peer.close()
    except OSError:
        peer.close()
"""


@pytest.mark.parametrize("how", ["silent", "slow", "huge", "endless", "garbage"])
def test_a_server_that_never_answers_as_it_should_holds_nobody_up(world: World, how: str) -> None:
    script = world.script("hostile.py", HOSTILE)
    supervisor = beside(world, f"{script} {how}", ready={"http": "/"})
    supervisor.until(lambda now: now["web.1"]["probe"], "a first answer")
    answers(world, supervisor)
    assert supervisor.ps()["web.1"]["phase"] == "starting"
    assert supervisor.stop() == 0


def test_a_redirect_is_an_answer_and_is_not_followed(world: World) -> None:
    supervisor = beside(world, f"{world.script('hostile.py', HOSTILE)} redirect", ready={"http": "/"})
    supervisor.phase(web_1="ready")
    assert supervisor.stop() == 0


def test_an_output_that_a_pattern_takes_for_ever_for_holds_nobody_up(world: World) -> None:
    command = world.script("flood.py", "import os\nwhile True:\n    os.write(1, b'a' * 60 + b'!\\n')\n")
    supervisor = beside(world, command, ready={"log": "(a+)+$"})
    supervisor.until(lambda now: "given up" in (now["web.1"]["probe"] or ""), "the pattern is given up")
    answers(world, supervisor)
    assert supervisor.stop() == 0


FLOOD = """
import os, signal, socket
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
while True:
    for word in (b"STATUS=loading", b"READY=0", b"x" * 4096, b"WATCHDOG=1", b"RELOADING=1", b"READY=1", b"EXTEND_TIMEOUT_USEC=junk"):
        manager.send(word)
"""


def test_a_flood_of_what_a_program_says_of_itself_holds_nobody_up(world: World) -> None:
    supervisor = beside(world, world.script("flood.py", FLOOD), ready="notify")
    answers(world, supervisor)
    assert supervisor.stop() == 0


def test_what_an_exec_probe_leaves_behind_ends_with_procman_at_the_latest(world: World) -> None:
    """A daemon of its own session, which writes for ever to the pipe that it has inherited; one for each probe."""
    daemon = f"setsid {PYTHON} -c 'import os\nwhile True: os.write(1, b\"y\" * 4096)' & false"
    supervisor = beside(world, "exec sleep 1000", ready={"exec": daemon, "interval": 0.3})
    supervisor.until(lambda now: now["web.1"]["probe"], "a first answer")
    answers(world, supervisor)
    assert supervisor.stop() == 0
    assert world.left() == []
