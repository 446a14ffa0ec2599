"""Waits for a line of an instance's output that matches, in either stream, without the sequences of a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from procman.core.policies import LogProbe
from procman.kernel.process.probes.attempts import OnAnswer, failed, passed
from procman.text.ansi import visible

if TYPE_CHECKING:
    from procman.kernel.output.multiplexer import Multiplexer
    from procman.kernel.output.stream import ChildStream

LONGEST = 64 * 1024
"""Most bytes of a line that are looked at."""


class LogWatch:
    """A tap that answers when a line matches, each time, until it is cancelled."""

    def __init__(self, output: Multiplexer, name: str, probe: LogProbe, answer: OnAnswer) -> None:
        self._output = output
        self._name = name
        self._answer = answer
        self._wrong = ""
        try:
            self._pattern = re.compile(probe.pattern)
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
        whole, newline, rest = (self._partial.get(stream, b"") + data).rpartition(b"\n")
        self._partial[stream] = rest[:LONGEST]
        if newline:
            for line in visible(whole, color=False).split(b"\n"):
                if self._pattern.search(line.decode(errors="replace")):
                    self._answer(passed(f"log line {_shortened(line)!r}"))
                    return

    def ended(self, stream: ChildStream) -> None:
        self._partial.pop(stream, None)

    def removed(self) -> None:
        """The slot is gone, and nothing can match any more."""
        self._partial.clear()


def _shortened(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return text if len(text) <= 80 else text[:79] + "…"
