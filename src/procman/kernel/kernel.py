"""The loop of meaning: a queue of events -> fleet.handle -> perform, one flat match. It acts and decides nothing.

Everything that happens becomes an event of the core here: a signal, an exit, a deadline, a command. Handlers run to
completion and never wait; what takes time is a state of the core and a later event.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from msgspec import Struct
from msgspec.structs import replace

from procman import __version__
from procman.core.actions import (
    Action,
    Finish,
    ReclaimDaemons,
    ShareDaemon,
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
    FormationStarted,
    Command,
    Commanded,
    Event,
    Exited,
    ExitStatus,
    KillAsked,
    OrphanReaped,
    Reload,
    ShutdownAsked,
    Spawned,
    SpawnFailed,
    TimerFired,
)
from procman.core.fleet import Fleet
from procman.core.fallback import REASON, Fallback, Survivor
from procman.core.snapshot import Packed, pack, unpack
from procman.core.spec import Plan
from procman.core.state import Phase
from procman.core.trace import FORMAT, TraceHeader, Trace
from procman.core.view import Change, FleetView, Kind
from procman.errors import ConfigError
from procman.kernel.process import reaper
from procman.kernel.process import spawn
from procman.kernel.process.adoption import SWEEP_FIRST, Adoption
from procman.kernel.loop.deadlines import Deadlines
from procman.kernel.survive.guarding import Guarding, Kept, can_guard
from procman.kernel.output.history import History
from procman.kernel.process.launcher import SpawnContext, Launcher
from procman.kernel.process.table import MARK, Process, ProcessTable, ProcessTableState
from procman.kernel.process.oom import OomNotes
from procman.kernel.output.fanout import TELL_AGAIN, Mux, ChildStream
from procman.kernel.process.ports import PortNotes
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.reaper import signal_number
from procman.kernel.survive.tracefile import write_private

if TYPE_CHECKING:
    from procman.kernel.survive.upgrading import Told, LiveUpgrade

LAST_REST = 5.0
"""Seconds that a process which appears after the end is waited for once it got KILL."""

MOST_FAULTS = 100
"""Of procman's own, after which the last resort itself is not to be relied on."""

RESERVE = 2 << 20
"""Bytes that are given back where there is no memory, so that there is some to go on with: Python takes 1 MiB at a time
for small objects. Never touched, so it costs address space alone."""

KILLED = 128 + 9
"""The code of a death by KILL."""

QUIET_AFTER = 0.05
"""Seconds after which what has been started has had its first word, if it has one."""

SPAWNS_A_ROUND = 32
REAPS_A_ROUND = 256
"""So that a large formation, or a storm of orphans, keeps nobody waiting: some 15 ms each."""

Answer = Callable[[Reply | Refuse], None]


class KernelState(Struct, frozen=True, kw_only=True):
    """Everything that a kernel knows between two events, for the program that takes its place. `limit` is the soft limit
    of descriptors that instances get, where procman has raised its own.
    """

    fleet: Packed
    lives: ProcessTableState
    deadlines: dict[str, tuple[float, int]]
    not_ours: tuple[int, ...]
    guardian: Kept | None = None
    limit: int | None = None


class Handover(Struct, frozen=True):
    """What another program has handed over: its state, the streams of the Mux by descriptor, and what is told of it."""

    state: KernelState
    streams: dict[int, ChildStream]
    news: str


class KernelSettings(Struct, frozen=True):
    """What the kernel needs beside the plan: how to read the inputs again, what instances are given, and where a trace
    of the core's last events is written when it is asked for or needed.

    `guarded`: a guardian ends what runs, should procman be killed; it holds these descriptors. None: there is none.
    """

    load: Callable[[Plan], Plan]
    given: SpawnContext
    trace: str
    guarded: tuple[int, ...] | None = None


class Kernel:
    """Performs what the fleet decides. `run()` returns the exit code."""

    def __init__(self, reactor: Reactor, plan: Plan, mux: Mux, history: History, settings: KernelSettings) -> None:
        self.root = plan.root
        self.history = history
        fleet = Fleet(plan)
        self.fleet: Fleet | Fallback = fleet
        self.on_change: Callable[[float, Change], None] = lambda _time, _change: None
        self._reactor = reactor
        self.mux = mux
        self._settings = settings
        self.upgrades = 0
        self.make_upgrading: Callable[[], LiveUpgrade] | None = None
        self._upgrading: LiveUpgrade | None = None
        self._taken_over: str | None = None  # what is told of it
        self._lives = ProcessTable(f"{os.getpid()}-{os.urandom(4).hex()}")
        self._census = Adoption(reactor, self._lives, mux, self)
        self._guarding = Guarding(reactor, self._lives.ledger, settings.guarded or (), self.say)
        self._deadlines = Deadlines(reactor, lambda key, token: self.post(TimerFired(key, token)))
        self._ports = PortNotes(look=self._census.known)
        self._oom = OomNotes()
        self._launcher = Launcher(settings.given, self._lives, mux)
        self._spawns: deque[Spawn] = deque()
        self._spawns_left = SPAWNS_A_ROUND
        self._queue: deque[Event] = deque()
        self._answers: dict[int, Answer] = {}
        self._requests = 0
        self._handling = False
        self._trace = Trace(fleet)
        self._fault: Exception | None = None
        self._faults = 0
        self._no_memory_until = 0.0  # when that may be told again
        self._reserve = bytes(RESERVE)
        self._pressing = False
        self._code: int | None = None
        self._give_up_at = 0.0

    # ---- the loop

    def run(self) -> int:
        """Start the formation and supervise it until its end.

        A fault of procman's own is raised at the end: until then what runs is kept, and stopped in order. Where even
        that does not work, nothing is left behind.
        """
        try:
            self._begin() if self._taken_over is None else self._go_on(self._taken_over)
            if self._settings.guarded is not None and self._census.known and can_guard():
                self._guarding.start()  # after the first spawns, which need not wait for it
            self._reactor.call_at(time.monotonic() + QUIET_AFTER, self._prepare_upgrade)
            self._supervise()
        finally:
            if self._code is None:
                self._abandon()
            if self._upgrading is not None:
                self._upgrading.end()
            self._guarding.end()
        if self._fault is not None:
            raise self._fault
        return self._code if self._code is not None else 1

    def _prepare_upgrade(self) -> None:
        """When all are started and have had their first word: nobody waits the 3 ms that it takes."""
        if self._spawns:
            self._reactor.call_at(time.monotonic() + QUIET_AFTER, self._prepare_upgrade)
        else:
            self._load_upgrading()

    def _load_upgrading(self) -> None:
        """Once, and long before it is asked for: what would be loaded then is the next version."""
        make, self.make_upgrading = self.make_upgrading, None
        if make is not None:
            try:
                self._upgrading = make()
            except (ImportError, OSError, MemoryError) as error:  # no descriptor left, say
                self.say(f"cannot be upgraded while running: {error}")

    def _begin(self) -> None:
        self._census.begin()
        self.post(FormationStarted())

    def take_over(self, before: Handover) -> None:
        """Go on in `run()` where another program was. A subreaper stays one over an exec (prctl(2))."""
        state = before.state
        fleet = Fleet(self.fleet.plan, unpack(state.fleet))
        self.fleet = fleet
        self._trace = Trace(fleet)
        self._lives.restore(state.lives, before.streams)
        self._census.not_ours = frozenset(state.not_ours)
        self._launcher.limits.original = state.limit
        if state.guardian is not None:
            self._guarding.take_over(state.guardian)
        for key, (at, token) in state.deadlines.items():
            self._deadlines.set(key, token, at)
        self._taken_over = before.news

    def _go_on(self, news: str) -> None:
        self._tell(Change(event=Kind.UPGRADED, text=news))
        self._reactor.call_at(time.monotonic(), self.on_child)  # who has ended meanwhile: one signal stands for many
        self._census.sweep_soon()

    def _supervise(self) -> None:
        while True:
            try:
                return self._reactor.run()
            except MemoryError:
                self._no_memory()
            except Exception as error:  # noqa: BLE001  a fault of ours in a handler: told, and raised by run() at the end
                self._fail(error, "an orderly stop follows", stop=True)
                self._reactor.call_at(time.monotonic(), self.on_child)  # which may be what was cut short

    def _no_memory(self) -> None:
        """Nobody's fault, and no end: what was cut short is done again, with the reserve and what the kept output gives."""
        if self._reserve:
            self._reserve = b""
            self._reactor.call_at(time.monotonic() + TELL_AGAIN, self._take_reserve)
        try:
            self.history.relieve()
            self._reactor.call_at(time.monotonic() + SWEEP_FIRST, self.on_child)
            if time.monotonic() >= self._no_memory_until:
                self._no_memory_until = time.monotonic() + TELL_AGAIN
                self.say("no memory: procman goes on, and gives up what it keeps of the output")
        except MemoryError:  # not even for that: the next one that is cut short comes here again
            self._no_memory_until = 0.0

    def _take_reserve(self) -> None:
        self._reserve = bytes(RESERVE)

    def _fail(self, error: Exception, what: str, *, stop: bool) -> None:
        """Procman itself is at fault: the last resort takes over from the fleet. Raises where it fails as well."""
        self._faults += 1
        if self._faults > MOST_FAULTS:
            raise error
        if self._fault is None:
            self._fault = error
            self.say(f"procman is at fault, please report it: {_named(error)}; {what}")
            import traceback  # noqa: PLC0415  3 ms at import, which every start would pay

            self.write_trace("".join(traceback.format_exception(error)))
        now = time.monotonic()
        if isinstance(self.fleet, Fallback):
            self._act(self.fleet.handle(ShutdownAsked("procman is at fault"), now))
            return
        self._spawns.clear()
        self._queue.clear()
        left = [Survivor(life.name, life.generation, life.pid, life.spec) for life in self._lives.current.values()]
        stop = stop or self.fleet.stopping
        self.fleet = Fallback(self.fleet.plan, self.fleet.counts, left)
        self._act(self.fleet.start(now, stop=stop))

    def write_trace(self, cause: str) -> None:
        """The core's last events, as `procman debug replay` reads them."""
        header = TraceHeader(FORMAT, __version__, cause, time.time())
        try:
            write_private(self._settings.trace, self._trace.lines(header))
        except OSError as error:
            self.say(f"cannot write the trace {self._settings.trace}: {error.strerror}")
        else:
            self.say(f"the last events are in {self._settings.trace}; `procman debug replay` shows them")

    def _abandon(self) -> None:
        """Procman itself is at fault: KILL to everything that it started, as long as something is left."""
        give_up_at = time.monotonic() + LAST_REST
        while True:
            self._lives.kill_all()
            while (dead := reaper.peek()) is not None:
                reaper.reap(dead[0])
                if not self._helper_ended(*dead):
                    self._lives.gone(dead[0])
            left = self._census.ours()
            if not left or time.monotonic() > give_up_at:
                return
            self._census.kill(left)
            time.sleep(0.01)

    def post(self, event: Event) -> None:
        """Handle an event, and all that follows from it, before anything else happens."""
        self._queue.append(event)
        if not self._handling:
            self._handle()

    def _handle(self, *, start: bool = True) -> None:
        self._handling = True
        try:
            while self._queue or (start and self._spawn_some()):
                if self._queue:
                    self._decide(self._queue.popleft(), time.monotonic())
        finally:
            self._handling = False

    def _decide(self, event: Event, now: float) -> None:
        """Half a decision is worse than none: whoever raises, the core or what performs it, the last resort goes on."""
        self._trace.note(now, event)
        first = isinstance(self.fleet, Fleet)
        try:
            self._act(self.fleet.handle(event, now))
        except Exception as error:  # noqa: BLE001  told now, and raised by run() at the end
            kept = "what runs is kept, and stopped in order by TERM, Ctrl-C or `procman shutdown`"
            self._fail(error, kept if self._lives.current else "nothing runs", stop=False)
            if isinstance(event, Commanded):
                answer = self._answers.pop(event.request, None)
                if answer is not None:
                    answer(Refuse(event.request, f"cannot do that: {REASON}"))
            elif first:
                self._queue.appendleft(event)

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case Spawn():
                self._spawns.append(action)
            case Signal(name, generation, signal, target):
                life = self._life(name, generation)
                if life is not None:
                    self._lives.signal(life, signal, target)
                    self._census.sweep_soon()
            case SignalProcess(pid, signal):
                self._lives.signal_process(pid, signal)
                self._census.sweep_soon()
            case ShareDaemon(_, pid):
                self._lives.keep(pid)
            case ReclaimDaemons(name, generation, signal):
                life = self._life(name, generation)
                if life is not None:
                    self._lives.inherit(life, signal_number(signal))
            case SetTimer(key, token, at):
                self._deadlines.set(key, token, at)
            case Remove(name):
                self.mux.forget(name)
            case Publish(change):
                self._tell(change)
            case Reply() | Refuse():
                self._answers.pop(action.request)(action)
            case Finish(code):
                self._finish(code)
            case _:
                assert_never(action)

    def _life(self, name: str, generation: int) -> Process | None:
        life = self._lives.current.get(name)
        return life if life is not None and life.generation == generation else None

    # ---- a life begins

    def _spawn_some(self) -> bool:
        """Start one that waits for it, at most `SPAWNS_A_ROUND` before signals and clients get their turn again."""
        if not self._spawns or self._spawns_left == 0:
            return False
        if self._spawns_left == SPAWNS_A_ROUND:
            self._reactor.call_at(time.monotonic(), self._spawn_more)
        self._spawns_left -= 1
        self._spawn(self._spawns.popleft())
        return True

    def _spawn_more(self) -> None:
        self._spawns_left = SPAWNS_A_ROUND
        self._handle()

    def _spawn(self, action: Spawn) -> None:
        name, generation = action.name, action.generation
        i = self.fleet.get(name)
        if i is not None and i.generation == generation and not i.wanted:
            self._queue.append(SpawnFailed(name, generation, spawn.NO_ROOM, "not wanted any more"))
            return
        try:
            life = self._launcher.launch(action, self.fleet.plan)
        except spawn.SpawnError as error:
            self._queue.append(SpawnFailed(name, generation, error.code, error.why, _jitter()))
        except MemoryError:
            self._queue.append(SpawnFailed(name, generation, spawn.NO_ROOM, "procman has no memory left", _jitter()))
        else:
            self._queue.append(Spawned(name, generation, life.pid))

    # ---- a life ends

    def on_child(self) -> None:
        """SIGCHLD: one can stand for many deaths. Leaders first, then who is adopted, then whose life is over."""
        for _ in range(REAPS_A_ROUND):
            dead = reaper.peek()
            if dead is None:
                break
            pid, status = dead
            life = self._lives.leader(pid)
            if life is not None:
                self._leader_ended(life, status)
            reaper.reap(pid)
            if not self._helper_ended(pid, status) and self._lives.gone(pid):
                self.post(OrphanReaped(pid))
        else:
            self._reactor.call_at(time.monotonic(), self.on_child)  # others get their turn between
        self.take_stock()

    @property
    def helpers(self) -> set[int]:
        """Children that are no part of what runs."""
        return self._guarding.pids.union(self._upgrading.pids if self._upgrading is not None else ())

    def _helper_ended(self, pid: int, status: ExitStatus) -> bool:
        return self._guarding.reaped(pid) or (self._upgrading is not None and self._upgrading.reaped(pid, status))

    def _leader_ended(self, life: Process, status: ExitStatus) -> None:
        """Its last words come before the line that reports its end; it is reaped only after its group got KILL."""
        for stream in life.streams:
            self.mux.drain(stream)
            self.mux.flush_partial(stream)
        i = self.fleet.get(life.name)
        unasked = i is not None and i.phase in (Phase.STARTING, Phase.READY) and status.code != 0
        note = self._ports.note(life, time.monotonic()) if unasked else ""
        if unasked and status.code == KILLED:  # also as a shell tells it of its last command
            note = self._oom.note() or note
        self.post(Exited(life.name, life.generation, status, note, _jitter()))

    def take_stock(self) -> None:
        """Who is left, who is over, and whether that was the last."""
        self._census.look()
        self._census.bury()
        self._end_if_alone()

    @property
    def clearing(self) -> bool:
        """Whether an instance is on its way out."""
        return self.fleet.any_in(Phase.STOPPING)

    # ---- the end

    def _finish(self, code: int) -> None:
        self._code = code
        self._give_up_at = time.monotonic() + LAST_REST
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        """Procman exits only when it has no child left; what appears after the end gets KILL, and five seconds."""
        if self._code is None or self._pressing:
            return
        late = self._census.late(self.fleet.stuck)
        if not late:
            self._reactor.stop()
        elif time.monotonic() >= self._give_up_at:
            pids = ", ".join(map(str, late))
            self._tell(Change(event=Kind.UNKILLABLE, text=f"cannot end pid {pids}: still there after KILL"))
            self._code = 1
            self._reactor.stop()
        else:
            self._pressing = True
            self._census.kill(late)
            self._reactor.call_at(time.monotonic() + SWEEP_FIRST, self._press_again)

    def _press_again(self) -> None:
        self._pressing = False
        self._end_if_alone()

    # ---- what others ask

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to supervise."""
        return self._code is not None

    def view(self) -> FleetView:
        """The formation at this moment."""
        view = self.fleet.view(time.monotonic())
        adopted = self._lives.adopted()
        rows = tuple(replace(row, adopted=adopted[row.name]) if row.name in adopted else row for row in view.instances)
        return replace(view, instances=rows)

    def ask(self, event: ShutdownAsked | KillAsked) -> None:
        """Hand on what a signal asks for."""
        self._census.look()
        self.post(event)

    def command(self, command: Command, answer: Answer) -> None:
        """Hand a command to the core; `answer` is called before this returns, and what it starts is started after."""
        self._census.look()  # a daemon that was adopted unseen is kept, not taken for a leftover of the life
        self._requests += 1
        self._answers[self._requests] = answer
        self._queue.append(Commanded(command, self._requests))
        self._handle(start=False)
        if self._spawns:
            self._reactor.call_at(time.monotonic(), self._spawn_more)

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

    def upgrade(self, told: Told) -> None:
        """Let the installed program take over; `told` is called once that is about to happen, or is refused."""
        self._load_upgrading()
        if self._upgrading is None:
            told(Refuse(0, "cannot upgrade: what that needs could not be loaded at the start"))
        else:
            self._upgrading.ask(told)

    def why_not(self) -> str:
        """Why there can be no upgrade now; "" where there can."""
        if isinstance(self.fleet, Fallback):
            return REASON
        if self.fleet.stopping or self.finished:
            return "procman is stopping"
        return "" if hasattr(os, "memfd_create") else "this system has no memory files"

    @property
    def starting(self) -> bool:
        """Whether an instance is about to be started, which no state tells."""
        return bool(self._spawns)

    @property
    def mark(self) -> tuple[str, str]:
        """What procman's own helpers bear in their environment, so that the guardian finds them."""
        return MARK, self._lives.mark("@upgrade", 0)

    def state(self) -> KernelState:
        """Everything it knows, between two events."""
        assert isinstance(self.fleet, Fleet)
        return KernelState(
            fleet=pack(self.fleet.state()),
            lives=self._lives.state(),
            deadlines=self._deadlines.state(),
            not_ours=tuple(self._census.not_ours),
            guardian=self._guarding.kept,
            limit=self._launcher.limits.original,
        )

    def reopen(self) -> None:
        """The log files have been renamed, as logrotate(8) does."""
        if not self.mux.reopen():
            self.say("SIGUSR1: no log files to reopen; --log-dir makes some")

    def say(self, text: str) -> None:
        """A line of procman's own in the output."""
        self.mux.system(text)

    def fault(self, error: BaseException) -> None:
        """A fault of procman's own that nobody else can be told of."""
        if isinstance(error, MemoryError):
            self._no_memory()
        else:
            self.say(f"procman is at fault, please report it: {_named(error)}")

    def _tell(self, change: Change) -> None:
        if change.event is Kind.READY:
            self._census.look_soon()
        if not change.quiet:
            self.mux.system(change.text)
        self.on_change(time.time(), change)


def _named(error: BaseException) -> str:
    """Not its repr(): that of a UnicodeEncodeError has the whole text, which may be a secret of the environment."""
    return f"{type(error).__name__}: {error}"


def _jitter() -> float:
    """A random fraction in [0, 1)."""
    return int.from_bytes(os.urandom(4), "big") / 2**32
