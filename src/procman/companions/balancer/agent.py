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

from procman.companions.balancer.haproxy import StepResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


class AgentTarget:
    """Instances whose servers ask for their state. Holds no stop, as it never learns when connections are closed."""

    holds = 0.0

    def __init__(self, host: str, port: int) -> None:
        self._place = host, port
        self._server: _AgentServer | None = None

    def step(self, instances: Sequence[BalancedInstance], now: float) -> StepResult:
        """Start to listen at the first step: an earlier answer to a server would always be that its instance is down."""
        del now
        if self._server is not None:
            self._server.instances = tuple(instances)
            return StepResult()
        try:
            self._server = _AgentServer(self._place, _Handler)
        except OSError as error:
            where = "{}:{}".format(*self._place)
            return StepResult(fault=f"cannot listen on {where} for agent checks: {error.strerror or error}")
        self._server.instances = tuple(instances)
        threading.Thread(target=self._server.serve_forever, name="agent", daemon=True).start()
        return StepResult()


class _AgentServer(socketserver.ThreadingTCPServer):
    """`instances` is replaced as a whole at every change."""

    allow_reuse_address = True
    daemon_threads = True
    instances: tuple[BalancedInstance, ...] = ()

    def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)


class _Handler(socketserver.StreamRequestHandler):
    timeout = PATIENCE
    server: _AgentServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # HAProxy has given up, and will ask again
            self.wfile.write(answer(self.rfile.readline(LONGEST), self.server.instances))
