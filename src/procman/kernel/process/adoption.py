"""Finds out what no signal reports: which processes have become procman's children and which instances have no process
left, and posts that as events.

Owns the scans of the children and their times, and closes the pipes of instances of which nothing is left. Everything
else that follows is decided by the core.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from procman.core.actions import Action, Signal
from procman.core.events import Emptied, Event, Orphaned
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.process import children
from procman.kernel.process.children import read_process
from procman.kernel.process.helpers import Helpers
from procman.kernel.process.limitations import limitations
from procman.kernel.process.process import Process
from procman.kernel.process.table import ProcessTable

if TYPE_CHECKING:
    from procman.core.fleet import Decider

SWEEP_FIRST = 0.05
SWEEP_LAST = 1.0
"""Seconds between scans, growing, while an instance is stopping: an orphan of an orphan causes no signal."""

FRESH = 0.05
"""Seconds for which a scan before a stop is good."""

SCAN_AFTER = 1.05
"""Seconds from a start to a scan, by which time daemons that a program forks while it starts have been adopted. One
scan serves all that were started together, as it looks at all children.
"""


if TYPE_CHECKING:

    class AdoptionHost(Protocol):
        """What adoption needs of the kernel."""

        @property
        def fleet(self) -> Decider:
            """Knows what is stopping."""

        def check_children(self) -> None:
            """Scan the children, close what has ended, and see whether procman can end."""

        def post(self, event: Event) -> None: ...


class Adoption:
    """Compares the processes in the table with the children that the system lists."""

    def __init__(
        self, reactor: Reactor, processes: ProcessTable, output: Multiplexer, helpers: Helpers, host: AdoptionHost
    ) -> None:
        self._reactor = reactor
        self._processes = processes
        self._output = output
        self._helpers = helpers
        self._host = host
        self._children = children.Children()
        self._me = os.getpid()
        self.decided: Sequence[Action] = ()  # until its first signal
        self.not_ours: frozenset[int] = frozenset()  # children that this process had before it became procman
        self._logged: dict[str, int] = {}  # how many orphans of that name, at most, have been logged
        self._scan_due = False
        self._scan_at = 0.0
        self._scanned_at = -math.inf
        self._sweep_token = 0
        self._sweep_at = math.inf

    @property
    def known(self) -> bool:
        """Whether the system lists our children."""
        return self._children.known

    def begin(self) -> None:
        """Become a subreaper, before the first spawn although it takes 2 ms: otherwise a quick double fork would become
        init's child, and outlive procman.
        """
        self._processes.subreaper = self.known and children.become_subreaper()
        self.not_ours = frozenset(self._children())
        for line in limitations(known=self.known, subreaper=self._processes.subreaper):
            self._output.log(line)

    def children(self) -> set[int]:
        """Every child except procman's own helpers and earlier children."""
        return set(self._children()).difference(self.not_ours, self._helpers.pids)

    # ---- scanning

    def scan_children(self) -> None:
        """Find children that procman did not start."""
        self._scanned_at = now = time.monotonic()
        for pid in sorted(self._processes.unknown(self.children())) if self._processes.subreaper else ():
            if self._processes.is_changing(pid, now):
                self.sweep_soon()
            else:
                event = self._processes.adopt(pid)
                # PID 1 gets many, which need not come from an instance; at the end of everything it ends, too
                if isinstance(event, Orphaned) and self._me != 1 and not self._host.fleet.stopping:
                    self._report(pid)
                self._host.post(event)

    def _report_left(self, stopped: Iterable[Process]) -> None:
        """As PID 1, log the orphans that these processes may have left and that outlive their stop: those that are
        younger than they are. Older ones come from a `docker exec`, for example.
        """
        orphans = [read_process(one.pid) for one in self._processes.orphans()]
        for process in stopped if orphans else ():
            leader = read_process(process.pid)
            for one in orphans:
                if one is not None and leader is not None and one.start_ticks >= leader.start_ticks:
                    self._report(one.pid, f"may be left of {process.name}")

    def _report(self, pid: int, what: str = "has left its instance, which is unknown") -> None:
        """Log an orphan, unless as many of its name have been logged: a daemon may go on in a new process again and again."""
        orphans = {one.pid: one.name for one in self._processes.orphans()}
        name = orphans.get(pid, "")
        count = [*orphans.values()].count(name)
        if pid in orphans and count > self._logged.get(name, 0):
            self._logged[name] = count
            self._output.log(f"pid {pid} ({name}) {what}: it runs until procman ends (`procman ps` lists it)")

    def foresee(self) -> None:
        """A decision is about to stop processes: find their descendants, and what they left behind, now and all at
        once. Later they may be impossible to find. When everything ends without order, every process gets TERM anyway.
        """
        decided, self.decided = self.decided, ()
        if not decided:  # that has been done
            return
        self.sweep_soon()
        fleet = self._host.fleet
        spared = ("CONT", "TERM") if fleet.stopping and not fleet.plan.has_order else ("CONT",)
        signals = [action for action in decided if isinstance(action, Signal) and action.signal not in spared]
        found = [self._processes.find(one.name, one.generation, one.target) for one in signals]
        stopped = [process for process in found if process is not None]
        if stopped and self._processes.subreaper:
            if time.monotonic() >= self._scanned_at + FRESH:
                self.scan_children()
            self._processes.remember(stopped)
            if self._me == 1:
                self._report_left(stopped)

    def scan_soon(self) -> None:
        """After a start: what the process forks and leaves becomes procman's child."""
        self._scan_at = time.monotonic() + SCAN_AFTER
        if not self._scan_due:
            self._scan_due = True
            self._reactor.call_at(self._scan_at, self._scan)

    def _scan(self) -> None:
        if time.monotonic() < self._scan_at:  # more has been started since
            self._reactor.call_at(self._scan_at, self._scan)
        else:
            self._scan_due = False
            self.scan_children()

    def close_ended(self) -> None:
        """Close the instances of which no process is left."""
        for process in [process for process in self._processes.lingering if not process.daemons]:
            self._processes.lingering.remove(process)
            self._close(process)
        while over := self._processes.emptied():
            for process in over:
                if process.daemons:
                    self._processes.lingering.append(process)
                    for stream in process.streams:
                        self._output.drain(stream)
                else:
                    self._close(process)
                self._host.post(Emptied(process.name, process.generation))

    def _close(self, process: Process) -> None:
        for stream in process.streams:
            self._output.close(stream)
        if process.stdin is not None:
            os.close(process.stdin)
            process.stdin = None

    # ---- scanning again

    def sweep_soon(self) -> None:
        """Scan again soon. Only while an instance is stopping, so that an idle procman never wakes."""
        self._sweep_in(SWEEP_FIRST)

    def _sweep_in(self, pause: float) -> None:
        at = time.monotonic() + pause
        if at < self._sweep_at:
            self._sweep_at = at
            self._sweep_token += 1
            self._reactor.call_at(at, partial(self._sweep, self._sweep_token, pause))

    def _sweep(self, token: int, pause: float) -> None:
        if token != self._sweep_token:
            return
        self._sweep_at = math.inf
        self._host.check_children()
        if self._processes.ending or self._host.fleet.ending:
            self._sweep_in(min(pause * 2, SWEEP_LAST))
        else:
            self._processes.forget_seen()

    # ---- the end

    def late(self, stuck: Iterable[int]) -> list[int]:
        """Children that have not been reported as unkillable, by the core or in `stuck`."""
        reported = {
            pid for process in self._processes.current.values() for pid in (process.pid, *process.adopted)
        }.union(stuck)
        return sorted(self.children() - reported) if self._processes.subreaper else []

    def kill(self, pids: Iterable[int]) -> None:
        """Send KILL to children that may be new to the table."""
        for pid in pids:
            if not self._processes.known(pid):
                self._processes.adopt(pid)
            self._processes.signal_process(pid, "KILL")
