"""Processes of no instance: orphans, and leftovers of runs that have ended.

An orphan (PID 1 gets many, a subreaper few) belongs to no instance, and is left alone until procman ends. A process of
a run that has ended is ended at once. Both get the stop signal first and KILL at a deadline.
"""

from __future__ import annotations

from msgspec import Struct

from procman.core.actions import Action, SetTimer, SignalProcess
from procman.core.spec import StopPolicy
from procman.core.timers import OrphansTimer

GIVE_UP_AFTER = 5.0
"""Seconds after KILL at which an orphan is no longer waited for."""


class OrphansState(Struct, frozen=True):
    """The table as a value. `ending` and `killed` say when a pid gets KILL, and when it is given up."""

    stuck: tuple[int, ...] = ()
    alone: tuple[int, ...] = ()
    ending: dict[int, float] = {}
    killed: dict[int, float] = {}
    closing: float | None = None
    token: int = 0


class Orphans:
    """The table of orphans. `left`: whether any is still waited for; `stuck`: pids that KILL did not remove."""

    def __init__(self, state: OrphansState = OrphansState()) -> None:  # noqa: B008  frozen
        self.stuck = list(state.stuck)
        self._alone = set(state.alone)
        self._ending = dict(state.ending)
        self._killed = dict(state.killed)
        self._closing = state.closing  # when everything has to be gone, once it ends
        self._token = state.token

    def state(self) -> OrphansState:
        ending, killed = dict(self._ending), dict(self._killed)
        return OrphansState(tuple(self.stuck), tuple(sorted(self._alone)), ending, killed, self._closing, self._token)

    @property
    def left(self) -> bool:
        return bool(self._alone or self._ending or self._killed)

    def orphaned(self, pid: int, now: float) -> list[Action]:
        """An orphan has appeared: left alone, unless everything ends."""
        if self._closing is None:
            self._alone.add(pid)
            return []
        return self._end([pid], now, self._closing)

    def left_behind(self, pid: int, stop: StopPolicy, now: float) -> list[Action]:
        """A process of an ended run has appeared: ended at once, in the way of its type."""
        kill_at = now + stop.grace
        return self._end([pid], now, kill_at if self._closing is None else min(kill_at, self._closing), stop.signal)

    def reaped(self, pid: int) -> None:
        self._alone.discard(pid)
        self._ending.pop(pid, None)
        self._killed.pop(pid, None)
        if pid in self.stuck:
            self.stuck.remove(pid)

    def end_all(self, now: float, grace: float) -> list[Action]:
        """Everything ends: from now on every orphan is asked to end, and killed after `grace` seconds."""
        self._closing = now + grace
        pids, self._alone = sorted(self._alone), set()
        return self._end(pids, now, self._closing)

    def kill_all(self, now: float) -> list[Action]:
        """End the grace: KILL to all, and to any that appears."""
        self._closing = now
        pids = sorted(self._alone | set(self._ending))
        self._alone.clear()
        return self._kill(pids, now)

    def deadline(self, token: int, now: float) -> list[Action]:
        if token != self._token:
            return []
        for pid in [pid for pid, at in self._killed.items() if at <= now]:
            del self._killed[pid]
            self.stuck.append(pid)
        return self._kill([pid for pid, at in self._ending.items() if at <= now], now)

    def _end(self, pids: list[int], now: float, kill_at: float, signal: str = "TERM") -> list[Action]:
        if kill_at <= now:
            return self._kill(pids, now)
        self._ending.update(dict.fromkeys(pids, kill_at))
        return [*(SignalProcess(pid, s) for pid in pids for s in (signal, "CONT")), *self._arm()]

    def _kill(self, pids: list[int], now: float) -> list[Action]:
        for pid in pids:
            self._ending.pop(pid, None)
            self._killed[pid] = now + GIVE_UP_AFTER
        return [*(SignalProcess(pid, "KILL") for pid in pids), *self._arm()]

    def _arm(self) -> list[Action]:
        deadlines = [*self._ending.values(), *self._killed.values()]
        if not deadlines:
            return []
        self._token += 1
        return [SetTimer(OrphansTimer(), self._token, min(deadlines))]
