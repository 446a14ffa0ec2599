"""The kernel turns what happens into events of the core, and performs the actions that the core returns, by one match.

Handlers run to completion and never wait; anything that takes time is a state of the core and a later event.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from procman.core import actions, events
from procman.core.fleet import Decider, Fleet
from procman.core.phases import UP
from procman.core.survivor import AT_FAULT
from procman.core.view import Change, FleetView, Kind, Operation
from procman.kernel.ending import Ending
from procman.kernel.eventqueue import Answer, EventQueue, Publisher, ReloadAnswer, Requests
from procman.kernel.loop.deadlines import Deadlines
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.history import History
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.process.adoption import SWEEP_FIRST, Adoption
from procman.kernel.process.deaths import Deaths
from procman.kernel.process.helpers import Helpers
from procman.kernel.process.launcher import Launcher
from procman.kernel.process.ondemand import OnDemand
from procman.kernel.process.process import MARK, Process
from procman.kernel.process.table import ProcessTable
from procman.kernel.survive.faults import Faults
from procman.kernel.survive.guarding import Guarding, can_guard
from procman.kernel.survive.lazyupgrade import LazyUpgrade
from procman.kernel.wiring import KernelParts, KernelSettings
from procman.text.signals import signal_number


class Kernel:
    """Performs what the core decides. `run()` returns the exit code."""

    def __init__(
        self, reactor: Reactor, fleet: Fleet, output: Multiplexer, history: History, settings: KernelSettings
    ) -> None:
        self.root, self.history = fleet.plan.root, history
        self.output, self.log = output, output.log
        self._publisher = publisher = Publisher(output.log)
        self.listeners, self.operation_listeners = publisher.listeners, publisher.operation_listeners
        self.helpers = Helpers(reactor)
        self._reactor, self.upgrades = reactor, 0  # how often procman has been upgraded
        self._guarded, self._keep = settings.guarded is not None, settings.keep
        self._processes = ProcessTable(f"{os.getpid()}-{os.urandom(4).hex()}", output.log)
        self._faults = Faults(reactor, fleet, history, settings.trace, output.log)
        self._adoption = Adoption(reactor, self._processes, output, self.helpers, self)
        self._on_demand = OnDemand(reactor, self._processes, self)
        self._launcher = launcher = Launcher(settings.given, self._processes, output, self._on_demand)
        self._events = EventQueue(reactor, self._faults, launcher, self._carry_out, self._adoption.scan_soon)
        self.post = self._events.post
        self._deaths = Deaths(self._processes, output, self.helpers, self.post, self._adoption)
        self._guarding = Guarding(reactor, self.helpers, self._processes.ledger, settings.guarded or (), output.log)
        self._deadlines = Deadlines(reactor, lambda key, token: self.post(events.TimerFired(key, token)))
        self._ending = Ending(reactor, self._adoption, self._deaths, self._publisher.publish, lambda: self.fleet.stuck)
        self._upgrade = LazyUpgrade(reactor, self, settings.upgrading)
        self.parts = KernelParts(
            self._processes, self._deadlines, self._adoption, self._guarding, launcher.limits, self._on_demand
        )
        self.upgrade, self.write_trace = self._upgrade.ask, self._faults.write_trace
        self._requests = Requests(settings.load, output.log)
        self._notice: str | None = None  # published after an upgrade
        if settings.before is not None:
            settings.before.restore(self.parts)
            self.upgrades, self._notice = settings.before.upgrades, settings.before.notice

    @property
    def fleet(self) -> Decider:
        """What decides: the fleet, or the fallback once the fleet has raised."""
        return self._faults.decider

    # ---- the loop

    def run(self) -> int:
        """Start the formation, or continue after an upgrade, and supervise it until its end.

        A fault of procman itself is raised at the end. Until then running processes are kept, and stopped in order;
        where even that fails they are killed.
        """
        try:
            self._reactor.handle_signals()  # signals that ask for an end before anything has begun
            if self._notice is None and not self.finished:
                self._adoption.begin()
                self._guard()  # before the first spawn: what a kill meets between the two would be left behind
                self.post(events.FormationStarted())
            elif self._notice is not None:
                self._publisher.publish(Change(event=Kind.UPGRADED, text=self._notice))
                self._reactor.call_at(time.monotonic(), self.on_child)  # deaths meanwhile: one signal stands for many
                self._adoption.sweep_soon()
                self._guard()
            self._upgrade.load_soon()
            self._supervise()
        finally:
            if self._ending.code is None:
                self._ending.abandon()
            self.helpers.end()
            self._on_demand.end()
            self._guarding.end()
        if self._faults.first is not None:
            raise self._faults.first
        return self._ending.code if self._ending.code is not None else 1

    def _guard(self) -> None:
        if self._guarded and not self.finished and self._adoption.known and can_guard():
            self._guarding.start()

    def _supervise(self) -> None:
        while True:
            try:
                return self._reactor.run()
            except MemoryError:
                self._no_memory()
            except Exception as error:  # noqa: BLE001  a fault of ours in a handler: logged, and raised by run() at the end
                self._events.fail(error, "an orderly stop follows", stop=True)
                self._reactor.call_at(time.monotonic(), self.on_child)  # it may have been interrupted

    def _no_memory(self) -> None:
        self._faults.no_memory(lambda: self._reactor.call_at(time.monotonic() + SWEEP_FIRST, self.on_child))

    def _carry_out(self, decided: Sequence[actions.Action]) -> None:
        self._adoption.decided = decided
        for action in decided:
            self._perform(action)

    def _perform(self, action: actions.Action) -> None:
        match action:  # what is frequent comes first
            case actions.Publish(change):
                self._publisher.publish(change)
            case actions.SetTimer(key, token, at):
                self._deadlines.set(key, token, at)
            case actions.Signal(name, generation, signal, target):
                self._adoption.foresee()  # before the first signal of a decision
                if process := self._processes.find(name, generation, target):
                    self._processes.signal(process, signal, target)
            case actions.Spawn():
                self._events.spawns.add(action)
            case actions.Reply() | actions.Refuse():
                self._requests.answer(action)
            case actions.OperationEnded(operation):
                self._publisher.end(operation)
            case actions.Remove(name):
                self.output.forget(name)
                self._on_demand.forget(name)
            case actions.CancelSpawn():
                self._events.cancel(action)
            case actions.SignalProcess(pid, signal):
                self._processes.signal_process(pid, signal)
                self._adoption.sweep_soon()
            case actions.ShareDaemon(_, pid):
                self._processes.keep(pid)
            case actions.ReclaimDaemons(name, generation, signal):
                if process := self._processes.find(name, generation):
                    self._processes.inherit(process, signal_number(signal))
            case actions.KeepCounts(counts):
                self._keep(counts)
            case actions.Finish(code):
                self._ending.begin(code)
            case _:
                self._on_demand.perform(action)

    def environment(self, process: Process) -> Mapping[str, str]:
        """The environment of this process."""
        return self._launcher.environment(process, self.fleet.plan)

    # ---- children

    def on_child(self) -> None:
        """SIGCHLD: first leaders, then adopted processes, then instances of which nothing is left."""
        if self._deaths.collect(self._unasked):
            self._reactor.call_at(time.monotonic(), self.on_child)  # other events get their turn in between
        self.check_children()

    def _unasked(self, process: Process) -> bool:
        i = self.fleet.get(process.name)
        return i is not None and isinstance(i.phase, UP)

    def check_children(self) -> None:
        """See which children are left, which instances are over, and whether procman can end."""
        self._adoption.scan_children()
        self._adoption.close_ended()
        self._ending.check()

    # ---- what others ask

    @property
    def finished(self) -> bool:
        return self._ending.code is not None

    def view(self) -> FleetView:
        """The present state of the formation."""
        return replace(self._processes.complete(self.fleet.view(time.monotonic())), number=self._publisher.number)

    def ask(self, event: events.ShutdownAsked | events.KillAsked | events.InterruptAsked | events.ScaleAsked) -> None:
        """Pass on what a signal asks for."""
        self._adoption.scan_children()
        self.post(event)

    def operation(self, number: int) -> Operation | None:
        """An operation's state; None if it does not exist, or no longer."""
        return self.fleet.operation(number)

    def why(self, name: str) -> tuple[str, ...]:
        """Sentences about why an instance is as it is; empty for an unknown one."""
        return self.fleet.why(name, time.monotonic())

    def command(self, command: events.Command, answer: Answer) -> None:
        """Pass a command to the core. `answer` is called before this returns, and the processes are started after that."""
        self._adoption.scan_children()  # so that a new daemon is kept, and not taken for a leftover of its instance
        self._events.decide(self._requests.add(command, answer))

    def reload(self, answer: ReloadAnswer) -> None:
        """Read the inputs again. An error leaves the formation unchanged."""
        plan = self._requests.read_again(self.fleet.plan, answer)
        if plan is not None:
            self.command(events.Reload(plan), answer)

    def fault(self, error: BaseException) -> None:
        """Log a fault of procman itself; after a lack of memory, just continue."""
        if isinstance(error, MemoryError):
            self._no_memory()
        else:
            self._faults.report(error)

    # ---- an upgrade

    def why_not(self) -> str:
        """Why procman cannot be upgraded now; "" if it can."""
        if self._faults.fallen_back:
            return AT_FAULT
        return "procman is stopping" if self.fleet.stopping or self.finished else ""

    @property
    def busy(self) -> bool:
        """Whether something has begun that only this program can finish: a start, a command of a drain."""
        return bool(self._events.spawns) or self._on_demand.runs_commands

    @property
    def mark(self) -> tuple[str, str]:
        """The variable that marks procman's own helpers, so that the guardian finds them."""
        return MARK, self._processes.mark("@upgrade", 0)
