"""Waits for a matching line in an instance's output, in either stream, without the sequences of a terminal.

A pattern can take years for one line (`(a+)+$`), and a program can write any line. So each search has a limit, and a
pattern that reaches it too often is given up: otherwise one instance's output would hold up all others.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from typing import TYPE_CHECKING

from procman.core.policies import LogProbe
from procman.kernel.process.probes.attempts import OnAnswer, failed, passed
from procman.text.ansi import visible

if TYPE_CHECKING:
    from types import FrameType

    from procman.kernel.output.multiplexer import Multiplexer
    from procman.kernel.output.stream import ChildStream

LONGEST = 64 * 1024
"""Most bytes of an unfinished line that are kept."""

SEARCHED = 4096
"""Most characters of a line that are searched."""

SECONDS = 0.05
"""How long a search may take, in processor time: a usual pattern takes a hundredth of it for a chunk of output."""

GIVEN_UP_AFTER = 5
"""Searches that took too long, after which there are no more."""


class _TooLongError(Exception):
    """A search has reached its limit."""


class LimitedPattern:
    """A regular expression whose search is given up after `SECONDS`. For the main thread, which handles signals."""

    def __init__(self, pattern: str) -> None:
        """Raises re.error."""
        self._pattern = re.compile(pattern)
        self._searching = False
        self.given_up = 0

    def first(self, lines: Iterable[str]) -> str | None:
        """The first line in which it is found. A line that takes too long counts as one without a match."""
        before = signal.signal(signal.SIGVTALRM, self._expired)
        try:
            return next((line for line in lines if self._is_in(line[:SEARCHED])), None)
        finally:
            signal.signal(signal.SIGVTALRM, before)

    def _is_in(self, line: str) -> bool:
        """Whether it is in this line. The engine checks for signals while it searches (`_sre`), so a signal can end it."""
        if self.given_up >= GIVEN_UP_AFTER:
            return False
        try:
            self._searching = True
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
            try:
                return self._pattern.search(line) is not None
            finally:
                self._searching = False
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        except _TooLongError:
            self.given_up += 1
            return False

    def _expired(self, _number: int, _frame: FrameType | None) -> None:
        if self._searching:
            raise _TooLongError


class LogWatch:
    """A tap that answers at each matching line, until it is cancelled."""

    def __init__(self, output: Multiplexer, name: str, probe: LogProbe, answer: OnAnswer) -> None:
        self._output = output
        self._name = name
        self._answer = answer
        self._wrong = ""
        try:
            self._pattern = LimitedPattern(probe.pattern)
        except re.error as error:
            self._wrong = f"log: cannot use the pattern: {error}"
        self._partial: dict[ChildStream, bytes] = {}

    def start(self) -> None:
        if self._wrong:
            self._answer(failed(self._wrong))
            return
        for stream in self._output.streams_of(self._name):
            self._partial[stream] = bytes(stream.partial)
        self._output.add_tap(self._name, self)

    def cancel(self) -> None:
        self._output.remove_tap(self._name, self)

    # ---- the tap

    def opened(self, stream: ChildStream) -> None:
        self._partial[stream] = b""

    def read(self, stream: ChildStream, data: bytes) -> None:
        if self._wrong:
            return
        whole, newline, rest = (self._partial.get(stream, b"") + data).rpartition(b"\n")
        self._partial[stream] = rest[:LONGEST]
        if newline:
            lines = visible(whole, color=False).split(b"\n")
            found = self._pattern.first(line.decode(errors="replace") for line in lines)
            if found is not None:
                self._answer(passed(f"log line {_shortened(found)!r}"))
            elif self._pattern.given_up >= GIVEN_UP_AFTER:
                self._wrong = f"log: the pattern is given up, it takes more than {SECONDS:g} s for a line"
                self._answer(failed(self._wrong))

    def ended(self, stream: ChildStream) -> None:
        self._partial.pop(stream, None)

    def removed(self) -> None:
        """The slot has been removed, so nothing can match any more."""
        self._partial.clear()


def _shortened(line: str) -> str:
    text = line.strip()
    return text if len(text) <= 80 else text[:79] + "…"
