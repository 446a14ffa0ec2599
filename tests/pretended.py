"""Pretended processes: how a command behaves, and the processes of one run."""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from procman.core.actions import Spawn, Target


class Nature(Enum):
    """How a command behaves once it runs."""

    OBEYS = "ends at the stop signal"
    IGNORES = "ends only at KILL"
    IMMORTAL = "not even at KILL"
    SHELL = "a shell that hands no signal on, and ends when its program has"
    DEAF_SHELL = "a shell that ends only at KILL"
    TREE = "obeys, and leaves a chain of two in its group that is adopted one at a time"
    STUBBORN_TREE = "obeys, and leaves one in its group that ends only at KILL"
    DAEMON = "obeys, and has a daemon that has left the group"
    UNREADY = "obeys, and no readiness probe of it ever succeeds"
    DIES = "ends by itself with 1, at once"
    ABSENT = "cannot be started"


class Proc:
    """A process. `parent` 0: it is procman's own child."""

    __slots__ = ("immortal", "in_group", "obeys", "parent", "pid")

    def __init__(self, pid: int, parent: int, *, in_group: bool, obeys: bool, immortal: bool = False) -> None:
        self.pid = pid
        self.parent = parent
        self.in_group = in_group
        self.obeys = obeys
        self.immortal = immortal

    def dies_of(self, signal: str, stop_signal: str) -> bool:
        return not self.immortal and (signal == "KILL" or (signal == stop_signal and self.obeys))


class Run:
    """The processes of one run. `leader` stays known when it is dead; `procs` are alive."""

    def __init__(self, action: Spawn, leader: int, *, shell: bool = False) -> None:
        self.name = action.name
        self.generation = action.generation
        self.spec = action.spec
        self.leader = leader
        self.shell = shell
        self.procs: dict[int, Proc] = {}
        self.noticed = False  # its end has been handled by the fleet
        self.over = False  # Emptied is on its way, or handled
        self.asked_at: float | None = None  # the first stop signal
        self.asked_leader = 0  # how often the leader got it
        self.polite = False  # top-down: the leader was asked first
        self.called_at: float | None = None  # the whole group has been signalled
        self.started_at: float | None = None  # Spawned has been handled
        self.nature = Nature.OBEYS

    @property
    def leads(self) -> bool:
        return self.leader in self.procs

    def add(self, proc: Proc) -> Proc:
        self.procs[proc.pid] = proc
        return proc

    def aimed_at(self, target: Target) -> list[int]:
        """Who of it a signal is for."""
        everyone = list(self.procs.values())
        group = [p.pid for p in everyone if p.in_group]
        outside = [p.pid for p in everyone if not p.in_group and p.parent == 0]
        match target:
            case Target.TOP:
                return [p.pid for p in everyone if p.parent == 0]
            case Target.LEADER:
                return [self.leader] if self.leads else []
            case Target.GROUP:
                return group
            case Target.ADOPTED:
                return outside
            case Target.ALL:
                return group + outside
            case _:
                assert_never(target)
