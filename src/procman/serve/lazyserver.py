"""Stands for the server until a client connects or everything is started, because loading it takes 3 ms that no
instance should wait for.

Until then clients wait in the listener's queue, and changes are kept.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from procman.core.view import Change, Operation
from procman.kernel.loop.reactor import READ, Reactor

if TYPE_CHECKING:
    import _socket as socket  # as in control/sockets.py
    from collections.abc import Iterable

    from procman.kernel.kernel import Kernel
    from procman.serve.server import Server, ServerState

QUIET_AFTER = 0.05
"""Seconds after which a started process has usually written its first line."""

SPARES = 4
"""Descriptors kept for the server, so that it can be loaded when the instances have taken all others."""

RETRY = 1.0
"""Seconds until loading is tried again after it failed."""


class LazyServer:
    """Stands for the server, which it creates once."""

    def __init__(self, reactor: Reactor, listeners: Iterable[socket.socket], kernel: Kernel) -> None:
        self._reactor = reactor
        self._listeners = [*listeners]
        self._kernel = kernel
        self._server: Server | None = None
        self._early: list[tuple[float, Change]] = []
        self._spares = [os.dup(self._listeners[0].fileno()) for _ in range(SPARES)]
        self._watched = True
        for listener in self._listeners:
            reactor.register(listener.fileno(), READ, self._try)
        reactor.call_at(time.monotonic() + QUIET_AFTER, self._when_quiet)

    def publish(self, time: float, change: Change) -> None:
        """A listener of the kernel's changes."""
        if self._server is None:
            self._early.append((time, change))
        else:
            self._server.publish(time, change)

    def operation_ended(self, operation: Operation) -> None:
        """A listener of the kernel's operations."""
        if self._server is not None:
            self._server.operation_ended(operation)

    def state(self) -> ServerState:
        return self._load().state()

    def restore(self, state: ServerState) -> None:
        self._load().restore(state)

    def upgrade(self) -> None:
        """Another program takes procman's place."""
        self._load().upgrade()

    def listen(self, listener: socket.socket) -> None:
        """Listen on one more socket, for another folder that leads to procman."""
        self._load().listen(listener)

    def replace(self, before: socket.socket, listener: socket.socket) -> None:
        """Listen on a new socket in place of one whose file has disappeared."""
        self._load().replace(before, listener)

    def stop_listening(self) -> None:
        """Accept no more clients. Call this before the listener is closed."""
        self._unwatch()
        if self._server is not None:
            self._server.stop_listening()

    def close(self) -> None:
        """Procman ends."""
        if self._server is not None:
            self._server.close()
        else:
            self._close_spares()
            for listener in self._listeners:
                listener.close()

    def _when_quiet(self) -> None:
        if self._server is None and self._kernel.busy:
            self._reactor.call_at(time.monotonic() + QUIET_AFTER, self._when_quiet)
        else:
            self._try()

    def _try(self) -> None:
        """Running out of a resource ends nothing: it is tried again."""
        try:
            self._load()
        except (ImportError, OSError, MemoryError) as error:
            self._unwatch()
            self._kernel.log(f"cannot serve clients ({error}): trying again")
            self._reactor.call_at(time.monotonic() + RETRY, self._try)

    def _load(self) -> Server:
        if self._server is None:
            self._close_spares()
            from procman.serve.server import Server  # noqa: PLC0415  3 ms

            self._unwatch()
            self._server = Server(self._reactor, self._listeners, self._kernel)
            for when, change in self._early:
                self._server.publish(when, change)
            self._early.clear()
        return self._server

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            for listener in self._listeners:
                self._reactor.unregister(listener.fileno())

    def _close_spares(self) -> None:
        while self._spares:
            with contextlib.suppress(OSError):
                os.close(self._spares.pop())
