"""The two ends of an upgrade: what a running procman hands over, and how the program that takes its place takes it up.

Each room provides its own part of the state; here the parts are put together. `kernel/survive/handover.py` handles
descriptors and the exec, `kernel/survive/upgrading.py` the course of an upgrade.
"""

from __future__ import annotations

import _socket as socket  # as in control/sockets.py
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from procman import __version__
from procman.app.options import OutputOptions
from procman.app.parts import ReloadInputs
from procman.control.claim import Claim
from procman.control.places import Place
from procman.core.fleet import Fleet
from procman.core.snapshot import unpack
from procman.errors import RefusedError
from procman.kernel.output.history import History, HistoryState
from procman.kernel.output.multiplexer import Multiplexer, OutputState
from procman.kernel.output.sinks import FilesState
from procman.kernel.saved import Handover, KernelState, save
from procman.kernel.survive import handover
from procman.kernel.survive.upgrading import LiveUpgrade, Written
from procman.serve.server import ServerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procman.app.parts import RunningParts
    from procman.core.spec import Plan
    from procman.serve.lazyserver import LazyServer


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


def check(fd: int) -> int:
    """Check that a state can be taken over, and print that; returns the exit code. Raises RefusedError."""
    received = handover.Received(fd)
    whole = received.state(SavedState)
    try:
        Fleet(whole.kernel.fleet.state.plan, unpack(whole.kernel.fleet))
    except msgspec.ValidationError as error:
        raise RefusedError(f"cannot take over: {error}") from None
    received.expect(whole.history.memory)
    print(f"{handover.CAN}{__version__}")
    return 0


class Restored:
    """The state that was taken over. `restore()` and `go_on()` are called while the parts are put together."""

    def __init__(self, fd: int) -> None:
        """Raises RefusedError."""
        self._received = handover.Received(fd)
        self._whole: SavedState | None = self._received.state(SavedState)
        whole = self._whole
        if whole.pid != os.getpid():
            raise RefusedError(f"cannot take over: the state is that of pid {whole.pid}")
        self.output_options, self.inputs, self.files = whole.output_options, whole.inputs, whole.files
        self.plan: Plan = whole.kernel.fleet.state.plan
        self.claimed = _claim(whole.claimed) if whole.claimed is not None else None
        os.fchdir(whole.inputs.root)

    def restore(self, history: History, output: Multiplexer) -> Handover:
        """Fill the history and the output with what was handed over."""
        assert self._whole is not None
        whole = self._whole
        self._received.fill(history.restore(whole.history))
        self._received.close()
        running = sum(not process.reaped for process in whole.kernel.processes.processes)
        before = self._received.origin.procman
        go_on = "1 process keeps running" if running == 1 else f"{running} processes keep running"
        notice = f"upgraded: procman {before} -> {__version__}; {go_on}"
        return Handover(whole.kernel, output.restore(whole.output), whole.upgrades, notice)

    def go_on(self, server: LazyServer | None) -> None:
        """The last step before it runs: handlers are installed by now, so signals that arrived meanwhile are unblocked."""
        assert self._whole is not None
        whole, self._whole = self._whole, None  # a large part of it is of no use any more
        if server is not None:
            server.restore(whole.server)
        signal.pthread_sigmask(signal.SIG_SETMASK, whole.blocked)


def _claim(claimed: Claimed) -> Claim:
    names = {name: socket.socket(fileno=fd) for name, fd in claimed.names.items()}
    return Claim(claimed.place, socket.socket(fileno=claimed.listener), claimed.locks, names, claimed.label)
