"""Sends complete lines to the history and the log file as they were written, and to the sink with prefixes.

Owns how each stream looks. Does not know where its bytes come from, nor why a child started or ended. It works on
bytes, without Python code for each line: one `bytes.replace` puts the prefixes into a chunk.

Output of a terminal is kept unchanged; what a shared view cannot show is removed between the history and the format.
The same applies to output of a pipe that is shown on a terminal.
"""

from __future__ import annotations

import re
import time as clock
from typing import TYPE_CHECKING

from procman.kernel.output.backpressure import Backpressure
from procman.kernel.output.formatting import Format, Formatter
from procman.kernel.output.stream import ChildStream, ProcessOutput
from procman.text import lines as display
from procman.text.colour import color_of, system_color

if TYPE_CHECKING:
    from procman.kernel.output.history import History
    from procman.kernel.output.logfiles import LogFiles
    from procman.kernel.output.sinks import Data, Sink

_DRAWS = rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]"
"""Control characters except the tab and the newline, including C1 in UTF-8. Compiled when first needed, which takes 0.1 ms."""


class Fanout:
    """Sends one chunk of lines to every destination."""

    def __init__(
        self,
        sink: Sink,
        history: History,
        format: Format,  # noqa: A002  its name
        files: LogFiles | None,
    ) -> None:
        self.formatter = Formatter(format)
        self.history = history
        self.positions: dict[str, int] = {}  # colours of types, in the order of their first stream
        self._files = files
        self._own = ChildStream(display.SYSTEM, -1, None, ProcessOutput())
        self._trouble = ChildStream(display.SYSTEM, -1, None, ProcessOutput())
        if format.color:
            self._own.color, self._trouble.color = system_color(), system_color(trouble=True)
        self.own = self._own, self._trouble  # procman's own lines
        self.pressure = Backpressure(sink, self.log)
        sink.notice = lambda text: bytes(self._own_lines(text))
        if files is not None:
            files.on_trouble = self.log
            files.notice = self.formatter.own_filed

    # ---- how it looks

    def dress(self, stream: ChildStream, type_name: str) -> None:
        """Give a new stream its colour, and find out whether it is shown at all."""
        line_format = self.formatter.format
        stream.quiet = type_name in line_format.quiet
        position = self.positions.setdefault(type_name, len(self.positions))
        stream.color = color_of(position) if line_format.color else None

    def dress_terminal(self, stream: ChildStream) -> None:
        from procman.text.ansi import SharedView  # noqa: PLC0415  2 ms, only where there is a terminal

        stream.view = SharedView(color=self.formatter.format.color)
        self.history.terminals.add(stream.name)

    # ---- where it goes

    def emit(self, stream: ChildStream, data: bytes, rest: int = 0) -> None:
        """Send the partial line and the data, except its last `rest` bytes, which together are complete lines.

        Everything is put together once: a copy of 64 KiB takes a twentieth of the whole time.
        """
        now = clock.time()
        self.formatter.renew_prefix(stream, now)
        chunk = stream.prefix + bytes(stream.partial) + data
        stream.partial.clear()
        lines = memoryview(chunk)[len(stream.prefix) : len(chunk) - rest]
        self.history.append(stream.name, now, lines)
        if self._files is not None:
            self._files.write(stream.name, self.formatter.filed(stream, now, lines))
        if stream.quiet:
            return
        if stream.view is not None:
            text = stream.view.lines(bytes(lines))
            if not text:
                return
            shown = self.formatter.viewed(stream, now, text)
        elif self.formatter.format.screen and re.search(_DRAWS, lines):
            from procman.text.ansi import visible  # noqa: PLC0415  as above

            shown = self.formatter.viewed(stream, now, visible(bytes(lines), color=True))
        else:
            shown = self.formatter.shown(stream, now, chunk, rest)
        self.pressure.write(stream, shown, lines)

    def show_unfinished(self, stream: ChildStream) -> None:
        """Show an unfinished line, which may be a prompt, as a line of its own; what follows it becomes another line."""
        if stream.view is None or not stream.partial or self.pressure.stalled:
            return
        text = stream.view.prompt(bytes(stream.partial))
        if text:
            self.pressure.write(stream, self.formatter.viewed(stream, clock.time(), text), memoryview(b""))

    def log(self, text: str, time: float | None = None, *, trouble: bool = False) -> None:
        """Log procman's own line (or lines) with `time` (seconds since the epoch; now where None), in the colour of
        `trouble`.

        They are kept like any output, under SYSTEM. A path in them may contain anything, but moves no cursor and ends
        no line.
        """
        at = clock.time() if time is None else time
        text = "\n".join(map(display.clean, text.split("\n")))
        self.history.append(display.SYSTEM, at, f"{text}\n".encode(errors="replace"))
        if self._files is not None:
            self._files.write(display.SYSTEM, self.formatter.own_filed(text))
        lines = self.formatter.own_lines(self._trouble if trouble else self._own, text, at)
        self.pressure.write_own(lines, text.count("\n") + 1)

    def drop_older(self, stream: ChildStream) -> None:
        """Drop the unread last output of earlier processes of this slot."""
        self.pressure.drop_older(stream, self._own_lines)

    def _own_lines(self, text: str) -> Data:
        return self.formatter.own_lines(self._own, text, clock.time())

    # ---- the files

    def reopen(self) -> bool:
        """Open the log files again, as they may have been renamed; False if there are none."""
        if self._files is not None:
            self._files.reopen()
        return self._files is not None

    def forget(self, name: str) -> None:
        """The slot has been removed."""
        self.history.forget(name)
        if self._files is not None:
            self._files.forget(name)

    def close(self) -> None:
        if self._files is not None:
            self._files.close()
