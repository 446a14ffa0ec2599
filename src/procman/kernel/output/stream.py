"""What procman knows of one child's output: the read end of its pipe or the master of its terminal, and its partial
line.

Only values: they are read in `reader.py`, and their lines are sent by `fanout.py`.
"""

from __future__ import annotations

import fcntl
import sys
import termios
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from procman.text.ansi import SharedView


UNKNOWN_SIZE = (80, 24)
"""Columns and lines of a terminal whose size is unknown: those of classic terminals."""


class ProcessOutput:
    """One process of a slot, for output: its open streams, and how much of its last output waits for the reader."""

    __slots__ = ("open", "rest")

    def __init__(self, rest: int = 0) -> None:
        self.open = 0
        self.rest = rest


class ChildStream:
    """The read end of a child's pipe, or the master of its terminal, which is also written to.

    `fd` is -1 once closed; `ended`: all other ends are closed. `view` is how a terminal's lines are shown.
    """

    __slots__ = ("color", "ended", "fd", "name", "output", "partial", "prefix", "quiet", "second", "tag", "view")

    def __init__(self, name: str, fd: int, tag: str | None, output: ProcessOutput) -> None:
        self.name = name
        self.fd = fd
        self.tag = tag
        self.output = output
        self.color: bytes | None = None
        self.quiet = False
        self.ended = False
        self.partial = bytearray()
        self.second = -1  # the second for which the prefix was made
        self.prefix = b""
        self.view: SharedView | None = None

    @property
    def terminal(self) -> bool:
        return self.view is not None

    def held(self) -> int:
        """How many bytes its pipe holds now."""
        if self.ended or self.fd < 0:
            return 0
        return int.from_bytes(fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4)), sys.byteorder)

    def state(self, output: int) -> StreamState:
        """The stream as a value; `output` is the number of its ProcessOutput."""
        view = self.view
        return StreamState(
            name=self.name,
            fd=self.fd,
            tag=self.tag,
            output=output,
            partial=bytes(self.partial),
            ended=self.ended,
            terminal=view is not None,
            after_empty=view.after_empty if view is not None else False,
            shown=view.shown if view is not None else 0,
        )


class StreamState(Struct, frozen=True, kw_only=True, rename={"output": "life"}):
    """A stream as a value; `output` is an index into `rests` of the output's state, and the last two are its view's."""

    name: str
    fd: int
    tag: str | None
    output: int
    partial: bytes
    ended: bool
    terminal: bool
    after_empty: bool = False
    shown: int = 0


if TYPE_CHECKING:

    class Tap(Protocol):
        """Gets the output of one instance, byte by byte as it is read, over all its runs."""

        def opened(self, stream: ChildStream) -> None: ...
        def read(self, stream: ChildStream, data: bytes) -> None: ...
        def ended(self, stream: ChildStream) -> None: ...
        def removed(self) -> None: ...
