"""Continues after an upgrade where the program before it stopped. `save` is the other end."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import msgspec

from procman import __version__
from procman.app import build
from procman.app.save import Claimed, SavedState
from procman.control.claim import Claim
from procman.core.fleet import Fleet
from procman.core.snapshot import unpack
from procman.errors import RefusedError
from procman.kernel.output.history import History
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.process import spawn
from procman.kernel.saved import Handover
from procman.kernel.survive import handover

if TYPE_CHECKING:
    from procman.core.spec import Plan
    from procman.serve.lazyserver import LazyServer


def take_over(fd: int) -> int:
    """Take over from the previous program; returns the exit code. Raises RefusedError."""
    spawn.close_on_exec()
    taken = Restored(fd)
    return build.run(build.build(taken.plan, taken.claimed, taken.output_options, taken.inputs, taken))


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
        handover.unblock_signals(whole.blocked)


def _claim(claimed: Claimed) -> Claim:
    names = {name: socket.socket(fileno=fd) for name, fd in claimed.names.items()}
    return Claim(claimed.place, socket.socket(fileno=claimed.listener), claimed.locks, names, claimed.label)
