"""Accepts clients at the listening sockets, and loads the server for the first of them, or once everything is started: that
takes 3 ms, which no instance should wait for.

Owns the listeners, and spare descriptors for the time when the instances have taken all others. Until the server is
loaded clients wait in the listener's queue, and changes are kept. Knows neither who may connect nor what for.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import partial
from typing import TYPE_CHECKING

from procman.core.view import Change, Operation
from procman.kernel.loop.reactor import READ, Reactor

if TYPE_CHECKING:
    import _socket as socket  # as in control/sockets.py
    from collections.abc import Iterable

    from procman.kernel.kernel import Kernel
    from procman.serve.connection import ConnectionLimits
    from procman.serve.server import Server, ServerState

QUIET_AFTER = 0.05
"""Seconds after which a started process has usually written its first line."""

ACCEPTS_A_TURN = 32

SPARES = 4
"""Descriptors kept for clients, and for loading the server, so that procman can be reached when its instances have taken
all others.
"""

RETRY = 1.0
"""Seconds until the listeners are tried again after there was no descriptor for a client, or for the server."""


class LazyServer:
    """Stands for the server, which it creates once."""

    def __init__(
        self,
        reactor: Reactor,
        listeners: Iterable[socket.socket],
        kernel: Kernel,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self._reactor = reactor
        self._listeners = [*listeners]
        self._kernel = kernel
        self._limits = limits
        self._server: Server | None = None
        self._early: list[tuple[float, Change]] = []
        self._spares: list[int] = []
        self.listening = self._stopped = False
        for listener in self._listeners:
            listener.setblocking(False)  # noqa: FBT003  the standard library's signature
        self.listen_again()
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
        return self.load().state()

    def restore(self, state: ServerState) -> None:
        self.load().restore(state)

    def upgrade(self) -> None:
        """Another program takes procman's place."""
        self.load().upgrade()

    def stop_listening(self) -> None:
        """Accept no more clients. Call this before the listener is closed."""
        self._stopped = True
        self._pause()

    def close(self) -> None:
        """Procman ends."""
        self.stop_listening()
        if self._server is not None:
            self._server.close()
        for listener in self._listeners:
            listener.close()
        self._close_spares()

    # ---- loading

    def load(self) -> Server:
        """The server, loaded if it is not yet. Raises what an import raises."""
        if self._server is None:
            self._close_spares()
            from procman.serve.server import Server  # noqa: PLC0415  3 ms

            self._server = Server(self._reactor, self._kernel, self.listen_again, self._limits)
            for when, change in self._early:
                self._server.publish(when, change)
            self._early.clear()
            self._fill_spares()
        return self._server

    def _when_quiet(self) -> None:
        if self._server is None and self._kernel.busy:
            self._reactor.call_at(time.monotonic() + QUIET_AFTER, self._when_quiet)
        else:
            self._try()

    def _try(self) -> Server | None:
        """Running out of a resource ends nothing: it is tried again."""
        try:
            return self.load()
        except (ImportError, OSError, MemoryError) as error:
            self._kernel.log(f"cannot serve clients ({error}): trying again")
            self._pause()
            self._reactor.call_at(time.monotonic() + RETRY, self._try_again)
            return None

    def _try_again(self) -> None:
        if self._try() is not None:
            self.listen_again()

    # ---- listening

    def listen_again(self) -> None:
        """A descriptor may be free again."""
        if self._stopped:
            return
        self._fill_spares()
        if not self.listening:
            self.listening = True
            for listener in self._listeners:
                self._register(listener)

    def add(self, listener: socket.socket) -> None:
        """Accept clients of this socket, too: it is for another folder that leads to procman."""
        listener.setblocking(False)  # noqa: FBT003  as above
        self._listeners.append(listener)
        if self.listening:
            self._register(listener)

    def replace(self, before: socket.socket, listener: socket.socket) -> None:
        """Listen on a new socket in place of `before`, whose file has disappeared, so that no client can find it."""
        self._listeners.remove(before)
        if self.listening:
            self._reactor.unregister(before.fileno())
        before.close()
        self.add(listener)

    def _fill_spares(self) -> None:
        with contextlib.suppress(OSError):  # none left: the next client that leaves frees one
            while len(self._spares) < SPARES:
                self._spares.append(os.dup(self._listeners[0].fileno()))

    def _close_spares(self) -> None:
        while self._spares:
            os.close(self._spares.pop())

    def _register(self, listener: socket.socket) -> None:
        self._reactor.register(listener.fileno(), READ, partial(self._on_connect, listener))

    def _pause(self) -> None:
        if self.listening:
            self.listening = False
            for listener in self._listeners:
                self._reactor.unregister(listener.fileno())

    def _on_connect(self, listener: socket.socket) -> None:
        server = self._try()
        if server is None:
            return
        for _ in range(ACCEPTS_A_TURN):
            try:
                fd, _address = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001  which socket.accept() calls
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError:  # EMFILE, ENFILE, ENOMEM: the client stays in the queue, so pause instead of spinning
                if not self._spares:
                    self._pause()
                    self._reactor.call_at(time.monotonic() + RETRY, self.listen_again)
                    return
                os.close(self._spares.pop())
                continue
            server.admit(type(listener)(listener.family, listener.type, listener.proto, fd))
