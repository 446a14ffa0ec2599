"""procman under a service manager: end to end."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import World, eventually
from upgrades import upgrade, upgrades_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")

SERVICE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Manager:
    """What systemd is to a service of Type=notify."""

    def __init__(self, world: World) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0test/{world.ident}")
        self.socket.settimeout(0.05)
        self.got: list[str] = []
        world.env |= dict.fromkeys(SERVICE, "1") | {"NOTIFY_SOCKET": f"@test/{world.ident}", "WATCHDOG_PID": "1"}

    def heard(self, text: str) -> bool:
        try:
            self.got.append(self.socket.recv(4096).decode())
        except TimeoutError:
            return False
        return any(text in message for message in self.got)


@pytest.fixture
def manager(world: World) -> Iterator[Manager]:
    made = Manager(world)
    yield made
    made.socket.close()


def test_it_answers_for_itself_and_nothing_of_it_reaches_a_child(world: World, manager: Manager) -> None:
    world.procfile(web="exec sleep 1000", job="env; exit 0")
    supervisor = world.start()
    eventually(lambda: manager.heard("READY=1"), "ready")
    eventually(lambda: manager.heard("STATUS=web 1/1"), "a status")
    environ = Path(f"/proc/{supervisor.pids()['web.1']}/environ").read_bytes().split(b"\0")
    assert {name for name in SERVICE if any(v.startswith(f"{name}=".encode()) for v in environ)} == set()
    supervisor.signal(signal.SIGHUP)
    eventually(lambda: manager.heard("RELOADING=1"), "reloading")
    assert supervisor.stop() == 0
    eventually(lambda: manager.heard("STOPPING=1"), "stopping")


def test_nothing_of_it_reaches_what_run_becomes(world: World, manager: Manager) -> None:
    world.procfile(web="env")
    for words in (("run", "env"), ("run", "web")):
        done = world.run(*words)
        assert done.code == 0
        assert [name for name in SERVICE if f"\n{name}=" in f"\n{done.out}"] == []


def test_it_answers_after_an_upgrade_too(world: World, manager: Manager) -> None:
    world.procfile(web="exec sleep 1000")
    supervisor = world.start()
    eventually(lambda: manager.heard("READY=1"), "ready")
    upgrade(supervisor)
    assert upgrades_of(supervisor) == 1
    manager.got.clear()
    assert supervisor.stop() == 0
    eventually(lambda: manager.heard("STOPPING=1"), "the new program says so")
