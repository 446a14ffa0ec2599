r"""Answers HAProxy's agent checks, for installations without an admin socket: each server asks for the state of its
instance.

HAProxy's `agent-send` names the instance, or its port (`agent-send "web.1\n"`). The answers are those of its
configuration guide, "agent-check". This target holds no stop: leaving instances need `stop: {drain: S}`.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from typing import TYPE_CHECKING

from procman.errors import ProcmanError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procman.companions.balancer.fleet import BalancedInstance

PATIENCE = 1.0
"""Seconds in which a question has to arrive."""

LONGEST = 256

SERVES, LEAVES, DOWN = b"ready up\n", b"drain\n", b"down\n"
"""`ready` takes a server out of drain and maintenance, `up` marks it up."""


def answer(question: bytes, instances: Iterable[BalancedInstance]) -> bytes:
    """The answer about the instance that a server names. An unknown instance is down."""
    asked = question.strip().decode(errors="replace")
    for instance in instances:
        if asked in {instance.name, str(instance.port)}:
            return LEAVES if instance.draining else SERVES if instance.ready else DOWN
    return DOWN


class AgentServer:
    """Listens until it is closed. `instances` is replaced as a whole at every change."""

    def __init__(self, host: str, port: int, instances: tuple[BalancedInstance, ...]) -> None:
        agent = self
        self.instances = instances

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):  # HAProxy has given up, and will ask again
                    self.request.settimeout(PATIENCE)
                    self.request.sendall(answer(_line(self.request), agent.instances))

        try:
            self._server = _Listener((host, port), Handler)
        except OSError as error:
            raise ProcmanError(f"cannot listen on {host}:{port} for agent checks: {error.strerror or error}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="agent", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)


def _line(connection: socket.socket) -> bytes:
    """A line, up to its end, the end of the connection, or the longest length allowed."""
    question = b""
    while b"\n" not in question and len(question) < LONGEST:
        piece = connection.recv(LONGEST)
        if not piece:
            break
        question += piece
    return question.partition(b"\n")[0]
