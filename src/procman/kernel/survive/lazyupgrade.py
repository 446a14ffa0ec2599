"""What was not needed for a start is loaded when nobody waits for it: an upgrade, and all that `later` has put off.

When it is needed the files may be the next version's. It takes 5 ms, so it is not done before all are started.
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
"""Seconds after which what has been started has had its first word, if it has one."""


class StartingHost(Protocol):
    @property
    def starting(self) -> bool:
        """Whether something is about to be started."""

    def log(self, text: str) -> None: ...


class LazyUpgrade:
    """Loads the upgrade once, and what was put off. `load` is None where there can be no upgrade.

    It keeps a descriptor, so that the instances cannot have taken the last one when something is to be loaded.
    """

    def __init__(self, reactor: Reactor, host: StartingHost, load: Callable[[], LiveUpgrade] | None) -> None:
        self._reactor = reactor
        self._host = host
        self._load: Callable[[], LiveUpgrade] | None = load
        self._loaded: LiveUpgrade | None = None
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        keep_room(self._close_spare)

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
