"""Loads what a start does not need, once procman is idle: the upgrade, and the modules that `later` has put off.

Later the files may be those of the next version. Loading takes 5 ms, so it is not done before everything is started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from procman.core.actions import Refuse
from procman.kernel.loop.reactor import Reactor
from procman.later import keep_room, load_all

if TYPE_CHECKING:
    from procman.kernel.survive.upgrading import LiveUpgrade, UpgradeAnswer

QUIET_AFTER = 0.05
"""Seconds after which a started process has usually written its first line."""


class StartingHost(Protocol):
    @property
    def busy(self) -> bool:
        """Whether a start, or a command of a drain, is under way."""

    def log(self, text: str) -> None: ...


class LazyUpgrade:
    """Loads the upgrade once, and everything put off. `load` is None where no upgrade is possible.

    It keeps a descriptor, so that something can be loaded when the instances have taken all others.
    """

    def __init__(self, reactor: Reactor, host: StartingHost, load: Callable[[], LiveUpgrade] | None) -> None:
        self._reactor = reactor
        self._host = host
        self._load: Callable[[], LiveUpgrade] | None = load
        self._loaded: LiveUpgrade | None = None
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        keep_room(self._close_spare)

    def load_soon(self) -> None:
        """Load everything, once all is started and has usually written its first line."""
        self._reactor.call_at(time.monotonic() + QUIET_AFTER, self._load_when_quiet)

    def ask(self, answer: UpgradeAnswer) -> None:
        """Let the installed program take over; `answer` is called when that is about to happen, or is refused."""
        self._load_now()
        if self._loaded is None:
            answer(Refuse(0, "cannot upgrade: what that needs could not be loaded at the start"))
        else:
            self._loaded.ask(answer)

    def _load_when_quiet(self) -> None:
        if self._host.busy:
            self.load_soon()
        else:
            self._load_now()

    def _load_now(self) -> None:
        self._close_spare()
        try:
            load_all()
        except (ImportError, OSError, MemoryError) as error:  # each is tried again when it is used
            self._host.log(f"cannot load all of procman: {error}")
        load, self._load = self._load, None
        if load is not None:
            try:
                self._loaded = load()
            except (ImportError, OSError, MemoryError) as error:  # no descriptor left, say
                self._host.log(f"cannot be upgraded while running: {error}")

    def _close_spare(self) -> None:
        spare, self._spare = self._spare, -1
        if spare >= 0:
            os.close(spare)
