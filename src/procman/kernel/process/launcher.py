"""Carries out a Spawn of the core: makes the environment, starts the process, and connects its output.

Owns the queue of starts and its pace. Knows what an instance is given; whether it is started is decided by the core.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from signal import SIGINT, SIGTERM

from msgspec import Struct
from msgspec.structs import replace

from procman.core.actions import CancelSpawn, Spawn
from procman.core.events import Event, SpawnCancelled, Spawned, SpawnFailed, Unreadable
from procman.core.spec import Plan, ProcessSpec, Stdin, instance_environment
from procman.errors import ProcmanError
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.output.stream import UNKNOWN_SIZE
from procman.kernel.process import spawn
from procman.kernel.process.deaths import jitter
from procman.kernel.process.ondemand import OnDemand
from procman.kernel.process.process import MARK, Process
from procman.kernel.process.table import ProcessTable
from procman.text.shell import is_led_by_shell
from procman.text.words import index_of

PLAIN_TERM = "xterm"
"""The value of TERM for an instance with a terminal where procman itself has none (cron, a container). `docker run -t`
sets the same.
"""

SPAWNS_A_ROUND = 32
"""Limits a round, so that a large formation delays others by some 15 ms only."""


class SpawnContext(Struct, frozen=True):
    """What every instance is given: procman's socket, whether its two streams are kept apart, and whether it has a log
    file. `locate` takes the root's name and returns the present one of the folder that procman works in; it raises
    ProcmanError where that folder was removed.
    """

    socket: str | None = None
    split_streams: bool = False
    log_file: bool = False
    locate: Callable[[str], str] = str


class Launcher:
    """Starts processes and puts them into the table."""

    def __init__(self, given: SpawnContext, processes: ProcessTable, output: Multiplexer, on_demand: OnDemand) -> None:
        self._given = given
        self.processes = processes
        self._output = output
        self._on_demand = on_demand
        self.limits = spawn.DescriptorLimits()
        self._ports_of: Plan | None = None
        self._ports: dict[str, str] = {}

    def launch(self, action: Spawn, plan: Plan) -> list[Event]:
        """Start the process, and report that, or why it could not be started."""
        try:
            return self._launch(action, plan)
        except spawn.SpawnError as error:
            code, why = error.code, error.why
        except MemoryError:
            code, why = spawn.NO_ROOM, "procman has no memory left"
        return [SpawnFailed(action.name, action.generation, code, why, jitter())]

    def _launch(self, action: Spawn, plan: Plan) -> list[Event]:
        """Raises spawn.SpawnError, with nothing left of the process."""
        name, generation = action.name, action.generation
        root = self._root(plan)
        spec = _moved(action.spec, plan.root, root)
        provided = self._on_demand.provide(action)
        env = self._environment(name, generation, spec, plan)
        env.update(provided.env)
        size = self._output.terminals.size_of(name) if spec.tty else UNKNOWN_SIZE
        descriptors = 1 + self._given.split_streams + self._given.log_file + (spec.stdin is Stdin.OPEN)
        self.limits.make_room((len(self.processes.current) + 1) * descriptors)
        started = self._start(
            spawn.Launch(
                spec,
                env,
                root,
                self._given.split_streams,
                self.limits.original,
                size,
                sockets=provided.sockets,
                held=self.processes.subreaper,
            )
        )
        process = Process(name, generation, spec, started.pid, time.monotonic())
        if started.holder:
            process.group, process.held = started.holder, True
        led_by_shell = is_led_by_shell(spec.command, spec.shell)
        self.processes.add(process, led_by_shell=led_by_shell)
        report: list[Event] = [Spawned(name, generation, process.pid, led_by_shell)]
        try:
            self._connect(process, started)
        except OSError as error:  # no memory, or no watch left for its pipe (epoll(7))
            if started.stderr is not None and not process.streams:
                os.close(started.stderr)  # the other one has been closed where it was passed to
            report.append(Unreadable(name, generation, error.strerror or str(error)))
        self._on_demand.began(process)
        return report

    def _root(self, plan: Plan) -> str:
        try:
            return self._given.locate(plan.root)
        except ProcmanError as error:
            raise spawn.SpawnError(spawn.NO_ROOM, error.lines()[0]) from None

    def environment(self, process: Process, plan: Plan) -> dict[str, str]:
        """The environment of this process, except what is meant for its first process alone."""
        return self._environment(process.name, process.generation, process.spec, plan)

    def _environment(self, name: str, generation: int, spec: ProcessSpec, plan: Plan) -> dict[str, str]:
        env = spec.environment()
        env |= self._port_variables(plan)
        env |= instance_environment(spec, index_of(name))
        env["PWD"] = spec.cwd
        if not spec.tty:
            env.setdefault("PYTHONUNBUFFERED", "1")
        elif not env.get("TERM"):
            env["TERM"] = PLAIN_TERM
        env[MARK] = self.processes.mark(name, generation)
        if self._given.socket:
            env["PROCMAN_SOCKET"] = self._given.socket
        return env

    def _port_variables(self, plan: Plan) -> dict[str, str]:
        """Made once for each plan: with 500 types it would be 0.4 ms of each start."""
        if plan is not self._ports_of:
            self._ports_of = plan
            self._ports = plan.port_variables()
        return self._ports

    def _start(self, launch: spawn.Launch) -> spawn.SpawnedProcess:
        try:
            return spawn.start(launch)
        except spawn.SpawnError as error:
            if not (error.descriptors and self.limits.double()):
                raise
        return spawn.start(replace(launch, nofile=self.limits.original))

    def _connect(self, process: Process, started: spawn.SpawnedProcess) -> None:
        name, type_name = process.name, process.spec.type
        process.stdin = started.stdin
        self._output.widen([name])
        if process.spec.tty:
            process.streams += (self._output.open(name, type_name, started.stdout, terminal=True),)
            return
        stream = "stdout" if self._given.split_streams else None
        process.streams += (self._output.open(name, type_name, started.stdout, stream),)
        if started.stderr is not None:
            process.streams += (self._output.open(name, type_name, started.stderr, "stderr"),)


def _moved(spec: ProcessSpec, root: str, present: str) -> ProcessSpec:
    """The spec with its folder under the present name of the root."""
    if present == root or not f"{spec.cwd}/".startswith(f"{root}/"):
        return spec
    return replace(spec, cwd=present + spec.cwd[len(root) :])


ENDING = (SIGINT, SIGTERM)
"""Signals that are handled before anything more is started."""


class SpawnQueue:
    """Starts, first in, first out. `on_turn` is called when more may be started."""

    def __init__(self, reactor: Reactor, launcher: Launcher, on_turn: Callable[[], None]) -> None:
        self._reactor = reactor
        self._launcher = launcher
        self._on_turn = on_turn
        self._waiting: OrderedDict[tuple[str, int], Spawn] = OrderedDict()
        self._left = SPAWNS_A_ROUND

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, action: Spawn) -> None:
        self._waiting[action.name, action.generation] = action

    def cancel(self, action: CancelSpawn) -> SpawnCancelled | None:
        """Take a start out of the queue; None if it is not there any more."""
        spawn = self._waiting.pop((action.name, action.generation), None)
        return SpawnCancelled(spawn.name, spawn.generation) if spawn is not None else None

    def clear(self) -> None:
        self._waiting.clear()

    def start_next(self, plan: Plan) -> list[Event]:
        """Start the first one; empty if there is none, or if signals and clients get their turn first."""
        if not self._waiting or self._left == 0:
            return []
        if self._reactor.is_waiting(ENDING):
            self.go_on_soon()
            return []
        if self._left == SPAWNS_A_ROUND:
            self.go_on_soon()
        self._left -= 1
        _, action = self._waiting.popitem(last=False)
        if not self._waiting:
            self._waiting.clear()  # gives back what was needed for many at once
        return self._launcher.launch(action, plan)

    def go_on_soon(self) -> None:
        """Continue in the next round of the loop."""
        self._reactor.call_at(time.monotonic(), self._turn)

    def _turn(self) -> None:
        self._left = SPAWNS_A_ROUND
        self._on_turn()
