"""A kernel with one process type, in the test's own process: what it is told, and what it told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from procman.core.actions import Refuse, Reply
from procman.core.events import ShutdownAsked
from procman.core.fleet import Fleet
from procman.core.spec import Plan, ProcessSpec, StopPolicy
from procman.core.view import Change, Kind
from procman.kernel import signals
from procman.kernel.kernel import Kernel
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.formatting import Format
from procman.kernel.output.history import History
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.output.sinks import Sink
from procman.kernel.process.launcher import SpawnContext
from procman.kernel.wiring import KernelSettings

DEADLINE = 20.0


class Bench:
    """A kernel, and what it told. `on(kind, do)` acts on the first change of that kind."""

    def __init__(
        self,
        folder: Path,
        command: str,
        count: int = 1,
        *,
        load: Callable[[Plan], Plan] = lambda old: old,
        grace: float = 5.0,
        env: dict[str, str] | None = None,
        fleet: Callable[[Plan], Fleet] = Fleet,
    ) -> None:
        stop = StopPolicy(grace=grace)
        spec = ProcessSpec(type="a", command=command, cwd=str(folder), env={**os.environ, **(env or {})}, stop=stop)
        self.plan = Plan(root=str(folder), types={"a": spec}, counts={"a": count}, positions={"a": 0})
        self.reactor = Reactor()
        self.history = History()
        self.log = folder / "log"
        out = Multiplexer(
            self.reactor, Sink(self.reactor, os.open(self.log, os.O_RDWR | os.O_CREAT)), self.history, Format()
        )
        self.kernel = Kernel(
            self.reactor,
            fleet(self.plan),
            out,
            self.history,
            KernelSettings(load, SpawnContext("/the/socket"), f"{self.plan.root}/trace"),
        )
        self.kernel.listeners.append(self._changed)
        self.changes: list[Change] = []
        self._awaited: list[tuple[Kind, Callable[[], object]]] = []
        self.answers: list[Reply | Refuse] = []
        os.chdir(folder)

    def on(self, kind: Kind, do: Callable[[], object]) -> None:
        self._awaited.append((kind, do))

    def _changed(self, _time: float, change: Change) -> None:
        self.changes.append(change)
        if self._awaited and self._awaited[0][0] is change.event:
            self.reactor.call_at(0.0, self._awaited.pop(0)[1])

    def end(self) -> None:
        self.kernel.ask(ShutdownAsked("the test is over"))

    def run(self) -> int:
        signals.install(self.reactor, self.kernel)
        self.reactor.call_at(time.monotonic() + DEADLINE, lambda: os._exit(99))
        return self.kernel.run()

    def kinds(self) -> list[Kind]:
        return [change.event for change in self.changes]

    def kill_leader(self, name: str) -> None:
        """The leader of that instance ends, as in a crash."""
        row = next(row for row in self.kernel.view().instances if row.name == name)
        assert row.pid is not None
        os.kill(row.pid, signal.SIGKILL)
