"""What a kernel is made with, and what it leaves to the program that takes its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.core.fleet import Fleet
from procman.core.snapshot import Packed, pack, unpack
from procman.core.spec import Plan
from procman.kernel.loop.deadlines import Deadlines
from procman.kernel.output.stream import ChildStream
from procman.kernel.process.adoption import Adoption
from procman.kernel.process.launcher import SpawnContext
from procman.kernel.process.spawn import DescriptorLimits
from procman.kernel.process.table import ProcessTable, ProcessTableState
from procman.kernel.survive.guarding import Guarding, Kept

if TYPE_CHECKING:
    from procman.kernel.survive.upgrading import LiveUpgrade


class KernelState(Struct, frozen=True, kw_only=True):
    """Everything that a kernel knows between two events. `limit` is the soft limit of descriptors that instances get,
    where procman has raised its own.
    """

    fleet: Packed
    lives: ProcessTableState
    deadlines: dict[str, tuple[float, int]]
    not_ours: tuple[int, ...]
    guardian: Kept | None = None
    limit: int | None = None


class Handover(Struct, frozen=True):
    """What another program has handed over: its state, the streams of its output by descriptor, how often procman has
    been replaced, and what is published of it.
    """

    state: KernelState
    streams: dict[int, ChildStream]
    upgrades: int
    notice: str

    def fleet(self) -> Fleet:
        """The fleet that goes on."""
        return Fleet(self.state.fleet.state.plan, unpack(self.state.fleet))


class HandedOn(Struct, frozen=True):
    """The objects of a kernel that have something to hand on, beside the fleet."""

    lives: ProcessTable
    deadlines: Deadlines
    adoption: Adoption
    guarding: Guarding
    limits: DescriptorLimits

    def state(self, fleet: Fleet) -> KernelState:
        """Everything, between two events."""
        return KernelState(
            fleet=pack(fleet.state()),
            lives=self.lives.state(),
            deadlines=self.deadlines.state(),
            not_ours=tuple(self.adoption.not_ours),
            guardian=self.guarding.kept,
            limit=self.limits.original,
        )

    def restore(self, before: Handover) -> None:
        """Go on where another program was. A subreaper stays one over an exec (prctl(2))."""
        state = before.state
        self.lives.restore(state.lives, before.streams)
        self.adoption.not_ours = frozenset(state.not_ours)
        self.limits.original = state.limit
        if state.guardian is not None:
            self.guarding.take_over(state.guardian)
        for key, (at, token) in state.deadlines.items():
            self.deadlines.set(key, token, at)


class KernelSettings(Struct, frozen=True):
    """What the kernel needs beside the fleet: how to read the inputs again, what instances are given, and where a trace
    of the core's last events is written when it is asked for or needed.

    `guarded`: a guardian ends what runs, should procman be killed; it holds these descriptors. None: there is none.
    `upgrading` makes what an upgrade needs, once the kernel runs; `before` is what another program has handed over.
    """

    load: Callable[[Plan], Plan]
    given: SpawnContext
    trace: str
    guarded: tuple[int, ...] | None = None
    upgrading: Callable[[], LiveUpgrade] | None = None
    before: Handover | None = None
