"""Polls one procman, once or repeatedly: what it says of its instances, and what the process table adds.

Owns the connection over several polls, and makes it again when procman is upgraded. Knows no table and no screen.
"""

from __future__ import annotations

import contextlib
import select
from typing import TYPE_CHECKING, NamedTuple, Self

from procman.control.client import Client, ClosedError
from procman.errors import NotRunningError
from procman.observe.processes import Trees, process_table

if TYPE_CHECKING:
    from types import TracebackType

    from procman.control.messages import Ps

TRIES = 3
"""How often a connection that ends during a poll is made again: once if procman has been upgraded."""


class Poll(NamedTuple):
    """The result of a poll. The process trees are empty if procman's pids mean nothing here (another PID namespace)."""

    answer: Ps
    trees: Trees


class Poller:
    """Polls the procman behind a socket. `client` is the connection of the last poll, for further requests."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.client = Client(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def poll(self) -> Poll:
        """The current state. Raises NotRunningError if procman has ended since, else ProcmanError."""
        for _ in range(TRIES - 1):
            with contextlib.suppress(ClosedError):
                return self._ask()
            self._connect_again()
        return self._ask()  # it accepts connections, and so has not ended

    def _ask(self) -> Poll:
        answer = self.client.ps()
        table = process_table() if self.client.channel.peer in (answer.pid, 0) else {}
        return Poll(answer, Trees(table))

    def pause(self, seconds: float) -> None:
        """Wait for this many seconds, or until the connection ends."""
        select.select([self.client.channel], [], [], seconds)

    def _connect_again(self) -> None:
        self.client.close()
        try:
            self.client = Client(self._path)
        except NotRunningError:
            raise NotRunningError("cannot keep polling: procman has ended") from None
