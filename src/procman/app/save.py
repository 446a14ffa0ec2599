"""Collects what a running procman hands over to the program that takes its place, and builds the upgrade.

Each room provides its own part of the state; here the parts are put together. `kernel/survive/handover.py` handles
descriptors and the exec, `kernel/survive/upgrading.py` the course of an upgrade. `resume` is the other end.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.app.options import OutputOptions
from procman.app.parts import ReloadInputs
from procman.control.claim import Claim
from procman.control.places import Place
from procman.core.fleet import Fleet
from procman.kernel.output.history import HistoryState
from procman.kernel.output.multiplexer import OutputState
from procman.kernel.output.sinks import FilesState
from procman.kernel.saved import KernelState, save
from procman.kernel.survive import handover
from procman.kernel.survive.upgrading import LiveUpgrade, Written
from procman.serve.server import ServerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procman.app.parts import RunningParts


class Claimed(Struct, frozen=True):
    """A claim as descriptors; the first of `locks` is that of the place."""

    place: Place
    listener: int
    locks: tuple[int, ...]
    names: dict[str, int] = {}
    label: str = ""


class SavedState(Struct, frozen=True, kw_only=True, rename={"output_options": "looks"}):
    """The state of everything. `upgrades` counts the upgrades, this one included; `blocked` is its signal mask."""

    pid: int
    upgrades: int
    blocked: tuple[int, ...]
    output_options: OutputOptions
    inputs: ReloadInputs
    claimed: Claimed | None
    kernel: KernelState
    output: OutputState
    history: HistoryState
    files: FilesState | None
    server: ServerState

    def descriptors(self) -> tuple[int, ...]:
        """Every descriptor in the state."""
        claimed, processes, guardian = self.claimed, self.kernel.processes.processes, self.kernel.guardian
        return (
            *(self.inputs.start_fd, self.inputs.root, *self.inputs.inherited),
            *((claimed.listener, *claimed.locks, *claimed.names.values()) if claimed is not None else ()),
            *((guardian.pipe,) if guardian is not None else ()),
            *((self.files.lock,) if self.files is not None else ()),
            *(stream.fd for stream in self.output.streams),
            *(process.stdin for process in processes if process.stdin is not None),
            *self.kernel.on_demand.descriptors(),
        )


def upgrading(parts: RunningParts) -> LiveUpgrade:
    """What carries out upgrades of this procman."""
    inputs = parts.inputs
    program = handover.Program.this(inputs.environ, inputs.start_fd, inputs.root)
    part = parts.server.upgrade if parts.server is not None else _nobody
    return LiveUpgrade(parts.reactor, parts.kernel, program, partial(_write, parts), part)


def _nobody() -> None:
    """Does nothing, as without a control socket there are no clients."""


def _write(parts: RunningParts, blocked: Iterable[int]) -> Written:
    kernel, claimed, server, history = parts.kernel, parts.claimed, parts.server, parts.kernel.history
    fleet = kernel.fleet
    assert isinstance(fleet, Fleet)  # an upgrade is refused otherwise
    whole = SavedState(
        pid=os.getpid(),
        upgrades=kernel.upgrades + 1,
        blocked=tuple(blocked),
        output_options=parts.output,
        inputs=parts.inputs,
        claimed=_claimed(claimed) if claimed is not None else None,
        kernel=save(kernel.parts, fleet),
        output=kernel.output.state(),
        history=history.state(),
        files=parts.files.state() if parts.files is not None else None,
        server=server.state() if server is not None else ServerState(),
    )
    return Written(handover.write(whole, history.memory()), whole.descriptors())


def _claimed(claimed: Claim) -> Claimed:
    names = {name: listener.fileno() for name, listener in claimed.names.items()}
    return Claimed(claimed.place, claimed.listener.fileno(), (claimed.lock_fd, *claimed.guards), names, claimed.label)
