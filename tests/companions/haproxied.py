"""A real HAProxy with real web servers behind it, and a fleet that starts and stops them as procman does."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from waiting import DEADLINE, free_port, until

from procman.companions.balancer.answers import HaproxyError
from procman.companions.balancer.fleet import BalancedInstance
from procman.companions.balancer.haproxy import HaproxyBackend
from procman.companions.balancer.planning import BackendSpec
from procman.companions.balancer.runtime import Runtime

HERE = Path(__file__).parent

needs_haproxy = pytest.mark.skipif(not shutil.which("haproxy"), reason="not installed: haproxy")

CONFIG = """
global
  stats socket unix@{folder}/haproxy.sock mode 600 level {level} expose-fd listeners
  server-state-file {folder}/haproxy.state
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  option redispatch
  load-server-state-from-file global
frontend front
  bind 127.0.0.1:{port}
  option idle-close-on-response
  default_backend web
"""

SLOTS = "backend web\n  balance {balance}\n  server-template web 8 127.0.0.1:1 check inter 1s disabled\n"


class Stage:
    """Web servers behind HAProxy. Everything that it starts is ended by `close`."""

    def __init__(
        self,
        folder: Path,
        *,
        slots: bool = True,
        balance: str = "roundrobin",
        level: str = "admin",
        work: float = 0.005,
    ) -> None:
        self.folder, self.slots, self.work = folder, slots, work
        self.port = free_port()
        self.webs: dict[str, tuple[subprocess.Popen[bytes], BalancedInstance]] = {}
        text = CONFIG.format(folder=folder, port=self.port, level=level)
        (folder / "haproxy.cfg").write_text(text + (SLOTS.format(balance=balance) if slots else ""))
        (folder / "web.cfg").write_text("" if slots else f"backend web\n  balance {balance}\n")
        self.runtime = Runtime(str(folder / "haproxy.sock"), 0.5)
        self.backend = self.new_backend()
        self.haproxy = self.start_haproxy()

    def new_backend(self, drain: float = 10.0) -> HaproxyBackend:
        """As after the companion was killed and started again."""
        file = self.folder / ("haproxy.state" if self.slots else "web.cfg")
        backend = BackendSpec(name="web", type="web", prefix="web", file=str(file), section=("balance roundrobin",))
        self.backend = HaproxyBackend(backend, self.runtime, drain)
        return self.backend

    def start_haproxy(self, *more: str) -> subprocess.Popen[bytes]:
        words = ["haproxy", "-W", "-f", str(self.folder / "haproxy.cfg")]
        words += [] if self.slots else ["-f", str(self.folder / "web.cfg")]
        with (self.folder / "haproxy.log").open("ab") as log:
            self.haproxy = subprocess.Popen([*words, *more], stdout=log, stderr=log)
        until(self.answers, "HAProxy's answer")
        return self.haproxy

    def answers(self) -> bool:
        with contextlib.suppress(HaproxyError):
            self.runtime.check_version()
            return True
        return False

    def pid(self) -> int:
        """Of the worker that answers."""
        with contextlib.suppress(HaproxyError, IndexError):
            return int(self.runtime.ask("show info").partition("\nPid: ")[2].split("\n")[0])
        return 0

    def reload(self) -> None:
        before, asked = self.pid(), 0.0

        def reloaded() -> bool:
            nonlocal asked
            if time.monotonic() - asked > 3:  # a master that still executes itself anew loses the signal
                self.haproxy.send_signal(signal.SIGUSR2)
                asked = time.monotonic()
            return self.pid() not in {0, before}

        until(reloaded, "a new worker")

    def kill(self) -> None:
        """-9 to the master and its worker; the port is free afterwards."""
        worker = self.pid()
        self.haproxy.kill()
        self.haproxy.wait()
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        until(lambda: not self.answers(), "its end")

    def start(self, *numbers: int) -> None:
        """As procman does: started, and told as ready once it listens."""
        for number in numbers:
            port = free_port()
            process = subprocess.Popen([sys.executable, str(HERE / "webserver.py"), str(port), str(self.work)])
            instance = BalancedInstance(name=f"web.{number}", type="web", generation=1, port=port, ready=False)
            until(lambda port=port: listens(port), "a web server")
            self.webs[instance.name] = process, ready(instance)

    def stop(self, *numbers: int) -> None:
        """As procman does: announced, held until released, then TERM."""
        for number in numbers:
            process, instance = self.webs[f"web.{number}"]
            self.webs[instance.name] = process, draining(instance)
        for number in numbers:
            name = f"web.{number}"
            until(lambda name=name: (name, 1) in self.step().released, f"the release of {name}")
            self.crash(number)

    def crash(self, number: int) -> None:
        process, _ = self.webs.pop(f"web.{number}")
        process.terminate()
        process.wait()

    def instances(self) -> list[BalancedInstance]:
        return [instance for _, instance in self.webs.values()]

    def step(self):
        return self.backend.step(self.instances(), time.monotonic())

    def settle(self) -> None:
        def settled():
            kept = self.step()
            return not kept.fault and self.serving() == {i.port for i in self.instances() if i.ready and not i.draining}

        until(settled, "that HAProxy is in step")

    def serving(self) -> set[int]:
        with contextlib.suppress(HaproxyError):
            return {s.port for s in self.runtime.servers("web") if s.serves}
        return set()

    @contextlib.contextmanager
    def under_load(self, *, close: bool, connections: int = 20):
        """Requests all the while; `result` counts them afterwards."""
        with requests(self.port, connections, close=close) as self.result:
            yield

    def close(self) -> None:
        self.haproxy.send_signal(signal.SIGCONT)
        self.haproxy.terminate()
        try:
            self.haproxy.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
        for number in [name.partition(".")[2] for name in self.webs]:
            self.crash(int(number))


@contextlib.contextmanager
def requests(port: int, connections: int, *, close: bool = False) -> Iterator[dict[str, Any]]:
    """Requests all the while, from the first answer on; afterwards the value has `done`, and `failed` by reason."""
    words = [sys.executable, str(HERE / "load.py"), str(port), str(connections), "close" if close else "keep"]
    result: dict[str, Any] = {}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
        try:
            assert load.stdout is not None
            assert load.stdout.readline() == b"begun\n"
            yield result
            output, _ = load.communicate(b"", timeout=DEADLINE)
            result.update(json.loads(output))
        finally:
            load.kill()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ready(instance: BalancedInstance) -> BalancedInstance:
    return replace(instance, ready=True)


def draining(instance: BalancedInstance) -> BalancedInstance:
    return replace(instance, draining=True)
