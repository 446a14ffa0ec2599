"""A version that does not work: the old ones serve throughout, the rollout is given up, and the old settings are in force."""

from __future__ import annotations

import json
import select
import threading
from pathlib import Path
from typing import Any, Self

import pytest
from harness import Line, Supervisor, UpgradedError, World
from test_load_balancer import free_ports

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

SERVER = """
import os, signal, socket, sys, time
name, nature = os.environ["PS"], sys.argv[1]
if nature == "file":  # whatever is deployed there by now
    nature = open("nature").read().strip()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
if nature == "crashes":
    sys.exit("cannot load the application")
if nature != "never":
    server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
    open(f"ready-{name}", "w").close()
    open("ready", "w").close()
    if "NOTIFY_SOCKET" in os.environ:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
    print("is ready")
    server.settimeout(1)
    until = time.monotonic() + (1.0 if nature == "dies" else 1000)
    while (left := until - time.monotonic()) > 0:
        server.settimeout(left)
        try:
            peer, _ = server.accept()
        except TimeoutError:
            break
        peer.settimeout(2)
        try:
            if peer.recv(4096):
                peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
        except OSError:
            pass
        peer.close()
    sys.exit(1)
signal.pause()
"""

PROBES: dict[str, Any] = {
    "tcp": True,
    "http": "/health",
    "log": "^is ready$",
    "exec": "test -e ready-$PS",
    "notify": True,
    "file": "ready",
}
N = 4


class Watched:
    """Follows the events of a formation, and remembers how few instances were ready at any time."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._ready = {name for name, row in supervisor.ps().items() if row["phase"] == "ready"}
        self.fewest = len(self._ready)

    def __enter__(self) -> Self:
        self._begun = threading.Event()
        self._thread.start()
        assert self._begun.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with self._supervisor.connected() as line:
            line.ask("events")
            self._begun.set()
            while not self._ended.is_set():
                self._take(line)

    def _take(self, line: Line) -> None:
        if not line._buffer and not select.select([line.peer], [], [], 0.05)[0]:
            return
        try:
            message = line.next()
        except UpgradedError:
            raise AssertionError("nobody upgrades it") from None
        change = message.get("params", {}).get("change", {})
        name = change.get("instance")
        if name is None:
            return
        (self._ready.add if change.get("ready") else self._ready.discard)(name)
        self.fewest = min(self.fewest, len(self._ready))


class Formation:
    """Four good ones that are ready by this probe."""

    def __init__(self, world: World, probe: str, way: str) -> None:
        self.world = world
        self._server = world.script("server.py", SERVER)
        world.file("nature", "good")
        self._deploy("file" if way == "restart" else "good", way)
        settings = {
            "ready": {probe: PROBES[probe], "timeout": 2},
            "restart": {"delay": 0.1, "max_delay": 0.2},
            "port": free_ports(N),
        }
        world.file("procman.yml", json.dumps({"formation": {"web": N}, "processes": {"web": settings}}))
        self.supervisor = world.start()
        self.supervisor.phase(**{f"web_{n}": "ready" for n in range(1, N + 1)})
        self.pids = self.supervisor.pids()

    def _deploy(self, nature: str, way: str) -> None:
        """Another command, or another program behind the same one."""
        if way == "restart":
            self.world.file("nature", nature) if nature != "file" else None
            nature = "file"
        self.world.procfile(web=f"{self._server} {nature}")

    def deploy(self, nature: str, way: str) -> Any:
        for path in Path(self.world.folder).glob("ready*"):
            path.unlink()
        self._deploy(nature, way)
        verb = ("reload",) if way == "reload" else ("restart", "web")
        return self.world.run(*verb, "--wait=60")


@pytest.mark.parametrize("way", ["reload", "restart"])
@pytest.mark.parametrize(
    ("nature", "reason"),
    [("never", "not ready within 2.0 s"), ("crashes", "exit 1 before it was ready"), ("dies", "exit 1")],
)
def test_the_others_serve_throughout_and_the_command_ends_with_1_and_the_reason(world: World, way, nature, reason):
    formation = Formation(world, "tcp", way)
    with Watched(formation.supervisor) as watched:
        done = formation.deploy(nature, way)
    assert done.code == 1, done
    assert "rollout of web aborted: web.1" in done.err
    assert reason in done.err
    assert watched.fewest == N - 1
    kept = {name: pid for name, pid in formation.supervisor.pids().items() if name != "web.1"}
    assert kept == {name: pid for name, pid in formation.pids.items() if name != "web.1"}
    if way == "reload":
        formation.supervisor.phase(**{f"web_{n}": "ready" for n in range(1, N + 1)})


@pytest.mark.parametrize("probe", PROBES)
def test_whatever_says_that_it_is_ready_one_that_never_does_goes_back_to_the_old_settings(world: World, probe):
    formation = Formation(world, probe, "reload")
    with Watched(formation.supervisor) as watched:
        done = formation.deploy("never", "reload")
        formation.supervisor.phase(**{f"web_{n}": "ready" for n in range(1, N + 1)})
    assert done.code == 1, done
    assert "rollout of web aborted: web.1 not ready within 2.0 s" in done.err
    assert watched.fewest == N - 1
    assert formation.supervisor.ps()["web.1"]["generation"] >= 3  # the bad one, and the old one again
