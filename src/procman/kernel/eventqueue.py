"""Handles events in their order: each is decided, and all its actions performed, before the next.

Owns the queue, the answers to commands, the publishing of changes, and what follows where the core or the performing of
an action raises: the fallback takes over.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from procman.core.actions import Action, CancelSpawn, Refuse, Reply
from procman.core.events import Command, Commanded, Event, ShutdownAsked, Spawned
from procman.core.spec import Plan
from procman.core.survivor import AT_FAULT, Survivor
from procman.core.view import Change, Operation
from procman.errors import ConfigError
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.launcher import Launcher, SpawnQueue
from procman.kernel.survive.faults import Faults

Answer = Callable[[Reply | Refuse], None]


if TYPE_CHECKING:

    class LogLine(Protocol):
        """Logs a line of procman's own, in red where something went wrong."""

        def __call__(self, text: str, *, trouble: bool = False) -> None: ...


class EventQueue:
    """`carry_out` performs all that was decided on an event; `started` is called after each start of a process."""

    def __init__(
        self,
        reactor: Reactor,
        faults: Faults,
        launcher: Launcher,
        carry_out: Callable[[Sequence[Action]], None],
        started: Callable[[], None],
    ) -> None:
        self._faults = faults
        self._processes = launcher.processes
        self.spawns = SpawnQueue(reactor, launcher, self.handle)
        self._carry_out = carry_out
        self._started = started
        self._waiting: deque[Event] = deque()
        self._handling = False

    def post(self, event: Event) -> None:
        """Handle an event and everything that follows from it, before anything else."""
        self._waiting.append(event)
        if not self._handling:
            self.handle()

    def decide(self, event: Event) -> None:
        """Handle an event, and leave the starts that follow from it to the next round."""
        self._waiting.append(event)
        self.handle(start=False)
        if self.spawns:
            self.spawns.go_on_soon()

    def handle(self, *, start: bool = True) -> None:
        """Handle all waiting events."""
        self._handling = True
        try:
            while self._waiting or (start and self.spawns and self._start_one()):
                self._decide(self._waiting.popleft(), time.monotonic())
        finally:
            self._handling = False

    def _start_one(self) -> bool:
        """Start the next process in the queue; returns whether there was a result, good or bad."""
        events = self.spawns.start_next(self._faults.decider.plan)
        if events and isinstance(events[0], Spawned):
            self._started()
        self._waiting += events
        return bool(events)

    def cancel(self, action: CancelSpawn) -> None:
        """Take a start out of the queue, and report that to the core next."""
        cancelled = self.spawns.cancel(action)
        if cancelled is not None:
            self._waiting.append(cancelled)

    def _decide(self, event: Event, now: float) -> None:
        """Decide on an event and perform the actions. If the core or an action raises, the fallback takes over, as a
        decision must not be carried out in part.
        """
        first = not self._faults.fallen_back
        try:
            self._carry_out(self._faults.decide(event, now))
        except Exception as error:  # noqa: BLE001  logged now, and raised by Kernel.run() at the end
            kept = "running processes are kept, and stopped in order by TERM, Ctrl-C or `procman shutdown`"
            self.fail(error, kept if self._processes.current else "nothing runs", stop=False)
            if isinstance(event, Commanded):
                self._carry_out([Refuse(event.request, f"cannot do that: {AT_FAULT}")])
            elif first:
                self._waiting.appendleft(event)

    def fail(self, error: Exception, consequence: str, *, stop: bool) -> None:
        """A fault of procman: the fallback replaces the fleet. Raises where the fallback fails as well."""
        self._faults.add(error, consequence)
        now = time.monotonic()
        if self._faults.fallen_back:
            self._carry_out(self._faults.decider.handle(ShutdownAsked("procman is at fault"), now))
            return
        self.spawns.clear()
        self._waiting.clear()
        survivors = [
            Survivor(process.name, process.generation, process.pid, process.spec)
            for process in self._processes.current.values()
        ]
        self._carry_out(self._faults.fall_back(survivors, now, stop=stop))


ReloadAnswer = Callable[[Reply | Refuse | ConfigError], None]


class Requests:
    """Answers to commands, and the reading of inputs for a reload. `load` makes a new plan, given the present one."""

    def __init__(self, load: Callable[[Plan], Plan], log: LogLine) -> None:
        self._load = load
        self._log = log
        self._answers: dict[int, Answer] = {}
        self._last = 0

    def read_again(self, plan: Plan, answer: ReloadAnswer) -> Plan | None:
        """The plan of the present inputs; None if they have a fault, which is logged and answered."""
        try:
            return self._load(plan)
        except ConfigError as error:
            for line in error.lines():
                self._log(f"reload refused: {line}")
            answer(error)
            return None

    def add(self, command: Command, answer: Answer) -> Commanded:
        self._last += 1
        self._answers[self._last] = answer
        return Commanded(command, self._last)

    def answer(self, outcome: Reply | Refuse) -> None:
        """Pass on the core's answer; ignored where nobody waits for it."""
        answer = self._answers.pop(outcome.request, None)
        if answer is not None:
            answer(outcome)


class Publisher:
    """Logs changes and passes them to the `listeners`, with the time in seconds since the epoch. `number` is that of
    the last change; `operation_listeners` get operations that have ended.
    """

    def __init__(self, log: LogLine) -> None:
        self.number = 0
        self.listeners: list[Callable[[float, Change], None]] = []
        self.operation_listeners: list[Callable[[Operation], None]] = []
        self._log = log

    def publish(self, change: Change) -> None:
        self.number += 1
        if change.logged:
            self._log(change.text, trouble=change.trouble)
        for listener in self.listeners:
            listener(time.time(), change)

    def end(self, operation: Operation) -> None:
        for listener in self.operation_listeners:
            listener(operation)
