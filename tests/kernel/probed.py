"""Probes with real sockets and processes, and what they post; the host is the test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from procman.core.actions import StartProbe
from procman.core.events import Event, ExitStatus, Probed
from procman.core.policies import Probe
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.formatting import Format
from procman.kernel.output.history import History
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.output.sinks import Sink
from procman.kernel.process.helpers import Helpers
from procman.kernel.process.probes.attempts import ProbedProcess
from procman.kernel.process.probes.probes import Probes

DEADLINE = 20.0


class Bench:
    """What the kernel is to the probes of one run, `web.1` of generation 1."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.reactor = Reactor()
        self.reactor._running = True
        self.helpers = Helpers(self.reactor)
        self.null = os.open(os.devnull, os.O_WRONLY)
        self.output = Multiplexer(self.reactor, Sink(self.reactor, self.null), History(), Format())
        self.posted: list[Event] = []
        self.logged: list[str] = []
        env = {"PATH": os.environ["PATH"], "PS": "web.1"}
        self.process: ProbedProcess | None = ProbedProcess(
            "web.1", 1, port, str(folder), "/", "/bin/sh", time.time(), lambda: env
        )
        self.probes = Probes(self.reactor, self, self.probed_process)

    def post(self, event: Event) -> None:
        self.posted.append(event)

    def log(self, text: str) -> None:
        self.logged.append(text)

    def probed_process(self, name: str, generation: int) -> ProbedProcess | None:
        process = self.process
        return process if process is not None and (process.name, process.generation) == (name, generation) else None

    def start(self, probe: Probe, *, health: bool = False, interval: float = 0.1, timeout: float = 5.0) -> None:
        self.probes.start(StartProbe("web.1", 1, probe, timeout, interval, health))

    def answers(self) -> list[tuple[bool, str]]:
        return [(event.ok, event.answer) for event in self.posted if isinstance(event, Probed)]

    def turn(self, until: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE
        while not until():
            assert time.monotonic() < end, (self.posted, self.logged)
            self.reactor.call_at(time.monotonic() + 0.005, lambda: None)
            self.reactor._round()
            for pid in tuple(self.helpers.pids):
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    self.helpers.ended(pid)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    self.helpers.reaped(pid, ExitStatus(code) if code >= 0 else ExitStatus(128 - code, "KILL"))

    def rest(self, seconds: float) -> None:
        """Rounds for a while, where nothing is to happen."""
        end = time.monotonic() + seconds
        self.turn(lambda: time.monotonic() >= end)

    def close(self) -> None:
        for state in self.probes.state():
            self.probes.stop(state.action.name, state.action.generation)
        self.helpers.end()
        self.output.finish(time.monotonic())
        self.reactor.close()
        os.close(self.null)
