"""Procman's own faults: what decides after the fleet has raised, the trace that shows what led to them, and a reserve
of memory.

A fault of procman does not end its processes: the fallback keeps them and stops them in order. A lack of memory is not
a fault, and what was interrupted by it is repeated.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from procman import __version__
from procman.core.actions import Action
from procman.core.events import Event, FormationStarted, ShutdownAsked
from procman.core.fleet import Decider, Fleet
from procman.core.survivor import AT_FAULT, Survivor
from procman.core.trace import FORMAT, Trace, TraceHeader
from procman.errors import fault_of_system
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.history import History
from procman.kernel.output.reader import LOG_AGAIN
from procman.later import later

if TYPE_CHECKING:
    from procman.core import fallback
else:
    fallback = later(__name__, "procman.core.fallback")

MOST_FAULTS = 100
"""Faults of procman, after which the fallback itself cannot be relied on."""

RESERVE = 2 << 20
"""Bytes that are freed when no memory is left, so that procman can continue: Python allocates 1 MiB at a time for
small objects. Never touched, so it only costs address space.
"""


class Faults:
    """Holds the `decider` in force. `log` is for procman's own lines; `trace` is a path."""

    def __init__(
        self, reactor: Reactor, fleet: Fleet, history: History, trace: str, log: Callable[[str], None]
    ) -> None:
        self.decider: Decider = fleet
        self.first: Exception | None = None
        self._reactor = reactor
        self._history = history
        self._path = trace
        self._log = log
        self._trace = Trace(fleet)
        self._count = 0
        self.fallen_back = False
        self._log_memory_at = 0.0  # when a lack of memory may be logged again
        self._reserve = bytes(RESERVE)

    def decide(self, event: Event, now: float) -> list[Action]:
        """What to do about an event. Raises whatever the decider does."""
        self._trace.note(now, event)
        return self.decider.handle(event, now)

    # ---- a fault

    def add(self, error: Exception, consequence: str) -> None:
        """Count a fault, and log the first. Raises it where there are too many."""
        self._count += 1
        if self._count > MOST_FAULTS:
            raise error
        if self.first is None:
            self.first = error
            self.report(error, f"; {consequence}")
            import traceback  # noqa: PLC0415  3 ms at import, which every start would pay

            self.write_trace("".join(traceback.format_exception(error)))

    def report(self, error: BaseException, consequence: str = "") -> None:
        """Log a fault, or what the system refuses."""
        text = fault_of_system(error) or f"procman is at fault, please report it: {_named(error)}"
        self._log(f"{text}{consequence}")

    def fall_back(self, survivors: Iterable[Survivor], now: float, *, stop: bool) -> list[Action]:
        """Let the fallback decide from now on. `stop`: whether everything is to be stopped at once."""
        before = self.decider
        decider = fallback.Fallback(before.plan, before.counts, survivors)
        self.decider, self.fallen_back = decider, True
        return decider.handle(ShutdownAsked(AT_FAULT) if stop or before.stopping else FormationStarted(), now)

    # ---- no memory

    def no_memory(self, again: Callable[[], None]) -> None:
        """A lack of memory is not a fault, and does not end procman: what was interrupted is repeated by `again`, with
        the reserve and what the history frees.
        """
        if self._reserve:
            self._reserve = b""
            self._reactor.call_at(time.monotonic() + LOG_AGAIN, self._take_reserve)
        try:
            self._history.relieve()
            again()
            if time.monotonic() >= self._log_memory_at:
                self._log_memory_at = time.monotonic() + LOG_AGAIN
                self._log("out of memory: procman continues and drops kept output")
        except MemoryError:  # not even for that: the next MemoryError comes here again
            self._log_memory_at = 0.0

    def _take_reserve(self) -> None:
        self._reserve = bytes(RESERVE)

    # ---- the trace

    def write_trace(self, cause: str) -> None:
        """Write the core's last events, as `procman debug replay` reads them."""
        header = TraceHeader(FORMAT, __version__, cause, time.time())
        try:
            write_private(self._path, self._trace.lines(header))
        except OSError as error:
            self._log(f"cannot write the trace {self._path}: {error.strerror}")
        else:
            self._log(f"the last events are in {self._path}; `procman debug replay` shows them")


def write_private(path: str, lines: Iterable[bytes]) -> None:
    """Write a file of mode 0600 in place of an existing one, never through a link. Raises OSError.

    Other users may be able to write to the folder.
    """
    fresh = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.writelines(lines)
        os.rename(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise


def _named(error: BaseException) -> str:
    """The error as text, without repr(): that of a UnicodeEncodeError has the whole text, which may be a secret from
    the environment.
    """
    return f"{type(error).__name__}: {error}"
