"""The queue of processes that are to be started, a number of them in each round of the loop.

Owns the queue and its pace. What a process is given is the launcher's, whether it is started the core's.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from procman.core.actions import Spawn
from procman.core.events import Spawned, SpawnFailed
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process import spawn
from procman.kernel.process.deaths import jitter
from procman.kernel.process.launcher import Launcher

if TYPE_CHECKING:
    from procman.kernel.decider import Decider

SPAWNS_A_ROUND = 32
"""So that a large formation keeps nobody waiting: some 15 ms."""


class SpawnQueue:
    """First in, first out. `on_turn` is called when more may be started."""

    def __init__(self, reactor: Reactor, launcher: Launcher, on_turn: Callable[[], None]) -> None:
        self._reactor = reactor
        self._launcher = launcher
        self._on_turn = on_turn
        self._waiting: deque[Spawn] = deque()
        self._left = SPAWNS_A_ROUND

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, action: Spawn) -> None:
        self._waiting.append(action)

    def clear(self) -> None:
        self._waiting.clear()

    def start_next(self, decider: Decider) -> Spawned | SpawnFailed | None:
        """Start the one that waits longest; None where none does, or signals and clients get their turn first."""
        if not self._waiting or self._left == 0:
            return None
        if self._left == SPAWNS_A_ROUND:
            self.go_on_soon()
        self._left -= 1
        return self._start(self._waiting.popleft(), decider)

    def go_on_soon(self) -> None:
        """In the next round of the loop."""
        self._reactor.call_at(time.monotonic(), self._turn)

    def _turn(self) -> None:
        self._left = SPAWNS_A_ROUND
        self._on_turn()

    def _start(self, action: Spawn, decider: Decider) -> Spawned | SpawnFailed:
        name, generation = action.name, action.generation
        i = decider.get(name)
        if i is not None and i.generation == generation and not i.wanted:
            return SpawnFailed(name, generation, spawn.NO_ROOM, "not wanted any more")
        try:
            life = self._launcher.launch(action, decider.plan)
        except spawn.SpawnError as error:
            return SpawnFailed(name, generation, error.code, error.why, jitter())
        except MemoryError:
            return SpawnFailed(name, generation, spawn.NO_ROOM, "procman has no memory left", jitter())
        return Spawned(name, generation, life.pid)
