"""An example of docs/examples under the real procman: its copy, its ports, and requests to what it serves."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import Done, Supervisor, World, eventually

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

SLOW = 90.0
"""Seconds within which a virtual machine or a cluster is up, also on a machine that is busy."""

BUILD = 380.0
"""Seconds for a build tool, which loads what it needs first."""


def needs(*programs: str, modules: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Skip where a program or a module of Python is missing, naming what to install."""
    from importlib.util import find_spec

    missing = [p for p in programs if shutil.which(p, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin") is None]
    missing += [module for module in modules if find_spec(module) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


class Example:
    """A copy of one example in the world's folder; without a name what the test writes there."""

    def __init__(self, world: World, name: str = "") -> None:
        self.world = world
        if name:
            shutil.copytree(EXAMPLES / name, world.folder, dirs_exist_ok=True)
        self.port = free_ports(600)
        self.supervisor: Supervisor | None = None

    def start(self, *args: str, **how: Any) -> Supervisor:
        """`procman start` with a base port below which nothing of ours is, and above which 600 are free."""
        self.supervisor = self.world.start("-p", str(self.port), *args, **how)
        return self.supervisor

    def port_of(self, name: str) -> int:
        """The port of an instance, as `ps` tells it."""
        assert self.supervisor is not None
        port: int = self.supervisor.ps()[name]["port"]
        return port

    def one(self, command: str, **settings: Any) -> str:
        """A formation of one type, `web`, with these keys of procman.yml; returns the instance's name."""
        self.world.procfile(web=command)
        self.world.file("procman.yml", json.dumps({"processes": {"web": settings}}))  # which is YAML, too
        return "web.1"

    def run(self, *args: str) -> Done:
        """Any verb, to its end, which may take long."""
        done = subprocess.run([self.world.bin, *args], capture_output=True, timeout=SLOW, text=True, **self._where())
        return Done(done.returncode, done.stdout, done.stderr)

    def _where(self) -> dict[str, Any]:
        return {"cwd": self.world.folder, "env": self.world.env, "stdin": subprocess.DEVNULL}


def built(name: str, command: list[str], product: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What this command makes of an example, built once for all processes that test; returns the path of the product."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    folder = shared / f"built-{name}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / product).exists():
            shutil.copytree(EXAMPLES / name, folder, dirs_exist_ok=True)
            env = os.environ | {"MIX_ENV": "prod"}
            subprocess.run(command, cwd=folder, env=env, check=True, timeout=BUILD)
    return folder / product


def free_ports(count: int) -> int:
    """The first of so many ports in a row, of which a few spread over the row are free.

    Below those that the system gives out by itself (ip(7): 32768), and another row for each process that tests.
    """
    rows = range(21000, 32000 - count, count)
    first = os.getpid() % len(rows)
    for base in (*rows[first:], *rows[:first]):
        if all(_is_free(base + offset) for offset in (*range(8), *range(100, count, 100))):
            return base
    raise AssertionError("no row of ports is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def get(port: int, path: str = "/", seconds: float = 30.0) -> tuple[int, str]:
    """Status and body; status 0 where the connection fails."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def fails(port: int, path: str, until: threading.Event) -> list[str]:
    """Every request that failed, of those that were made one after the other until then; at least one is made."""
    failed = []
    while True:
        status, body = get(port, path)
        if status != 200:
            failed.append(f"{status} {body}")
        if until.is_set():
            return failed


def failed_while(of: Example, work: Callable[[], None]) -> list[str]:
    """The requests that failed while this was done; four are under way at every moment."""
    over = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(fails, of.port, "/slow/5", over) for _ in range(4)]
        try:
            work()
        finally:
            over.set()
        return [failed for one in running for failed in one.result()]


def serves(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Pending(threading.Thread):
    """A request that is under way; `answer` is there once it has ended."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self._where = (port, path)
        self.answer: tuple[int, str] | None = None
        self.start()

    def run(self) -> None:
        self.answer = get(*self._where)

    def result(self) -> tuple[int, str]:
        self.join(SLOW)
        assert self.answer is not None
        return self.answer


def under_way(supervisor: Supervisor, port: int, path: str) -> Pending:
    """A slow request that the server has accepted: its connection is established in both directions."""
    request = Pending(port, path)
    eventually(lambda: established(port) > 0, "the request is accepted")
    return request


def established(port: int) -> int:
    """How many connections to this port of ours are established (proc_net(5): state 01)."""
    tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))  # Java's are all in the second one
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return sum(row[3] == "01" and int(row[1].rpartition(":")[2], 16) == port for row in rows)
