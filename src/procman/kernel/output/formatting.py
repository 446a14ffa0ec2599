"""How the lines of one chunk look: with the prefix of their instance, which changes once a second, or as JSON.

Knows what is shown and how wide names are; does not know where lines come from and go to.
"""

from __future__ import annotations

import time as clock
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.text import lines as display

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procman.kernel.output.sinks import Data
    from procman.kernel.output.stream import ChildStream


class Format(Struct, frozen=True):
    """How lines are shown. `mode` is text or json; output of the types in `quiet` only goes to the history.

    `screen`: they are shown on a terminal, where a child that writes to a pipe could move the cursor. `timestamps`,
    `prefix` and `color` apply to text. Without `prefix` the children's lines are unchanged, and only procman's own have
    one: otherwise they could not be told apart.
    """

    mode: str = "text"
    timestamps: bool = True
    prefix: bool = True
    color: bool = False
    quiet: frozenset[str] = frozenset()
    screen: bool = False


class Formatter:
    """Formats chunks of complete lines. `width` is the width that names are padded to."""

    def __init__(self, format: Format) -> None:  # noqa: A002  its name
        self.format = format
        self.width = len(display.SYSTEM)

    def widen(self, names: Iterable[str]) -> bool:
        """Pad all names to the widest of these and those known before; returns whether that has changed."""
        before = self.width
        self.width = max((before, *map(len, names)))
        return self.width > before

    def prefix_width(self) -> int:
        """Columns."""
        if self.format.mode != "text" or not self.format.prefix:
            return 0
        return len(display.text_prefix("", self.width, "00:00:00" if self.format.timestamps else "", None))

    def renew_prefix(self, stream: ChildStream, now: float) -> None:
        """Make the prefix of this second; empty if lines are shown without one."""
        if int(now) == stream.second:
            return
        stream.second = int(now)
        if self.format.mode == "text" and (self.format.prefix or stream.name == display.SYSTEM):
            hour = clock.strftime("%H:%M:%S", clock.localtime(now)) if self.format.timestamps else ""
            stream.prefix = display.text_prefix(stream.name, self.width, hour, stream.color)

    def shown(self, stream: ChildStream, now: float, chunk: bytes, rest: int) -> Data:
        """The lines as they are shown."""
        if self.format.mode == "json":
            prefix = display.json_prefix(stream.name, _iso(now), stream.tag)
            return display.json_lines(prefix, chunk[: len(chunk) - rest])
        if stream.prefix:
            if stream.color and chunk.find(b"\x1b", len(stream.prefix)) >= 0:
                lines = display.end_styles(chunk[len(stream.prefix) : len(chunk) - rest])
                return display.text_lines(stream.prefix, stream.prefix + lines)
            return display.text_lines(stream.prefix, chunk, rest)
        return memoryview(chunk)[: len(chunk) - rest]

    def filed(self, stream: ChildStream, now: float, lines: memoryview) -> Data:
        """The lines as they go to the instance's file: as they were written (of a terminal: as shown), or as JSON."""
        if stream.view is not None:
            lines = memoryview(stream.view.plain(bytes(lines)))
        if self.format.mode == "json":
            return display.json_lines(display.json_prefix(stream.name, _iso(now), stream.tag), bytes(lines))
        return lines

    def own_filed(self, text: str) -> bytes:
        """Procman's own line (or lines) for a file, with the time, which the file would not show otherwise."""
        stamp = _iso(clock.time())
        if self.format.mode == "json":
            prefix = display.json_prefix(display.SYSTEM, stamp, None)
            return bytes(display.json_lines(prefix, text.encode(errors="replace") + b"\n"))
        stamped = text.replace("\n", f"\n{stamp} ")
        return f"{stamp} {stamped}\n".encode(errors="replace")

    def viewed(self, stream: ChildStream, now: float, text: bytes) -> Data:
        """Complete lines of a terminal as they are shown."""
        self.renew_prefix(stream, now)
        return self.shown(stream, now, stream.prefix + text, 0)

    def own_lines(self, own: ChildStream, text: str, now: float) -> Data:
        self.renew_prefix(own, now)
        return self.shown(own, now, own.prefix + text.encode(errors="replace") + b"\n", 0)


def _iso(now: float) -> str:
    """RFC 3339 in local time with its offset, to the millisecond: `2025-03-01T12:00:01.250+01:00`."""
    milliseconds = int(now * 1000)
    local = clock.localtime(milliseconds // 1000)
    minutes = local.tm_gmtoff // 60
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    return f"{clock.strftime('%Y-%m-%dT%H:%M:%S', local)}.{milliseconds % 1000:03}{offset}"
