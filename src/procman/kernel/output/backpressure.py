"""What is still accepted while the reader of procman's output is too slow, both in bounded memory: procman's own lines,
and the last output of processes that end.

Everything else waits in the children's own pipes, which are not read meanwhile. What does not fit is dropped and
counted. Knows the sink and sizes; does not know how lines look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.kernel.output.stream import ProcessOutput

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.kernel.output.sinks import Data, Sink
    from procman.kernel.output.stream import ChildStream

MAX_REST = 64 * 1024
"""Most bytes of one ended process that wait for a slow reader."""

MAX_OWN = 64 * 1024
"""Most bytes of procman's own lines that wait for a slow reader."""


class Backpressure:
    """Stands before the sink. `notify(text)` gets a message for the log, once output flows again."""

    def __init__(self, sink: Sink, notify: Callable[[str], None]) -> None:
        self._sink = sink
        self._notify = notify
        self._own_rest = 0  # bytes
        self._own_lost = 0  # lines
        self._waiting: dict[str, ProcessOutput] = {}  # by instance: processes whose last output is queued in the sink
        sink.on_stalled.append(self._pause)

    @property
    def stalled(self) -> bool:
        return self._sink.stalled

    def room(self, output: ProcessOutput) -> int:
        """How many bytes of this process may be read now, at its end."""
        return MAX_REST - output.rest

    def write(self, stream: ChildStream, shown: Data, lines: memoryview) -> None:
        """Complete lines of a child, as they are shown and as they were written."""
        if not self._sink.stalled:
            self._sink.write(shown)
            return
        stream.output.rest += len(lines)
        self._waiting[stream.name] = stream.output
        self._sink.write(shown, stream.output, bytes(lines).count(b"\n"))

    def write_own(self, lines: Data, count: int) -> None:
        """Procman's own lines, and how many they are."""
        if self._sink.stalled:
            if self._own_rest + len(lines) > MAX_OWN:
                self._own_lost += count
                return
            self._own_rest += len(lines)
        self._sink.write(lines)

    def drop_older(self, stream: ChildStream, notice: Callable[[str], Data]) -> None:
        """Drop the last output of an earlier process of this slot, in favour of one line that counts it."""
        older = self._waiting.get(stream.name)
        if older is None or older is stream.output:
            return
        del self._waiting[stream.name]
        lost = self._sink.discard(older)
        if lost:
            self._waiting[stream.name] = stream.output
            text = f"{stream.name}: {lost} lines of earlier runs dropped: the output was blocked"
            self._sink.write(notice(text), stream.output, lost)

    def flow(self) -> None:
        """Everything has been written: processes that still run may leave output again at the next stall."""
        for output in self._waiting.values():
            output.rest = 0
        self._waiting.clear()
        if self._own_lost:
            lost, self._own_lost = self._own_lost, 0
            self._notify(f"{lost} lines of procman's own dropped: the output was blocked")

    def _pause(self) -> None:
        self._own_rest = 0

    # ---- handing it on

    def waiting(self, number: Callable[[object], int | None]) -> dict[str, int]:
        """Processes whose last output waits, by instance; `number` turns each into a number."""
        return {name: number(output) or 0 for name, output in self._waiting.items()}

    @property
    def own(self) -> tuple[int, int]:
        """Procman's own lines: bytes that wait, and lines that were dropped."""
        return self._own_rest, self._own_lost

    def restore(self, waiting: dict[str, ProcessOutput], own: tuple[int, int]) -> None:
        """Continue with this state of the sink."""
        self._waiting = waiting
        self._own_rest, self._own_lost = own
        if not self._sink.stalled:
            self._pause()
            self.flow()
