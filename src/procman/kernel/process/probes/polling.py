"""When an instance is probed: soon and then more and more rarely until it is ready, after that at even intervals.

Owns the schedule of each process's probe and the time an attempt may take. The attempts are in the other modules of
this room; what follows from an answer is decided by the core.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.core.actions import StartProbe
from procman.core.policies import ExecProbe, HttpProbe
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.probes.attempts import OnAnswer, ProbeAnswer, failed

if TYPE_CHECKING:
    from procman.kernel.process.probes.attempts import Watching

FIRST_AFTER = 0.05
"""Seconds from the start to the first attempt and to the second; then the pause doubles up to the interval."""

ATTEMPT_WITHIN = 5.0
"""Most seconds of one attempt before it is ready, unless it is a command: a request that was accepted too early is
repeated instead of waited for.
"""

SPREAD = 0.618
"""The part of an interval between the health checks of one instance and the next: its multiples never coincide."""


class ProbeState(Struct, frozen=True, kw_only=True):
    """A probe as a value. `phase` is the part of the interval by which its checks are shifted."""

    action: StartProbe
    phase: float
    last: ProbeAnswer | None = None


class Limits:
    """Ends attempts that take too long, with one deadline for all: an idle procman has none."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._until: dict[Callable[[], None], float] = {}
        self._next: float = 0.0
        self._armed = False

    def set(self, expired: Callable[[], None], seconds: float) -> None:
        self._until[expired] = time.monotonic() + seconds
        if not self._armed or self._until[expired] < self._next:
            self._arm()

    def drop(self, expired: Callable[[], None]) -> None:
        self._until.pop(expired, None)

    def _arm(self) -> None:
        self._armed = True
        self._next = min(self._until.values())
        self._reactor.call_at(self._next, self._check)

    def _check(self) -> None:
        now = time.monotonic()
        for expired in [expired for expired, until in self._until.items() if until <= now]:
            del self._until[expired]
            expired()
        self._armed = False
        if self._until:
            self._arm()


class Polling:
    """The probe of one process, which is tried repeatedly. `attempt_of` makes an attempt; `answered` gets every answer."""

    def __init__(
        self,
        reactor: Reactor,
        limits: Limits,
        state: ProbeState,
        attempt_of: Callable[[OnAnswer], Watching],
        answered: OnAnswer,
    ) -> None:
        self._reactor = reactor
        self._limits = limits
        self._action = state.action
        self._attempt_of = attempt_of
        self._answered = answered
        self._phase = state.phase
        self._begun_at = 0.0
        self._pause = FIRST_AFTER
        self._attempt: Watching | None = None
        self._over = False
        self._expire = self._expired  # one and the same object

    def start(self) -> None:
        """Start. The first attempt comes after a moment, or at this probe's part of the interval."""
        interval = self._action.interval
        self._again(interval * self._phase if self._action.health else min(FIRST_AFTER, interval))

    def cancel(self) -> None:
        self._over = True
        self._drop()

    def _again(self, pause: float) -> None:
        self._reactor.call_at(time.monotonic() + pause, self._try)

    def _try(self) -> None:
        if self._over:
            return
        self._begun_at = time.monotonic()
        self._limits.set(self._expire, self._seconds)
        attempt = self._attempt = self._attempt_of(self._on_answer)
        attempt.start()

    @property
    def _seconds(self) -> float:
        """How long one attempt may take."""
        if self._action.health or isinstance(self._action.probe, ExecProbe):
            return self._action.timeout
        return min(self._action.timeout, ATTEMPT_WITHIN)

    def _expired(self) -> None:
        self._drop()
        probe = self._action.probe
        what = f"http {probe.url}" if isinstance(probe, HttpProbe) else probe.__struct_config__.tag
        self._on_answer(failed(f"{what}: no answer within {self._seconds:g} s"))

    def _drop(self) -> None:
        self._limits.drop(self._expire)
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()

    def _on_answer(self, answer: ProbeAnswer) -> None:
        self._limits.drop(self._expire)
        self._attempt = None
        if self._action.health:
            took = time.monotonic() - self._begun_at
            self._again(max(self._action.interval - took, FIRST_AFTER))
        elif answer.ok:
            self._over = True
        else:
            self._again(min(self._pause, self._action.interval))
            self._pause *= 2
        self._answered(answer)
