"""Data for a live screen: one thread polls the formation, another follows the output of one instance.

Each has its own connection, makes it again when procman is upgraded or comes back, and keeps only the newest data:
however slow the screen is, nothing accumulates. Knows no screen: it calls `wake` once until its data has been taken.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.control.client import Client
from procman.control.streaming import data_of
from procman.errors import ProcmanError
from procman.observe.listing import Listing, listed
from procman.observe.poll import Poller
from procman.observe.processes import Meter
from procman.text.lines import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.control.messages import Output

EVERY = 1.0
"""Seconds from one poll to the next, and until a failed connection is tried again."""

LINES = 500
"""Lines of output that are kept of the chosen instance."""


class PolledFormation(Struct, frozen=True):
    """The formation at one poll, or in `trouble` why it failed."""

    listing: Listing | None = None
    root: str = ""
    stopping: bool = False
    trouble: str = ""


class FormationFeed:
    """Polls the formation every second, or when asked to, and keeps the newest result."""

    def __init__(self, path: str, wake: Callable[[], object]) -> None:
        self._path = path
        self._wake = wake
        self._lock = threading.Lock()
        self._newest: PolledFormation | None = None
        self._asked = threading.Event()
        self._ended = False

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def now(self) -> None:
        """Poll now."""
        self._asked.set()

    def end(self) -> None:
        self._ended = True
        self._asked.set()

    def take(self) -> PolledFormation | None:
        """The newest result, unless it has been taken already."""
        with self._lock:
            seen, self._newest = self._newest, None
        return seen

    def _run(self) -> None:
        meter = Meter()
        while not self._ended:
            try:
                with Poller(self._path) as poller:
                    self._poll_on(poller, meter)
            except ProcmanError as error:
                self._put(PolledFormation(trouble=error.message))
                self._pause()

    def _poll_on(self, poller: Poller, meter: Meter) -> None:
        while not self._ended:
            poll = poller.poll()
            fleet = poll.answer.fleet
            self._put(PolledFormation(listed(poll, meter), poll.answer.root, fleet.stopping))
            self._pause()

    def _put(self, seen: PolledFormation) -> None:
        with self._lock:
            waiting = self._newest is not None
            self._newest = seen
        if not waiting and not self._ended:
            self._wake()

    def _pause(self) -> None:
        self._asked.wait(EVERY)
        self._asked.clear()


class Tail:
    """The last lines of one instance, and its output from now on."""

    def __init__(self, path: str, name: str, wake: Callable[[], object]) -> None:
        self.name = name
        self._path = path
        self._wake = wake
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=LINES)
        self._anew = True
        self._waiting = False
        self._client: Client | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def end(self) -> None:
        """Stop following it."""
        self._ended.set()
        client = self._client
        if client is not None:
            client.channel.hang_up()

    def take(self) -> tuple[bool, list[str]]:
        """The lines since the last call, safe to be shown; and whether the earlier lines are to be dropped, as all
        lines are sent again.
        """
        with self._lock:
            anew, self._anew, self._waiting = self._anew, False, False
            lines = list(self._lines)
            self._lines.clear()
        return anew, lines

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with Client(self._path) as self._client:
                    if not self._ended.is_set():  # otherwise hang_up() came too early for this connection
                        self._follow(self._client)
            except ProcmanError:  # the polls report it, or it has written nothing yet
                pass
            self._ended.wait(EVERY)

    def _follow(self, client: Client) -> None:
        with self._lock:
            self._anew = True
            self._lines.clear()
        for output in client.logs((self.name,), LINES, follow=True):
            self._add(lines_of(output))

    def _add(self, lines: list[str]) -> None:
        with self._lock:
            self._lines += lines
            waiting, self._waiting = self._waiting, True
        if not waiting and not self._ended.is_set():
            self._wake()


def lines_of(output: Output) -> list[str]:
    """The last lines, without anything that could move a cursor."""
    gap = [f"[missed {output.missed} bytes]"] if output.missed else []
    lines = data_of(output).decode(errors="replace").split("\n")[:-1]
    return gap + [clean(line).rstrip() for line in lines[-LINES:]]
