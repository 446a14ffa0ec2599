"""Waits of clients: conditions that are judged after each change, and answered once.

Owns the waits of all connections, whose number is limited, and limits how often they are judged: a burst of changes is
judged once, and judging takes a tenth of the time at most. Knows no sockets.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.control.codec import Code
from procman.control.conditions import PENDING, Condition, OperationCondition
from procman.control.messages import Waited, WaitParams
from procman.core.view import FleetView
from procman.kernel.loop.reactor import Reactor
from procman.serve.methods import Answer, Failure, refuse_names

if TYPE_CHECKING:
    from procman.kernel.kernel import Kernel

MOST = 64
"""Most waits at a time, of all clients together."""

SHARE = 10
"""After a check, the next one waits for this many times the duration of that check."""

ALARM = 60.0
"""Most seconds to the next alarm. Alarms are never cancelled, so none may stay long for a client that has gone."""


class PendingWait(Struct, frozen=True, eq=False):
    """A wait that is not answered yet, and its owner."""

    owner: object
    condition: Condition | OperationCondition
    answer: Answer
    deadline: float


class Waits:
    """All of them."""

    def __init__(self, reactor: Reactor, kernel: Kernel) -> None:
        self._reactor = reactor
        self._kernel = kernel
        self._waits: dict[PendingWait, None] = {}
        self._scheduled = False
        self._next = 0.0  # no check before this time
        self._armed = math.inf  # the next alarm

    def add(self, owner: object, params: WaitParams, answer: Answer) -> None:
        """Answer once the condition is reached, cannot be reached any more, or the time is over."""
        view = self._kernel.view()
        condition = self._condition(params, view)
        if isinstance(condition, Failure):
            answer(condition)
            return
        if len(self._waits) >= MOST:
            answer(Failure(Code.REFUSED, f"cannot wait: {MOST} clients wait already", "try later"))
            return
        deadline = math.inf if params.timeout is None else time.monotonic() + params.timeout
        wait = PendingWait(owner, condition, answer, deadline)
        self._waits[wait] = None
        self._judge(wait, view)
        self._arm()

    def _condition(self, params: WaitParams, view: FleetView) -> Condition | OperationCondition | Failure:
        if params.operation:
            if self._kernel.operation(params.operation) is None:
                return Failure(Code.REFUSED, f"cannot find the operation {params.operation}", "see `procman ps`")
            return OperationCondition(lambda: self._kernel.operation(params.operation))
        return refuse_names(params.names, view) or Condition(params.names, params.until, view)

    def leave(self, owner: object) -> None:
        """Drop the waits of this owner."""
        for wait in [wait for wait in self._waits if wait.owner is owner]:
            del self._waits[wait]

    def changed(self) -> None:
        """Something has changed: judge the waits once the core has finished."""
        if self._waits and not self._scheduled:
            self._scheduled = True
            self._reactor.call_at(max(time.monotonic(), self._next), self.judge)

    # ---- when it is judged

    def judge(self) -> None:
        """Judge all waits now."""
        self._scheduled = False
        if not self._waits:
            return
        begun = time.monotonic()
        try:
            view = self._kernel.view()
            for wait in tuple(self._waits):
                if wait in self._waits:  # else an answer has met a client that has gone
                    self._judge(wait, view)
        except Exception as error:  # noqa: BLE001  procman continues, without the waits
            self._kernel.fault(error)
            self._waits.clear()
        ended = time.monotonic()
        self._next = ended + SHARE * (ended - begun)

    def _arm(self) -> None:
        """Set an alarm for the next deadline, unless there is an earlier alarm."""
        first = min((wait.deadline for wait in self._waits), default=math.inf)
        if first < self._armed:
            at = min(first, time.monotonic() + ALARM)
            if at < self._armed:
                self._armed = at
                self._reactor.call_at(at, self._on_alarm)

    def _on_alarm(self) -> None:
        if time.monotonic() >= self._armed:
            self._armed = math.inf
            self.judge()
            self._arm()

    def _judge(self, wait: PendingWait, view: FleetView) -> None:
        waited = wait.condition.judge(view)
        if waited.outcome == PENDING:
            if time.monotonic() < wait.deadline:
                return
            waited = Waited("late", pending=waited.pending)
        del self._waits[wait]
        wait.answer(waited)
