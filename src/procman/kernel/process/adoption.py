"""Who is procman's child, and of what is something left: what no signal tells is looked up, and posted as events.

Owns the scans of the children, when they are made, and what a life leaves in procman's hands: its pipes are closed where nothing of it is left.
What else follows from what is found is the core's.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from functools import partial
from typing import Protocol

from procman.core.events import Adopted, Emptied, Event, Orphaned
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.process import children
from procman.kernel.process.helpers import Helpers
from procman.kernel.process.process import Process
from procman.kernel.process.promises import broken
from procman.kernel.process.table import ProcessTable

SWEEP_FIRST = 0.05
SWEEP_LAST = 1.0
"""Seconds between looks at what is left, growing, while something is stopping: an orphan of an orphan makes no signal."""

SCAN_AFTER = 1.05
"""Seconds from a start to a scan, as what a program forks off while it starts is adopted by then: one scan after the last
of those that are started together, as each is a look at all children."""


class AdoptionHost(Protocol):
    """What adoption needs of the kernel."""

    @property
    def clearing(self) -> bool:
        """Whether something is on its way out."""

    def check_children(self) -> None:
        """Scan the children, close what has ended, and see whether that was the last."""

    def post(self, event: Event) -> None: ...


class Adoption:
    """The lives in the table, compared with the children that the system lists."""

    def __init__(
        self, reactor: Reactor, lives: ProcessTable, output: Multiplexer, helpers: Helpers, host: AdoptionHost
    ) -> None:
        self._reactor = reactor
        self._lives = lives
        self._output = output
        self._helpers = helpers
        self._host = host
        self._children = children.Children()
        self._me = os.getpid()
        self.not_ours: frozenset[int] = frozenset()  # children that procman's process had before it was procman
        self._scan_due = False
        self._scan_at = 0.0
        self._sweep_token = 0
        self._sweep_at = math.inf

    @property
    def known(self) -> bool:
        """Whether the system tells who our children are."""
        return self._children.known

    def begin(self) -> None:
        """Before the first spawn, though it costs 2 ms: a double fork that is quicker would be init's, and stay behind."""
        self._lives.subreaper = self.known and children.become_subreaper()
        self.not_ours = frozenset(self._children())
        for line in broken(known=self.known, subreaper=self._lives.subreaper):
            self._output.log(line)

    def children(self) -> list[int]:
        """Every child that is part of what runs, or has become one unseen."""
        apart = self.not_ours.union(self._helpers.pids)
        return [pid for pid in self._children() if pid not in apart]

    # ---- scanning

    def scan_children(self) -> None:
        """Who has become our child without having been started by us."""
        now = time.monotonic()
        for pid in self.children() if self._lives.subreaper else ():
            if self._lives.known(pid):
                continue
            if self._lives.is_changing(pid, now):
                self.sweep_soon()
            else:
                owner = self._lives.adopt(pid)
                if owner is None and self._me != 1:  # as PID 1 there are many, and none need be of an instance
                    self._tell(pid)
                self._host.post(Orphaned(pid) if owner is None else Adopted(owner[0], owner[1], pid, owner[2]))

    def _tell(self, pid: int) -> None:
        name = next((one.name for one in self._lives.orphans() if one.pid == pid), None)
        if name is not None:
            text = "has left its instance, which is unknown: it runs until procman ends (`procman ps` lists it)"
            self._output.log(f"pid {pid} ({name}) {text}")

    def remember(self, life: Process) -> None:
        """It is about to be stopped: what can be seen of its descendants is seen now or never."""
        if self._lives.subreaper:
            self._lives.remember(life, time.monotonic())

    def scan_soon(self) -> None:
        """Something has been started: what it forks off meanwhile and leaves behind becomes procman's child."""
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
        """Close the lives of which nothing is left."""
        for life in [life for life in self._lives.lingering if not life.daemons]:
            self._lives.lingering.remove(life)
            self._close(life)
        while over := self._lives.emptied():
            for life in over:
                if life.daemons:
                    self._lives.lingering.append(life)
                    for stream in life.streams:
                        self._output.drain(stream)
                else:
                    self._close(life)
                self._host.post(Emptied(life.name, life.generation))

    def _close(self, life: Process) -> None:
        for stream in life.streams:
            self._output.close(stream)
        if life.stdin is not None:
            os.close(life.stdin)
            life.stdin = None

    # ---- scanning again

    def sweep_soon(self) -> None:
        """A net below SIGCHLD, only while something is stopping: no idle procman ever wakes for it."""
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
        if self._lives.ending() or self._host.clearing:
            self._sweep_in(min(pause * 2, SWEEP_LAST))
        else:
            self._lives.forget_seen()

    # ---- the end

    def late(self, stuck: Iterable[int]) -> list[int]:
        """Children that have not been reported as unkillable yet, as those in `stuck` have."""
        reported = {pid for life in self._lives.current.values() for pid in (life.pid, *life.adopted)}.union(stuck)
        return [pid for pid in (self.children() if self._lives.subreaper else ()) if pid not in reported]

    def kill(self, pids: Iterable[int]) -> None:
        """KILL to children that may be new to the table."""
        for pid in pids:
            if not self._lives.known(pid):
                self._lives.adopt(pid)
            self._lives.signal_process(pid, "KILL")
