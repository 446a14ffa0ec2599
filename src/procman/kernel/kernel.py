"""The loop of meaning: a queue of events -> fleet.handle -> perform, one flat match. It acts and decides nothing.

Everything that happens becomes an event of the core here: a signal, an exit, a deadline, a command. Handlers run to
completion and never wait; what takes time is a state of the core and a later event.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from procman.core.actions import (
    Action,
    Finish,
    Inherit,
    Keep,
    Publish,
    Refuse,
    Remove,
    Reply,
    SetTimer,
    Signal,
    SignalProcess,
    Spawn,
)
from procman.core.events import (
    Adopted,
    Command,
    Commanded,
    Emptied,
    Event,
    Exited,
    ExitStatus,
    KillAsked,
    Orphaned,
    OrphanReaped,
    Reload,
    ShutdownAsked,
    Spawned,
    SpawnFailed,
    TimerFired,
)
from procman.core.fleet import Fleet
from procman.core.spec import Plan, instance_environment
from procman.core.state import Phase
from procman.core.view import Change, FleetView, Kind
from procman.errors import ConfigError
from procman.kernel import ports, reaper, spawn
from procman.kernel.history import History
from procman.kernel.lives import MARK, Life, Lives
from procman.kernel.output import Mux
from procman.kernel.reactor import Reactor
from procman.kernel.reaper import signal_number

SWEEP_FIRST = 0.05
SWEEP_LAST = 1.0
"""Seconds between looks at what is left, growing, while something is stopping: an orphan of an orphan makes no signal."""

LAST_REST = 5.0
"""Seconds that a process which appears after the end is waited for once it got KILL."""

PORT_NOTE_WITHIN = 10.0
"""An instance that ends within this many seconds may have found its port taken."""

Answer = Callable[[Reply | Refuse], None]


class Settings(Struct, frozen=True):
    """What the kernel needs beside the plan: where its socket is, and how to read the inputs again."""

    load: Callable[[Plan], Plan]
    socket: str | None = None
    split_streams: bool = False


class Kernel:
    """Performs what the fleet decides. `run()` returns the exit code."""

    def __init__(self, reactor: Reactor, plan: Plan, mux: Mux, history: History, settings: Settings) -> None:
        self.root = plan.root
        self.history = history
        self.fleet = Fleet(plan)
        self.on_change: Callable[[float, Change], None] = lambda _time, _change: None
        self._reactor = reactor
        self._mux = mux
        self._settings = settings
        self._lives = Lives(f"{os.getpid()}-{os.urandom(4).hex()}")
        self._limits = spawn.Limits()
        self._queue: deque[Event] = deque()
        self._answers: dict[int, Answer] = {}
        self._requests = 0
        self._handling = False
        self._sweeping = False
        self._code: int | None = None
        self._give_up_at = 0.0

    # ---- the loop

    def run(self) -> int:
        """Start the formation and supervise it until its end. If procman itself is at fault, nothing is left behind."""
        try:
            # Before the first spawn, though it costs 2 ms: a double fork that is quicker would be init's, and stay behind.
            self._lives.subreaper = reaper.become_subreaper()
            self._act(self.fleet.start(time.monotonic()))
            self._handle()
            self._reactor.run()
        except BaseException:
            self._lives.kill_all()
            raise
        return self._code if self._code is not None else 1

    def post(self, event: Event) -> None:
        """Handle an event, and all that follows from it, before anything else happens."""
        self._queue.append(event)
        if not self._handling:
            self._handle()

    def _handle(self) -> None:
        self._handling = True
        try:
            while self._queue:
                self._act(self.fleet.handle(self._queue.popleft(), time.monotonic()))
        finally:
            self._handling = False

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case Spawn():
                self._spawn(action)
            case Signal(name, generation, signal, target):
                life = self._life(name, generation)
                if life is not None:
                    self._lives.signal(life, signal, target)
                    self._sweep_soon()
            case SignalProcess(pid, signal):
                self._lives.signal_process(pid, signal)
                self._sweep_soon()
            case Keep(_, pid):
                self._lives.keep(pid)
            case Inherit(name, generation, signal):
                life = self._life(name, generation)
                if life is not None:
                    self._lives.inherit(life, signal_number(signal))
            case SetTimer(key, token, at):
                self._reactor.call_at(at, partial(self.post, TimerFired(key, token)))
            case Remove(name):
                self.history.forget(name)
            case Publish(change):
                self._tell(change)
            case Reply() | Refuse():
                self._answers.pop(action.request, _nobody)(action)
            case Finish(code):
                self._finish(code)
            case _:
                assert_never(action)

    def _life(self, name: str, generation: int) -> Life | None:
        life = self._lives.current.get(name)
        return life if life is not None and life.generation == generation else None

    # ---- a life begins

    def _spawn(self, action: Spawn) -> None:
        spec = action.spec
        env = {**spec.env, **instance_environment(self.fleet.plan, spec, action.index)}
        env.setdefault("PYTHONUNBUFFERED", "1")
        env[MARK] = self._lives.mark(action.name, action.generation)
        if self._settings.socket:
            env["PROCMAN_SOCKET"] = self._settings.socket
        split = self._settings.split_streams
        self._limits.make_room((len(self._lives.current) + 1) * (2 if split else 1))
        try:
            started = spawn.start(spawn.Launch(spec, env, self.root, split, self._limits.original))
        except spawn.SpawnError as error:
            jitter = _jitter()
            self._queue.append(SpawnFailed(action.name, action.generation, error.code, error.why, jitter))
            return
        life = Life(action.name, action.generation, spec, started.pid, time.monotonic())
        life.stdin = started.stdin
        self._lives.add(life)
        self._mux.widen([action.name])
        life.streams.append(self._mux.open(action.name, spec.type, started.stdout, "stdout" if split else None))
        if started.stderr is not None:
            life.streams.append(self._mux.open(action.name, spec.type, started.stderr, "stderr"))
        self._queue.append(Spawned(action.name, action.generation, started.pid))

    # ---- a life ends

    def on_child(self) -> None:
        """SIGCHLD: one can stand for many deaths. Leaders first, then who is adopted, then whose life is over."""
        while (dead := reaper.peek()) is not None:
            pid, status = dead
            life = self._lives.leader(pid)
            if life is not None:
                self._leader_ended(life, status)
            reaper.reap(pid)
            if self._lives.gone(pid) == "stray":
                self.post(OrphanReaped(pid))
        self._look()
        self._bury()
        self._end_if_alone()

    def _leader_ended(self, life: Life, status: ExitStatus) -> None:
        """Its last words come before the line that reports its end; it is reaped only after its group got KILL."""
        for stream in life.streams:
            self._mux.drain(stream)
            self._mux.flush_partial(stream)
        note = ""
        port = self._port_of(life)
        if status.code != 0 and port is not None and time.monotonic() - life.born < PORT_NOTE_WITHIN:
            note = ports.stranger_on(port, life.pid)
        self.post(Exited(life.name, life.generation, status, note, _jitter()))

    def _port_of(self, life: Life) -> int | None:
        return life.spec.port_of(int(life.name.rpartition(".")[2]))

    def _look(self) -> None:
        """Who has become our child without having been started by us."""
        for pid in reaper.children() if self._lives.subreaper else ():
            if self._lives.known(pid):
                continue
            if self._lives.is_changing(pid):
                self._sweep_soon()
            else:
                owner = self._lives.adopt(pid)
                self.post(Orphaned(pid) if owner is None else Adopted(owner[0], owner[1], pid, owner[2]))

    def _bury(self) -> None:
        while over := self._lives.emptied():
            for life in over:
                for stream in life.streams:
                    self._mux.close(stream)
                if life.stdin is not None:
                    os.close(life.stdin)
                self.post(Emptied(life.name, life.generation))

    def _sweep_soon(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._reactor.call_at(time.monotonic() + SWEEP_FIRST, partial(self._sweep, SWEEP_FIRST))

    def _sweep(self, pause: float) -> None:
        """A net below SIGCHLD, only while something is stopping: no idle procman ever wakes for it."""
        self._look()
        self._bury()
        self._end_if_alone()
        if self._lives.ending() or any(i.phase is Phase.STOPPING for i in self.fleet.instances()):
            pause = min(pause * 2, SWEEP_LAST)
            self._reactor.call_at(time.monotonic() + pause, partial(self._sweep, pause))
        else:
            self._sweeping = False

    # ---- the end

    def _finish(self, code: int) -> None:
        self._code = code
        self._give_up_at = time.monotonic() + LAST_REST
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        """Procman exits only when it has no child left; what appears after the end gets KILL, and five seconds."""
        if self._code is None:
            return
        left = reaper.children() if self._lives.subreaper else []
        stuck = {pid for life in self._lives.current.values() for pid in (life.pid, *life.adopted)}
        late = [pid for pid in left if pid not in stuck]
        if not late:
            self._reactor.stop()
            return
        now = time.monotonic()
        if now >= self._give_up_at:
            pids = ", ".join(map(str, late))
            self._tell(Change(event=Kind.UNKILLABLE, text=f"cannot end pid {pids}: still there after KILL"))
            self._code = 1
            self._reactor.stop()
            return
        for pid in late:
            self._lives.adopt(pid)
            self._lives.signal_process(pid, "KILL")
        self._reactor.call_at(now + SWEEP_FIRST, self._end_if_alone)

    # ---- what others ask

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to supervise."""
        return self._code is not None

    def view(self) -> FleetView:
        """The formation at this moment."""
        view = self.fleet.view(time.monotonic())
        if not self._lives.any_adopted():
            return view
        rows = tuple(replace(row, adopted=self._lives.adopted_by(row.name)) for row in view.instances)
        return replace(view, instances=rows)

    def ask(self, event: ShutdownAsked | KillAsked) -> None:
        """Hand on what a signal asks for."""
        self._look()
        self.post(event)

    def command(self, command: Command, answer: Answer) -> None:
        """Hand a command to the core; `answer` is called before this returns."""
        self._look()  # a daemon that was adopted unseen is kept, not taken for a leftover of the life
        self._requests += 1
        self._answers[self._requests] = answer
        self.post(Commanded(command, self._requests))

    def reload(self, answer: Callable[[Reply | Refuse | ConfigError], None]) -> None:
        """Read the inputs again; any error keeps the formation as it is."""
        try:
            plan = self._settings.load(self.fleet.plan)
        except ConfigError as error:
            for line in error.lines():
                self.say(f"reload refused: {line}")
            answer(error)
            return
        self.command(Reload(plan), answer)

    def say(self, text: str) -> None:
        """A line of procman's own in the output."""
        self._mux.system(text)

    def fault(self, error: BaseException) -> None:
        """A fault of procman's own that nobody else can be told of."""
        self.say(f"procman is at fault, please report it: {error!r}")

    def _tell(self, change: Change) -> None:
        if change.event is Kind.READY:
            self._look()  # what a program forks off while it starts is adopted by now
        if not change.quiet:
            self._mux.system(change.text)
        self.on_change(time.time(), change)


def _jitter() -> float:
    """A random fraction in [0, 1)."""
    return int.from_bytes(os.urandom(4), "big") / 2**32


def _nobody(_answer: Reply | Refuse) -> None:
    """The command came from a signal: what it did is in the log."""
