"""Stops that clients hold: for how long a hold outlasts its client. What a hold does is decided by the core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from procman.core.events import Hold
from procman.kernel.loop.reactor import Reactor
from procman.serve.methods import MOST_HELD

if TYPE_CHECKING:
    from procman.kernel.kernel import Kernel


class Holds:
    """`held` returns the names under which the connected clients hold stops; `returns` is how many seconds a hold
    outlasts its client.
    """

    def __init__(self, reactor: Reactor, kernel: Kernel, returns: float, held: Callable[[], set[str]]) -> None:
        self._reactor = reactor
        self._kernel = kernel
        self._returns = returns
        self._held = held
        self._returning: dict[str, float] = {}  # who has gone and holds stops, and until when

    def leave(self, names: set[str]) -> None:
        """A client that has gone holds stops for a while longer: a killed companion comes back and continues them."""
        now = time.monotonic()
        for by in names:
            stays = by in self._returning or len(self._returning) < MOST_HELD
            self._returning[by] = now + self._returns if stays else now
        if names:
            self._reactor.call_at(now, self._let_go)  # not at once: the core may be in the middle of an event
            self._reactor.call_at(now + self._returns, self._let_go)

    def _let_go(self) -> None:
        """A client that has not come back holds no stop any more; an instance whose stop was held is stopped at its own
        deadline at the latest.
        """
        now = time.monotonic()
        held = self._held()
        for by in [by for by, until in self._returning.items() if until <= now]:
            del self._returning[by]
            if by not in held:
                self._kernel.command(Hold(by, (), 0.0), lambda _reply: None)
