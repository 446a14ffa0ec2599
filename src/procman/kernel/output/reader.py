"""Reads the pipes and terminals of the children, a chunk at a time, cut at its last newline.

Owns the read ends, the partial lines and the taps. Does not know why a child started or ended, nor where complete lines
go.

If the reader of procman's output is too slow it holds back the writers and nothing else: while the output is stalled no
pipe is read, so each child blocks in its own write. Only the last output of children that end is read, up to a limit.
"""

from __future__ import annotations

import errno
import os
import time as clock
from collections import deque
from typing import TYPE_CHECKING

from procman.kernel.output.pipes import Pipes
from procman.kernel.output.stream import ChildStream, ProcessOutput, StreamState
from procman.later import later
from procman.text import lines as display
from procman.text.words import type_of

if TYPE_CHECKING:
    from procman.kernel.loop.reactor import Reactor
    from procman.kernel.output import terminals
    from procman.kernel.output.fanout import Fanout
    from procman.kernel.output.stream import Tap
else:
    terminals = later(__name__, "procman.kernel.output.terminals")

CHUNK = 64 * 1024
"""Most bytes of one read: the size of a pipe, unless its owner has changed it (pipe(7))."""

BURST = 16
"""Most reads before signals and deadlines get their turn again: about a millisecond's work."""

MAX_LINE = 64 * 1024
"""Most bytes of a line, without its newline. A longer one is cut into pieces that end in `display.CUT`."""

LOG_AGAIN = 60.0
"""Seconds in which a lack of memory is logged once."""

CHECK_AGAIN = 0.05
"""Seconds between two attempts to watch the pipes, where the system has no watch left."""


class Reader:
    """Connects many pipes to one fan-out. All pipes are paused while the output is stalled."""

    def __init__(self, reactor: Reactor, fanout: Fanout) -> None:
        self._reactor = reactor
        self._fanout = fanout
        self._pressure = fanout.pressure
        self.taps: dict[str, tuple[Tap, ...]] = {}  # by instance
        self.streams: set[ChildStream] = set()
        self._outputs: dict[str, ProcessOutput] = {}
        self._ready: deque[ChildStream] = deque()
        self.pipes = Pipes(reactor, self._on_ready)
        self._terminals: terminals.Terminals | None = None
        self._no_memory_until = 0.0  # when a lack of memory may be logged again
        self.watch()

    @property
    def terminals(self) -> terminals.Terminals:
        """Created when the first terminal is opened."""
        if self._terminals is None:
            fanout = self._fanout
            self._terminals = terminals.Terminals(self._reactor, fanout.formatter.prefix_width, fanout.show_unfinished)
        return self._terminals

    def fit_terminals(self) -> None:
        """The size of the screen or the width of the prefix has changed."""
        if self._terminals is not None:
            self._terminals.fit()

    # ---- coming and going

    def open(
        self, name: str, type_name: str, fd: int, stream: str | None = None, *, terminal: bool = False
    ) -> ChildStream:
        """Read this pipe, or this terminal's master, from now on, and close it at the end.

        `stream` is its name (stdout, stderr) where a child has two. Raises OSError if there is no memory or no watch
        left (epoll(7)), with it closed.
        """
        os.set_blocking(fd, False)
        output = self._outputs.get(name) or ProcessOutput()
        opened = ChildStream(name, fd, stream, output)
        try:
            self.pipes.register(fd, opened)
        except OSError:
            os.close(fd)
            raise
        self._outputs[name] = output
        self._add(opened, type_name)
        if terminal:
            self._add_terminal(opened)
        for tap in self.taps.get(name, ()):
            tap.opened(opened)
        return opened

    def _add(self, stream: ChildStream, type_name: str) -> None:
        stream.output.open += 1
        self._fanout.dress(stream, type_name)
        self.streams.add(stream)

    def _add_terminal(self, stream: ChildStream) -> None:
        self._fanout.dress_terminal(stream)
        self.terminals.add(stream)

    def streams_of(self, name: str) -> list[ChildStream]:
        """The open streams of an instance."""
        return [stream for stream in self.streams if stream.name == name]

    def drain(self, stream: ChildStream) -> int:
        """At a death: read what the pipe holds now, but not up to its end, as a grandchild may keep it open. Returns
        how many of these bytes are left. While the output is stalled, a process may leave MAX_REST bytes, which replace
        those of an earlier process of the slot.
        """
        if self._pressure.stalled:
            self._fanout.drop_older(stream)
        left = CHUNK if stream.terminal else stream.held()  # a terminal holds more than FIONREAD reports: 19 kB in all
        while left > 0:
            room = self._pressure.room(stream.output) if self._pressure.stalled else CHUNK
            data = self._read(stream, min(left, room, CHUNK)) if room > 0 else b""
            if not data:
                return left
            left -= len(data)
        return 0

    def end_line(self, stream: ChildStream) -> None:
        """End an unfinished line with the missing newline."""
        if stream.partial:
            self._fanout.emit(stream, b"\n")

    def close(self, stream: ChildStream) -> None:
        """The process and its group have ended: read what the pipe still holds, and close it."""
        if stream.fd < 0:
            return
        unread = self.drain(stream)
        self.end_line(stream)
        if stream.terminal:  # nobody knows how much a terminal held before
            unread = stream.held()
        self._forget(stream)
        if stream.terminal:
            self.terminals.discard(stream)
        os.close(stream.fd)
        stream.fd = -1
        self.streams.discard(stream)
        stream.output.open -= 1
        if not stream.output.open:
            del self._outputs[stream.name]
        if unread:
            self._fanout.log(f"{stream.name}: {unread} bytes of output dropped: not read in time")

    def finish(self) -> None:
        """At the end: close everything."""
        for stream in tuple(self.streams):
            self.close(stream)

    # ---- taps

    def add_tap(self, name: str, tap: Tap) -> None:
        """Give it the output of this instance from now on."""
        self.taps[name] = (*self.taps.get(name, ()), tap)

    def remove_tap(self, name: str, tap: Tap) -> None:
        """Remove it, if it is there."""
        left = tuple(each for each in self.taps.get(name, ()) if each is not tap)
        if left:
            self.taps[name] = left
        else:
            self.taps.pop(name, None)

    def forget(self, name: str) -> None:
        """The slot has been removed."""
        for tap in self.taps.pop(name, ()):
            tap.removed()

    # ---- reading

    def _on_ready(self) -> None:
        """Read once from each ready pipe. Pipes that this round does not reach come first in the next."""
        for _ in range(BURST):
            if not self._ready:
                self._ready.extend(self.pipes.ready())
            if self._pressure.stalled or not self._ready:
                return
            self._read(self._ready.popleft(), CHUNK)

    def _read(self, stream: ChildStream, size: int) -> bytes:
        """Read once and pass on complete lines; empty if there is nothing to read, or no memory for it."""
        if stream.ended or stream.fd < 0:
            return b""
        try:
            return self._take(stream, size)
        except MemoryError:
            stream.partial.clear()
            self._fanout.history.relieve()
            if clock.monotonic() >= self._no_memory_until:
                self._no_memory_until = clock.monotonic() + LOG_AGAIN
                self._fanout.log("not enough memory for all output: some of it and the largest history are dropped")
            return b""

    def _take(self, stream: ChildStream, size: int) -> bytes:
        try:
            data = os.read(stream.fd, min(size, terminals.CHUNK) if stream.terminal else size)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""  # the end of a terminal on Linux (measured; pts(4) does not say so)
        if not data:
            self._forget(stream)
            self.end_line(stream)
            return b""
        if self.taps and stream.name in self.taps:
            for tap in self.taps[stream.name]:
                tap.read(stream, data)
        cut = data.rfind(b"\n") + 1
        if not cut:
            stream.partial += data
            self._cut_long(stream)
            self._note_unfinished(stream)
            return data
        rest = data[cut:]
        if stream.view is not None:
            self.terminals.line_ended(stream)
        if stream.partial and len(stream.partial) + data.find(b"\n") > MAX_LINE:
            stream.partial += data[:cut]
            self._cut_long(stream)
            self._fanout.emit(stream, b"")
        else:
            self._fanout.emit(stream, data, len(rest))
        stream.partial += rest
        self._note_unfinished(stream)
        return data

    def _cut_long(self, stream: ChildStream) -> None:
        """Send the pieces of a line that is too long, from the start of the partial line."""
        while (length := stream.partial.find(b"\n")) > MAX_LINE or (length < 0 and len(stream.partial) > MAX_LINE):
            at = MAX_LINE
            while at > MAX_LINE - 3 and stream.partial[at] & 0xC0 == 0x80:
                at -= 1  # not inside a character (RFC 3629: at most three continuation bytes)
            after = stream.partial[at:]
            del stream.partial[at:]
            self._fanout.emit(stream, display.CUT + b"\n")
            stream.partial = after

    def _note_unfinished(self, stream: ChildStream) -> None:
        if stream.view is None or not stream.partial or stream.quiet:
            return
        shown = stream.view.shown
        if not shown or stream.partial.find(b"\r", shown) >= 0:
            self.terminals.unfinished(stream, shown=bool(shown))

    def _forget(self, stream: ChildStream) -> None:
        """Stop watching its pipe."""
        if not stream.ended:
            stream.ended = True
            self.pipes.unregister(stream.fd)
            for tap in self.taps.get(stream.name, ()):
                tap.ended(stream)

    # ---- while the reader of the output is too slow

    def watch(self) -> None:
        """Watch the pipes again. If the system has no watch left (epoll(7)), try again from time to time."""
        if self.pipes.watched or self._pressure.stalled:
            return
        try:
            self.pipes.watch()
        except OSError:
            self._reactor.call_at(clock.monotonic() + CHECK_AGAIN, self.watch)

    def resume(self) -> None:
        """The output flows again."""
        self.watch()
        for stream in self.streams:
            self._note_unfinished(stream)

    # ---- handing it on

    def restore(self, state: StreamState, output: ProcessOutput) -> ChildStream:
        """Continue with a stream of another program that had the same descriptors."""
        stream = ChildStream(state.name, state.fd, state.tag, output)
        self._add(stream, type_of(state.name))
        self._outputs[state.name] = output
        stream.partial += state.partial
        stream.ended = state.ended
        if not stream.ended:
            self.pipes.register(stream.fd, stream)
        if state.terminal:
            self._add_terminal(stream)
            if stream.view is not None:
                stream.view.after_empty, stream.view.shown = state.after_empty, state.shown
            self._note_unfinished(stream)
        return stream
