"""Connects to an instance without blocking: by TCP, to one address after the other until one accepts."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence

from procman.core.policies import TcpProbe
from procman.kernel.loop.reactor import WRITE, Reactor
from procman.kernel.process.probes.attempts import OnAnswer, ProbedProcess, failed, passed

Connected = Callable[[socket.socket | None, str], None]
"""Gets the connection, or the reason why there is none."""

LOOPBACK = ("127.0.0.1", "::1")
"""Both are tried where no host is named: a server that listens on `localhost` uses one of them, and not always the
first.
"""


def addresses_of(host: str) -> Sequence[str]:
    """The addresses to try for a host. Raises ValueError for a name, which could not be looked up without blocking."""
    host = host.strip("[]")
    if host in ("localhost", LOOPBACK[0]):
        return LOOPBACK
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return (host,)
    raise ValueError(f"{host} is not an address: a probe cannot look up a name, so give the address")


class Connecting:
    """One connection being made. Every descriptor of it is non-blocking, and closed except the one that is handed over."""

    def __init__(self, reactor: Reactor, addresses: Sequence[str], port: int, done: Connected) -> None:
        self._reactor = reactor
        self._addresses = list(addresses)
        self._port = port
        self._done = done
        self._socket: socket.socket | None = None
        self._why = ""  # the error of the first address, which is the one that was meant

    def start(self) -> None:
        """Try the next address."""
        if not self._addresses:
            self._done(None, self._why)
            return
        address = self._addresses.pop(0)
        try:
            made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            self._failed(error.errno or errno.EIO)
            return
        made.setblocking(False)  # noqa: FBT003  the standard library's signature
        try:
            with contextlib.suppress(BlockingIOError):  # EINPROGRESS
                made.connect((address, self._port))
            self._reactor.register(made.fileno(), WRITE, self._on_ready)  # may have no watch left (epoll(7))
        except OSError as error:
            made.close()
            self._failed(error.errno or errno.EIO)
        else:
            self._socket = made

    def cancel(self) -> None:
        if self._socket is not None:
            self._reactor.unregister(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _on_ready(self) -> None:
        made, self._socket = self._socket, None
        assert made is not None
        self._reactor.unregister(made.fileno())
        self._connected(made)

    def _connected(self, made: socket.socket) -> None:
        """Whether it is connected. On loopback a socket can connect to itself: both ends are the same (RFC 9293,
        simultaneous open).
        """
        try:
            code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code and made.getsockname() == made.getpeername():
                code = errno.ECONNREFUSED
        except OSError as error:  # closed again already
            code = error.errno or errno.EIO
        if code:
            made.close()
            self._failed(code)
        else:
            self._done(made, "")

    def _failed(self, code: int) -> None:
        self._why = self._why or os.strerror(code).lower()
        self.start()


class TcpAttempt:
    """Whether a process accepts a connection, which is closed at once."""

    def __init__(self, reactor: Reactor, probe: TcpProbe, process: ProbedProcess, answer: OnAnswer) -> None:
        self._reactor = reactor
        self._host = probe.host
        self._port = probe.port or process.port
        self._answer = answer
        self._connecting: Connecting | None = None

    def start(self) -> None:
        if self._port is None:
            self._answer(failed("tcp: it has no port"))
            return
        try:
            addresses = addresses_of(self._host)
        except ValueError as error:
            self._answer(failed(f"tcp: {error}"))
            return
        self._connecting = Connecting(self._reactor, addresses, self._port, self._connected)
        self._connecting.start()

    def cancel(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()

    def _connected(self, made: socket.socket | None, why: str) -> None:
        if made is None:
            self._answer(failed(f"tcp port {self._port}: {why}"))
        else:
            made.close()
            self._answer(passed(f"tcp port {self._port} accepts"))
