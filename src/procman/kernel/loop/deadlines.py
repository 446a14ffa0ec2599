"""One deadline for each key, of which the newest counts, as the core drops a stale token anyway.

Without this, each death in a crash loop would leave a timer of a minute in the reactor's heap.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from procman.core.timers import TimerKey
from procman.kernel.loop.reactor import Reactor


class Deadlines:
    """Calls `fired(key, token)` at the newest time that was set for a key. Times are monotonic seconds."""

    def __init__(self, reactor: Reactor, fired: Callable[[TimerKey, int], None]) -> None:
        self._reactor = reactor
        self._fired = fired
        self._newest: dict[TimerKey, tuple[float, int]] = {}
        self._armed: dict[TimerKey, float] = {}  # the next call by the reactor for each key

    def set(self, key: TimerKey, token: int, at: float) -> None:
        """Set the deadline of this key, in place of an earlier one."""
        self._newest[key] = at, token
        self._arm(key, at)

    def state(self) -> dict[TimerKey, tuple[float, int]]:
        """The time and the token of each key's deadline."""
        return dict(self._newest)

    def _arm(self, key: TimerKey, at: float) -> None:
        if at < self._armed.get(key, float("inf")):
            self._armed[key] = at
            self._reactor.call_at(at, partial(self._due, key, at))

    def _due(self, key: TimerKey, called_for: float) -> None:
        if self._armed.get(key) != called_for:
            return  # another call for this key is due
        del self._armed[key]
        at, token = self._newest[key]
        if at > called_for:
            self._arm(key, at)
            return
        del self._newest[key]
        self._fired(key, token)
