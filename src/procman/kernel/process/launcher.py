"""A Spawn of the core becomes a life: its environment, its process, and its output connected.

Knows what an instance is given; when it is started is the kernel's business.
"""

from __future__ import annotations

import os
import time

from msgspec import Struct

from procman.core.actions import Spawn, Target
from procman.core.spec import Plan, Stdin, instance_environment
from procman.kernel.process import spawn
from procman.kernel.process.table import MARK, Process, ProcessTable
from procman.kernel.output.fanout import Mux
from procman.kernel.output.terminals import UNKNOWN

PLAIN_TERM = "xterm"
"""TERM of an instance with a terminal where procman itself has none (cron, a container): what `docker run -t` says."""


class SpawnContext(Struct, frozen=True):
    """What every instance is given: procman's root and socket, whether its two streams are kept apart, and whether it has
    a log file.
    """

    root: str
    socket: str | None = None
    split_streams: bool = False
    log_file: bool = False


class Launcher:
    """Starts lives and puts them into the table."""

    def __init__(self, given: SpawnContext, lives: ProcessTable, mux: Mux) -> None:
        self._given = given
        self._lives = lives
        self._mux = mux
        self.limits = spawn.DescriptorLimits()
        self._ports_of: Plan | None = None
        self._ports: dict[str, str] = {}

    def launch(self, action: Spawn, plan: Plan) -> Process:
        """Start it. Raises spawn.SpawnError, with nothing left of it."""
        spec = action.spec
        env = {**spec.env, **self._port_variables(plan), **instance_environment(spec, action.index)}
        if not spec.tty:
            env.setdefault("PYTHONUNBUFFERED", "1")
        elif not env.get("TERM"):
            env["TERM"] = PLAIN_TERM
        env[MARK] = self._lives.mark(action.name, action.generation)
        if self._given.socket:
            env["PROCMAN_SOCKET"] = self._given.socket
        descriptors = 1 + self._given.split_streams + self._given.log_file + (spec.stdin is Stdin.OPEN)
        self.limits.make_room((len(self._lives.current) + 1) * descriptors)
        started = self._start(action, env)
        life = Process(action.name, action.generation, spec, started.pid, time.monotonic())
        self._lives.add(life)
        try:
            self._connect(life, started)
        except OSError as error:  # no memory, or no watch left for its pipe (epoll(7)): it would block unseen
            if started.stderr is not None and not life.streams:
                os.close(started.stderr)  # the other one has been closed by whom it was given to
            self._mux.system(f"{life.name}: cannot read its output ({error.strerror}): killed")
            self._lives.signal(life, "KILL", Target.ALL)
        return life

    def _port_variables(self, plan: Plan) -> dict[str, str]:
        """Made once for a plan: with 500 types, 0.4 ms of each start otherwise."""
        if plan is not self._ports_of:
            self._ports_of = plan
            self._ports = plan.port_variables()
        return self._ports

    def _start(self, action: Spawn, env: dict[str, str]) -> spawn.Started:
        given = self._given
        size = self._mux.terminals.size_of(action.name) if action.spec.tty else UNKNOWN

        def attempt() -> spawn.Started:
            limit = self.limits.original
            return spawn.start(spawn.Launch(action.spec, env, given.root, given.split_streams, limit, size))

        try:
            return attempt()
        except spawn.SpawnError as error:
            if not (error.descriptors and self.limits.double()):
                raise
        return attempt()

    def _connect(self, life: Process, started: spawn.Started) -> None:
        name, type_name = life.name, life.spec.type
        life.stdin = started.stdin
        self._mux.widen([name])
        if life.spec.tty:
            life.streams += (self._mux.open(name, type_name, started.stdout, terminal=True),)
            return
        stream = "stdout" if self._given.split_streams else None
        life.streams += (self._mux.open(name, type_name, started.stdout, stream),)
        if started.stderr is not None:
            life.streams += (self._mux.open(name, type_name, started.stderr, "stderr"),)
