"""Loads what a start does not need, once procman is idle: the modules that `later` has put off; and the upgrade, when it is
asked for.

Later the files may be those of the next version. Loading takes 5 ms, so it is not done before everything is started.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from procman import bytecode
from procman.core.actions import Refuse
from procman.kernel.loop.reactor import Reactor
from procman.later import keep_all, keep_room

if TYPE_CHECKING:
    from procman.kernel.survive.upgrading import LiveUpgrade, UpgradeAnswer, UpgradeHost

QUIET_AFTER = 0.05
"""Seconds after which a started process has usually written its first line."""


SOON = tuple(
    f"procman.{name}"
    for name in (
        *("core.ends", "core.stopping", "core.order", "core.interrupts"),
        *("kernel.process.descent", "kernel.process.ports"),
        *("core.overview", "core.execution"),
        "core.fallback",
    )
)
"""Modules that need not wait for their first use: those of a crash and a stop, which would take 2 ms more the first time; of
`ps` and `scale`, 3 ms; and what decides when memory has run out."""

FAILURES = (ImportError, OSError, MemoryError, SyntaxError, EOFError, ValueError, TypeError)
"""What an import raises: the last four where a file is being replaced, or is damaged."""


class LazyUpgrade:
    """Loads everything put off, and the upgrade once. `load` is None if no upgrade is possible.

    It keeps a descriptor, so that something can be loaded when the instances have taken all others.
    """

    def __init__(self, reactor: Reactor, host: UpgradeHost, load: Callable[[], LiveUpgrade] | None) -> None:
        self._reactor = reactor
        self._host = host
        self._kept = False
        self._load = load
        self._loaded: LiveUpgrade | None = None
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        keep_room(self._close_spare)

    def load_soon(self) -> None:
        """Load everything, once all is started and has usually written its first line."""
        self._reactor.call_at(time.monotonic() + QUIET_AFTER, self._load_when_quiet)

    def ask(self, answer: UpgradeAnswer) -> None:
        """Let the installed program take over; `answer` is called when that is about to happen, or is refused."""
        self._keep_now()
        try:
            if self._loaded is None and self._load is not None:
                self._loaded = self._load()
        except FAILURES as error:
            self._host.log(f"cannot load what an upgrade needs: {error}")
        if self._loaded is None:
            answer(Refuse(0, "cannot upgrade: what that needs could not be loaded"))
        else:
            self._loaded.ask(answer)

    def _load_when_quiet(self) -> None:
        if self._host.busy:
            self.load_soon()
        else:
            self._keep_now()

    def _keep_now(self) -> None:
        if self._kept:
            return
        self._kept = True
        self._close_spare()
        try:
            keep_all(SOON, bytecode.hold)
        except FAILURES as error:  # each is tried again when it is used
            self._host.log(f"cannot load all of procman: {error}")
        gc.freeze()  # what is loaded stays: a search for garbage in it would take 4 ms of the first crash

    def _close_spare(self) -> None:
        spare, self._spare = self._spare, -1
        if spare >= 0:
            os.close(spare)
