"""The other half of `supervise`, around an upgrade: what a running procman hands over, and how the next program goes on.

Each room makes its own part of the state and takes it back; here they are put together. What becomes of the descriptors
and the process is `kernel/survive/handover.py`'s, and when it happens `kernel/survive/upgrading.py`'s.
"""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from procman import __version__
from procman.app.run import ReloadInputs, OutputOptions
from procman.control.locate import Claim, Place
from procman.core.fleet import Fleet
from procman.core.snapshot import unpack
from procman.errors import RefusedError
from procman.kernel.survive import handover
from procman.kernel.output.history import History, HistoryState
from procman.kernel.kernel import Handover, Kernel, KernelState
from procman.kernel.output.logfiles import FilesState
from procman.kernel.output.fanout import Mux, MuxState
from procman.serve.server import Server, ServerState
from procman.kernel.survive.upgrading import LiveUpgrade, Written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procman.app.run import RunningParts
    from procman.core.spec import Plan


class Claimed(Struct, frozen=True):
    """A claim as descriptors; the first of `locks` is that of the place."""

    place: Place
    listener: int
    locks: tuple[int, ...]


class SavedState(Struct, frozen=True, kw_only=True):
    """Everything. `upgrades` is how often procman has been replaced, this time included; `blocked` its signal mask."""

    pid: int
    upgrades: int
    blocked: tuple[int, ...]
    look: OutputOptions
    inputs: ReloadInputs
    claimed: Claimed | None
    kernel: KernelState
    output: MuxState
    history: HistoryState
    files: FilesState | None
    server: ServerState

    def descriptors(self) -> tuple[int, ...]:
        """Every descriptor that it speaks of."""
        claimed, lives, guardian = self.claimed, self.kernel.lives.lives, self.kernel.guardian
        return (
            *(self.inputs.here, self.inputs.root, *self.inputs.inherited),
            *((claimed.listener, *claimed.locks) if claimed is not None else ()),
            *((guardian.pipe,) if guardian is not None else ()),
            *((self.files.lock,) if self.files is not None else ()),
            *(stream.fd for stream in self.output.streams),
            *(life.stdin for life in lives if life.stdin is not None),
        )


# ---- the program that is replaced


def upgrading(parts: RunningParts) -> LiveUpgrade:
    """What upgrades this procman."""
    inputs = parts.inputs
    program = handover.Program.this(inputs.environ, inputs.here, inputs.root)
    part = parts.server.upgrade if parts.server is not None else _nobody
    return LiveUpgrade(parts.reactor, parts.kernel, program, partial(_write, parts), part)


def _nobody() -> None:
    """Without a control socket there is no client."""


def _write(parts: RunningParts, blocked: Iterable[int]) -> Written:
    kernel, claimed, server, history = parts.kernel, parts.claimed, parts.server, parts.kernel.history
    whole = SavedState(
        pid=os.getpid(),
        upgrades=kernel.upgrades + 1,
        blocked=tuple(blocked),
        look=parts.look,
        inputs=parts.inputs,
        claimed=_claimed(claimed) if claimed is not None else None,
        kernel=kernel.state(),
        output=kernel.mux.state(),
        history=history.state(),
        files=parts.files.state() if parts.files is not None else None,
        server=server.state() if server is not None else ServerState(),
    )
    return Written(handover.write(whole, history.memory()), whole.descriptors())


def _claimed(claimed: Claim) -> Claimed:
    return Claimed(claimed.place, claimed.listener.fileno(), (claimed.lock_fd, *claimed.guards))


# ---- the program that takes its place


def check(fd: int) -> None:
    """Read a state as one who takes over would, and say that it can be done. Raises RefusedError."""
    received = handover.Received(fd)
    whole = received.state(SavedState)
    try:
        Fleet(whole.kernel.fleet.state.plan, unpack(whole.kernel.fleet))
    except msgspec.ValidationError as error:
        raise RefusedError(f"cannot take over: {error}") from None
    received.expect(whole.history.memory)
    print(f"{handover.CAN}{__version__}")


class Restored:
    """What this program has taken over. `restore()` and `go_on()` are called while the rooms are put together."""

    def __init__(self, fd: int) -> None:
        """Raises RefusedError."""
        self._received = handover.Received(fd)
        self._whole: SavedState | None = self._received.state(SavedState)
        whole = self._whole
        if whole.pid != os.getpid():
            raise RefusedError(f"cannot take over: the state is that of pid {whole.pid}")
        self.look, self.inputs, self.files = whole.look, whole.inputs, whole.files
        self.plan: Plan = whole.kernel.fleet.state.plan
        self.claimed = _claim(whole.claimed) if whole.claimed is not None else None
        os.fchdir(whole.inputs.root)

    def restore(self, history: History, mux: Mux) -> Handover:
        """Fill them with what the ones before them had."""
        assert self._whole is not None
        whole = self._whole
        self._received.fill(history.restore(whole.history))
        self._received.close()
        running = sum(not life.reaped for life in whole.kernel.lives.lives)
        before = self._received.origin.procman
        go_on = "1 process goes on" if running == 1 else f"{running} processes go on"
        news = f"upgraded: procman {before} -> {__version__}; {go_on}"
        return Handover(whole.kernel, mux.restore(whole.output), news)

    def go_on(self, kernel: Kernel, server: Server | None) -> None:
        """The last step before it runs: the handlers stand, and so the signals that came meanwhile are let in."""
        assert self._whole is not None
        whole, self._whole = self._whole, None  # a large part of it is of no use any more
        kernel.upgrades = whole.upgrades
        if server is not None:
            server.restore(whole.server)
        handover.unblock_signals(whole.blocked)


def _claim(claimed: Claimed) -> Claim:
    lock, *guards = claimed.locks
    return Claim(claimed.place, socket.socket(fileno=claimed.listener), lock, tuple(guards))
