"""Who is procman's child, and of what is something left: what no signal tells is looked up, and posted as events.

Owns the looks, when they are made, and what a life leaves in procman's hands: its pipes are closed where nothing of it is left.
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
from procman.kernel.process import reaper
from procman.kernel.process.table import Process, ProcessTable
from procman.kernel.output.fanout import Mux
from procman.kernel.loop.reactor import Reactor

SWEEP_FIRST = 0.05
SWEEP_LAST = 1.0
"""Seconds between looks at what is left, growing, while something is stopping: an orphan of an orphan makes no signal."""

LOOK_AFTER = 0.05
"""Seconds from one's being ready to a look: one for all that are ready meanwhile, as each is a look at all children."""


class AdoptionHost(Protocol):
    """What the census needs of the kernel. `helpers` are children that are no part of what runs."""

    @property
    def helpers(self) -> Iterable[int]: ...
    @property
    def clearing(self) -> bool:
        """Whether something is on its way out."""

    def take_stock(self) -> None:
        """Look, bury, and see whether that was the last."""

    def post(self, event: Event) -> None: ...


class Adoption:
    """The lives in the table, compared with the children that the system lists."""

    def __init__(self, reactor: Reactor, lives: ProcessTable, mux: Mux, host: AdoptionHost) -> None:
        self._reactor = reactor
        self._lives = lives
        self._mux = mux
        self._host = host
        self._children = reaper.Children()
        self.not_ours: frozenset[int] = frozenset()  # children that procman's process had before it was procman
        self._look_due = False
        self._sweep_token = 0
        self._sweep_at = math.inf

    @property
    def known(self) -> bool:
        """Whether the system tells who our children are."""
        return self._children.known

    def begin(self) -> None:
        """Before the first spawn, though it costs 2 ms: a double fork that is quicker would be init's, and stay behind."""
        self._lives.subreaper = self.known and reaper.become_subreaper()
        self.not_ours = frozenset(self._children())

    def ours(self) -> list[int]:
        """Every child that is part of what runs, or has become one unseen."""
        apart = self.not_ours.union(self._host.helpers)
        return [pid for pid in self._children() if pid not in apart]

    # ---- looking

    def look(self) -> None:
        """Who has become our child without having been started by us."""
        now = time.monotonic()
        for pid in self.ours() if self._lives.subreaper else ():
            if self._lives.known(pid):
                continue
            if self._lives.is_changing(pid, now):
                self.sweep_soon()
            else:
                owner = self._lives.adopt(pid)
                self._host.post(Orphaned(pid) if owner is None else Adopted(owner[0], owner[1], pid, owner[2]))

    def look_soon(self) -> None:
        """Somebody is ready: what a program forks off while it starts is adopted by now."""
        if not self._look_due:
            self._look_due = True
            self._reactor.call_at(time.monotonic() + LOOK_AFTER, self._look_once)

    def _look_once(self) -> None:
        self._look_due = False
        self.look()

    def bury(self) -> None:
        """Close the lives of which nothing is left."""
        for life in [life for life in self._lives.lingering if not life.daemons]:
            self._lives.lingering.remove(life)
            self._close(life)
        while over := self._lives.emptied():
            for life in over:
                if life.daemons:
                    self._lives.lingering.append(life)
                    for stream in life.streams:
                        self._mux.drain(stream)
                else:
                    self._close(life)
                self._host.post(Emptied(life.name, life.generation))

    def _close(self, life: Process) -> None:
        for stream in life.streams:
            self._mux.close(stream)
        if life.stdin is not None:
            os.close(life.stdin)
            life.stdin = None

    # ---- looking again

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
        self._host.take_stock()
        if self._lives.ending() or self._host.clearing:
            self._sweep_in(min(pause * 2, SWEEP_LAST))

    # ---- the end

    def late(self, stuck: Iterable[int]) -> list[int]:
        """Children that nobody has been told of as unkillable yet, as of `stuck`."""
        told = {pid for life in self._lives.current.values() for pid in (life.pid, *life.adopted)}.union(stuck)
        return [pid for pid in (self.ours() if self._lives.subreaper else ()) if pid not in told]

    def kill(self, pids: Iterable[int]) -> None:
        """KILL to children that may be new to the table."""
        for pid in pids:
            if not self._lives.known(pid):
                self._lives.adopt(pid)
            self._lives.signal_process(pid, "KILL")
