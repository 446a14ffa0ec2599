"""What an upgrade needs is loaded when nobody waits for it, and long before it is asked for.

By then the file may be the next version's. It takes 3 ms, so it is not done before all are started.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from procman.core.actions import Refuse
from procman.kernel.loop.reactor import Reactor

if TYPE_CHECKING:
    from procman.kernel.survive.upgrading import LiveUpgrade, UpgradeAnswer

QUIET_AFTER = 0.05
"""Seconds after which what has been started has had its first word, if it has one."""


class StartingHost(Protocol):
    @property
    def starting(self) -> bool:
        """Whether something is about to be started."""

    def log(self, text: str) -> None: ...


class LazyUpgrade:
    """Loads the upgrade once. `load` is None where there can be none."""

    def __init__(self, reactor: Reactor, host: StartingHost, load: Callable[[], LiveUpgrade] | None) -> None:
        self._reactor = reactor
        self._host = host
        self._load: Callable[[], LiveUpgrade] | None = load
        self._loaded: LiveUpgrade | None = None

    def load_soon(self) -> None:
        """When all are started and have had their first word."""
        self._reactor.call_at(time.monotonic() + QUIET_AFTER, self._load_when_quiet)

    def ask(self, answer: UpgradeAnswer) -> None:
        """Let the installed program take over; `answer` is called once that is about to happen, or is refused."""
        self._load_now()
        if self._loaded is None:
            answer(Refuse(0, "cannot upgrade: what that needs could not be loaded at the start"))
        else:
            self._loaded.ask(answer)

    def _load_when_quiet(self) -> None:
        if self._host.starting:
            self.load_soon()
        else:
            self._load_now()

    def _load_now(self) -> None:
        load, self._load = self._load, None
        if load is not None:
            try:
                self._loaded = load()
            except (ImportError, OSError, MemoryError) as error:  # no descriptor left, say
                self._host.log(f"cannot be upgraded while running: {error}")
