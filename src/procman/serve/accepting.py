"""Accepts clients at the listening sockets, also when the instances have taken all other descriptors.

Owns the listeners and spare descriptors; knows neither who may connect nor what for.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from procman.kernel.loop.reactor import READ, Reactor

if TYPE_CHECKING:
    import _socket as socket  # as in control/sockets.py

ACCEPTS_A_TURN = 32

SPARES = 4
"""Descriptors kept for clients, so that procman can be reached when its instances have taken all others."""

RETRY = 1.0
"""Seconds until the listener is tried again after there was no descriptor for a client."""


class Acceptor:
    """Calls `admit` with the socket of each client."""

    def __init__(
        self, reactor: Reactor, listeners: Iterable[socket.socket], admit: Callable[[socket.socket], None]
    ) -> None:
        self._reactor = reactor
        self._listeners = [*listeners]
        self._admit = admit
        self._spares: list[int] = []
        self.listening = False
        self._stopped = False
        for listener in self._listeners:
            listener.setblocking(False)  # noqa: FBT003  the standard library's signature
        self.listen_again()

    def listen_again(self) -> None:
        """A descriptor may be free again."""
        if self._stopped:
            return
        self._fill_spares()
        if not self.listening:
            self.listening = True
            for listener in self._listeners:
                self._register(listener)

    def _fill_spares(self) -> None:
        with contextlib.suppress(OSError):  # none left: the next client that leaves frees one
            while len(self._spares) < SPARES:
                self._spares.append(os.dup(self._listeners[0].fileno()))

    def _register(self, listener: socket.socket) -> None:
        self._reactor.register(listener.fileno(), READ, partial(self._on_connect, listener))

    def add(self, listener: socket.socket) -> None:
        """Accept clients of this socket, too."""
        self._listeners.append(listener)
        if self.listening:
            self._register(listener)

    def replace(self, before: socket.socket, listener: socket.socket) -> None:
        """Listen on a new socket in place of `before`, which no client can find any more."""
        self._listeners.remove(before)
        if self.listening:
            self._reactor.unregister(before.fileno())
        before.close()
        self.add(listener)

    def stop(self) -> None:
        """Accept no more clients. Call this before a listener is closed."""
        self._stopped = True
        self._pause()

    def close(self) -> None:
        self.stop()
        for listener in self._listeners:
            listener.close()
        while self._spares:
            os.close(self._spares.pop())

    def _pause(self) -> None:
        if self.listening:
            self.listening = False
            for listener in self._listeners:
                self._reactor.unregister(listener.fileno())

    def _on_connect(self, listener: socket.socket) -> None:
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
            self._admit(type(listener)(listener.family, listener.type, listener.proto, fd))
