"""The part of an upgrade's state that is the kernel's, and how the next program continues with it.

Loaded together with the upgrade, so that no start pays for it.
"""

from __future__ import annotations

from msgspec import Struct

from procman.core.fleet import Fleet
from procman.core.snapshot import Packed, pack, unpack
from procman.core.timers import TimerKey
from procman.kernel.output.stream import ChildStream
from procman.kernel.process.listeners import Listener
from procman.kernel.process.probes.polling import ProbeState
from procman.kernel.process.table import ProcessTableState
from procman.kernel.survive.guarding import Kept
from procman.kernel.wiring import KernelParts


class DeadlineState(Struct, frozen=True):
    """What a deadline is for, when it is, and its token."""

    key: TimerKey
    at: float
    token: int


class OnDemandState(Struct, frozen=True, kw_only=True):
    """What only some types use: probes in force, shared sockets, and the sockets for sd_notify(3) by instance."""

    probes: tuple[ProbeState, ...] = ()
    listeners: tuple[Listener, ...] = ()
    notify: dict[str, int] = {}

    def descriptors(self) -> tuple[int, ...]:
        return (*(listener.fd for listener in self.listeners), *self.notify.values())


class KernelState(Struct, frozen=True, kw_only=True, rename={"processes": "lives"}):
    """Everything that a kernel knows between two events. `limit` is the soft limit of descriptors for instances, where
    procman has raised its own.
    """

    fleet: Packed
    processes: ProcessTableState
    deadlines: tuple[DeadlineState, ...]
    not_ours: tuple[int, ...]
    guardian: Kept | None = None
    limit: int | None = None
    on_demand: OnDemandState = OnDemandState()


class Handover(Struct, frozen=True):
    """What the previous program has handed over: its state, the streams of its output by descriptor, how often procman
    has been upgraded, and the notice to publish.
    """

    state: KernelState
    streams: dict[int, ChildStream]
    upgrades: int
    notice: str

    def fleet(self) -> Fleet:
        """The fleet, which continues."""
        return Fleet(self.state.fleet.state.plan, unpack(self.state.fleet))

    def restore(self, parts: KernelParts) -> None:
        """Fill the parts of a new kernel. A subreaper stays one over an exec (prctl(2))."""
        state = self.state
        parts.processes.restore(state.processes, self.streams)
        parts.adoption.not_ours = frozenset(state.not_ours)
        parts.limits.original = state.limit
        if state.guardian is not None:
            parts.guarding.take_over(state.guardian)
        for deadline in state.deadlines:
            parts.deadlines.set(deadline.key, deadline.token, deadline.at)
        if state.on_demand.notify:
            parts.on_demand.notify().restore(state.processes.ident, state.on_demand.notify)
        if state.on_demand.listeners:
            parts.on_demand.listeners().restore(state.on_demand.listeners)
        if state.on_demand.probes:
            parts.on_demand.probes().restore(state.on_demand.probes)
        for process in parts.processes.current.values():
            parts.on_demand.began(process)


def save(parts: KernelParts, fleet: Fleet) -> KernelState:
    """The state of everything, between two events."""
    return KernelState(
        fleet=pack(fleet.state()),
        processes=parts.processes.state(),
        deadlines=tuple(DeadlineState(key, at, token) for key, (at, token) in parts.deadlines.state().items()),
        not_ours=tuple(parts.adoption.not_ours),
        guardian=parts.guarding.kept,
        limit=parts.limits.original,
        on_demand=OnDemandState(
            probes=parts.on_demand.probe_states(),
            listeners=parts.on_demand.open_listeners(),
            notify=parts.on_demand.notify_descriptors(),
        ),
    )
