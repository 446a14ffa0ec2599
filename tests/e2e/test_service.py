"""procman under a service manager, and sockets that it holds for its workers: end to end."""

from __future__ import annotations

import os
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


SERVER = (
    "import os, signal, socket\n"
    "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n"
    "assert os.environ['LISTEN_PID'] == str(os.getpid())\n"
    "listener = socket.socket(fileno=3)\n"
    "print('serving', flush=True)\n"
    "while True:\n"
    "    connected, _ = listener.accept()\n"
    "    connected.sendall(os.environ['PS'].encode())\n"
    "    connected.close()\n"
)


def test_a_shared_socket_outlives_workers_and_procman_itself(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    world.file("server.py", SERVER)
    world.procfile(web=f"{sys.executable} server.py")
    world.file("procman.yml", f"processes: {{web: {{socket: 'tcp://127.0.0.1:{port}'}}}}\n")
    supervisor = world.start("-m", "web=2")
    supervisor.up("web.1", "web.2")
    before = supervisor.pids()

    def asked() -> str:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            return client.recv(100).decode()

    assert asked() in ("web.1", "web.2")
    upgrade(supervisor)
    assert supervisor.pids() == before
    assert asked() in ("web.1", "web.2")
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before.values()), "they are gone")
    assert asked() in ("web.1", "web.2")  # it waits in the queue until one of them is back
    assert supervisor.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        asked()
