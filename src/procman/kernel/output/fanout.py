"""The way of a line of output: from a child's pipe, with a prefix before each line, to the history and the sink.

Owns the read ends of the children's pipes, their partial lines, and what happens to output while the sink is held up by
a slow reader. Must not know why a child started or ended. Bytes from end to end, and no Python work for a line: a chunk
is cut at its last newline, and one `bytes.replace` puts the prefixes in.

A reader that is too slow holds back the writers and nothing else. While the sink is stalled no pipe is read, so each
child waits in its own write. Two things go on, both bounded: procman's own lines, and the last words of those who end.

A terminal is one more descriptor to `open`. The history keeps what was written to it as it is; what a view that is
shared with others cannot show is taken out between the history and the format.
"""

from __future__ import annotations

import errno
import fcntl
import os
import selectors
import sys
import termios
import time as clock
from collections import deque
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from procman.text import lines as display
from procman.kernel.output.fanout import terminals as pty
from procman.kernel.output.formatting import Format, Formatter
from procman.kernel.loop.reactor import READ
from procman.kernel.output.sinks import SinkState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procman.text.ansi import SharedView
    from procman.kernel.output.history import History
    from procman.kernel.output.logfiles import LogFiles
    from procman.kernel.loop.reactor import Reactor
    from procman.kernel.output.sinks import Sink

CHUNK = 64 * 1024
"""Most bytes of one read: what a pipe holds unless its owner has grown it (pipe(7))."""

BURST = 16
"""Most reads before signals and deadlines have their turn again: about a millisecond's work."""

MAX_LINE = 64 * 1024
"""Most bytes of a line, without its newline; a longer one is cut into pieces that end in `display.CUT`."""

MAX_REST = 64 * 1024
"""Most bytes of one ended life that wait for a slow reader."""

TELL_AGAIN = 60.0
"""Seconds in which a lack of memory is told once."""

LOOK_AGAIN = 0.05
"""Seconds between two tries to watch the pipes, where the system has no watch left."""

MAX_OWN = 64 * 1024
"""Most bytes of procman's own lines that wait for a slow reader."""


class _Life:
    """One life of a slot, as far as output goes: its open streams, and how much of its rest waits for the reader."""

    __slots__ = ("open", "rest")

    def __init__(self, rest: int = 0) -> None:
        self.open = 0
        self.rest = rest


class ChildStream:
    """The read end of a child's pipe, or the master of its terminal, which is written to as well.

    `fd` is -1 once closed; `ended` once its other ends are all closed. `view` is how a terminal's lines are shown.
    """

    __slots__ = ("color", "ended", "fd", "life", "name", "partial", "prefix", "quiet", "second", "tag", "view")

    def __init__(self, name: str, fd: int, tag: str | None, life: _Life) -> None:
        self.name = name
        self.fd = fd
        self.tag = tag
        self.life = life
        self.color: bytes | None = None
        self.quiet = False
        self.ended = False
        self.partial = bytearray()
        self.second = -1  # which second the prefix was made for
        self.prefix = b""
        self.view: SharedView | None = None

    @property
    def terminal(self) -> bool:
        return self.view is not None


class Tap(Protocol):
    """Who is told what one instance writes, byte by byte as it is read, over all its lives."""

    def opened(self, stream: ChildStream) -> None: ...
    def read(self, data: bytes) -> None: ...
    def ended(self, stream: ChildStream) -> None: ...
    def removed(self) -> None: ...


class StreamState(Struct, frozen=True, kw_only=True):
    """A stream as a value; `life` is a number in the Mux's `rests`, and the last two are its view's."""

    name: str
    fd: int
    tag: str | None
    life: int
    partial: bytes
    ended: bool
    terminal: bool
    after_empty: bool = False
    shown: int = 0


class MuxState(Struct, frozen=True, kw_only=True):
    """Everything that a Mux knows but how lines are shown. `rests` has the bytes of each life that wait for the reader;
    a key of the sink's backlog is a number in it.
    """

    width: int
    positions: dict[str, int]
    rests: tuple[int, ...]
    streams: tuple[StreamState, ...]
    resting: dict[str, int]
    own_rest: int
    own_lost: int
    sink: SinkState


class Mux:
    """Many pipes to one sink.

    The pipes are in a selector of their own, whose descriptor is watched by the reactor (epoll and kqueue nest): to
    pause all of them is to stop watching one.
    """

    def __init__(
        self,
        reactor: Reactor,
        sink: Sink,
        history: History,
        format: Format,  # noqa: A002  its name
        files: LogFiles | None = None,
    ) -> None:
        self._reactor = reactor
        self._sink = sink
        self._history = history
        self._formatter = Formatter(format)
        self._files = files
        self.taps: dict[str, Tap] = {}  # by instance
        self._positions: dict[str, int] = {}  # of types, in the order they came: their colours
        self._streams: set[ChildStream] = set()
        self._lives: dict[str, _Life] = {}
        self._ready: deque[ChildStream] = deque()
        self._pipes = selectors.DefaultSelector()
        self.terminals = pty.Terminals(reactor, self._formatter.prefix_width, self._show_unfinished)
        self._own = ChildStream(display.SYSTEM, -1, None, _Life())
        self._own.color = display.system_color() if format.color else None
        self._own_lost = 0  # lines
        self._resting: dict[str, _Life] = {}  # whose rest is queued in the sink
        sink.on_stalled.append(self._pause)
        sink.on_flowing.append(self._resume)
        sink.notice = self._notice
        if files is not None:
            files.on_trouble = self.system
            files.notice = self._formatter.own_filed
        self._watched = False
        self._no_memory_until = 0.0  # when a lack of it may be told again
        self._watch()
        _keep_heap()

    def widen(self, names: Iterable[str]) -> None:
        """Pad all names to the widest of these and those known before."""
        if self._formatter.widen(names):
            for stream in (self._own, *self._streams):
                stream.second = -1
            self.terminals.fit()

    def open(self, name: str, type_name: str, fd: int, stream: str | None = None, *, terminal: bool = False) -> ChildStream:
        """Read this pipe, or this terminal's master, from now on; the Mux closes it. `stream` names it (stdout, stderr)
        where a child has two. Raises OSError where there is no memory or no watch left for it (epoll(7)), with it closed.
        """
        os.set_blocking(fd, False)
        life = self._lives.get(name) or _Life()
        opened = ChildStream(name, fd, stream, life)
        try:
            self._pipes.register(fd, READ, opened)
        except OSError:
            os.close(fd)
            raise
        self._lives[name] = life
        self._add(opened, type_name)
        if terminal:
            self._view(opened)
        if name in self.taps:
            self.taps[name].opened(opened)
        return opened

    def _add(self, stream: ChildStream, type_name: str) -> ChildStream:
        stream.life.open += 1
        stream.quiet = type_name in self._formatter.format.quiet
        position = self._positions.setdefault(type_name, len(self._positions))
        stream.color = display.color_of(position) if self._formatter.format.color else None
        self._streams.add(stream)
        return stream

    def streams_of(self, name: str) -> list[ChildStream]:
        """What is open of an instance."""
        return [stream for stream in self._streams if stream.name == name]

    def _view(self, stream: ChildStream) -> None:
        from procman.text.ansi import SharedView  # noqa: PLC0415  2 ms, only where there is a terminal

        stream.view = SharedView(color=self._formatter.format.color)
        self._history.terminals.add(stream.name)
        self.terminals.add(stream)

    def drain(self, stream: ChildStream) -> None:
        """At a death: read what the pipe holds at this moment, not to its end, which a grandchild may keep open.

        While the sink is stalled a life may leave MAX_REST bytes; those of an earlier life of the slot that still wait
        make room for it.
        """
        if self._sink.stalled:
            self._drop_older(stream)
        left = CHUNK if stream.terminal else _held(stream)  # a terminal holds more than FIONREAD tells: 19 kB in all
        while left > 0:
            room = MAX_REST - stream.life.rest if self._sink.stalled else CHUNK
            data = self._read(stream, min(left, room, CHUNK)) if room > 0 else b""
            if not data:
                return
            left -= len(data)

    def flush_partial(self, stream: ChildStream) -> None:
        """End an unfinished line with the newline that is missing."""
        if stream.partial:
            self._emit(stream, b"\n")

    def close(self, stream: ChildStream) -> None:
        """The life is over: what the pipe still holds, then its end."""
        if stream.fd < 0:
            return
        self.drain(stream)
        self.flush_partial(stream)
        unread = _held(stream)
        self._forget(stream)
        self.terminals.discard(stream)
        os.close(stream.fd)
        stream.fd = -1
        self._streams.discard(stream)
        stream.life.open -= 1
        if not stream.life.open:
            del self._lives[stream.name]
        if unread:
            self.system(f"{stream.name}: {unread} bytes of output dropped: nobody read them in time")

    def system(self, text: str, time: float | None = None) -> None:
        """Procman's own line (or lines), at `time` (seconds since the epoch; now where None). The history has none.

        A path in it may hold anything, but moves no cursor and ends no line.
        """
        text = "\n".join(map(display.clean, text.split("\n")))
        if self._files is not None:
            self._files.write(display.SYSTEM, self._formatter.own_filed(text))
        lines = self._formatter.own_lines(self._own, text, clock.time() if time is None else time)
        if self._sink.stalled:
            if self._own.life.rest + len(lines) > MAX_OWN:
                self._own_lost += text.count("\n") + 1
                return
            self._own.life.rest += len(lines)
        self._sink.write(lines)

    def reopen(self) -> bool:
        """Open the log files anew, as they may have been renamed; False where there are none."""
        if self._files is not None:
            self._files.reopen()
        return self._files is not None

    def forget(self, name: str) -> None:
        """The slot is gone."""
        self._history.forget(name)
        if self._files is not None:
            self._files.forget(name)
        tap = self.taps.pop(name, None)
        if tap is not None:
            tap.removed()

    def finish(self, deadline: float) -> None:
        """The end: whatever is still open is closed, and the sink has until `deadline` (monotonic) to write it all."""
        for stream in tuple(self._streams):
            self.close(stream)
        self._sink.flush(deadline)
        if self._watched:
            self._reactor.unregister(self._pipes.fileno())
            self._watched = False
        self._pipes.close()
        if self._files is not None:
            self._files.close()

    # ---- handing it on

    def state(self) -> MuxState:
        """What another one can be made of, in a program that has the same descriptors."""
        numbers: dict[object, int] = {}

        def number(life: object) -> int | None:
            return None if life is None else numbers.setdefault(life, len(numbers))

        streams = tuple(_state_of(stream, number(stream.life) or 0) for stream in self._streams)
        resting = {name: number(life) or 0 for name, life in self._resting.items()}
        sink = self._sink.state(number)
        return MuxState(
            width=self._formatter.width,
            positions=dict(self._positions),
            rests=tuple(life.rest for life in numbers if isinstance(life, _Life)),
            streams=streams,
            resting=resting,
            own_rest=self._own.life.rest,
            own_lost=self._own_lost,
            sink=sink,
        )

    def restore(self, state: MuxState) -> dict[int, ChildStream]:
        """Go on where another one was, before anything is opened here; the streams by descriptor."""
        lives = [_Life(rest) for rest in state.rests]
        self._positions = dict(state.positions)
        self._formatter.width = state.width
        restored = {one.fd: self._restored(one, lives[one.life]) for one in state.streams}
        self._resting = {name: lives[number] for name, number in state.resting.items()}
        self._sink.restore(state.sink, lives)
        self._own_lost = state.own_lost
        if self._sink.stalled:
            self._own.life.rest = state.own_rest
        else:
            self._flow()
        return restored

    def _restored(self, state: StreamState, life: _Life) -> ChildStream:
        stream = self._add(ChildStream(state.name, state.fd, state.tag, life), state.name.rpartition(".")[0])
        self._lives[state.name] = life
        stream.partial += state.partial
        stream.ended = state.ended
        if not stream.ended:
            self._pipes.register(stream.fd, READ, stream)
        if state.terminal:
            self._view(stream)
            if stream.view is not None:
                stream.view.after_empty, stream.view.shown = state.after_empty, state.shown
            self._note_unfinished(stream)
        return stream

    # ---- reading

    def _on_ready(self) -> None:
        """One read for each ready pipe in turn. Who was not reached in this round comes first in the next."""
        for _ in range(BURST):
            if not self._ready:
                self._ready.extend(key.data for key, _ in self._pipes.select(0))
            if self._sink.stalled or not self._ready:
                return
            self._read(self._ready.popleft(), CHUNK)

    def _read(self, stream: ChildStream, size: int) -> bytes:
        """Read once and pass on what is complete; empty where there is nothing to read, or no memory for it."""
        if stream.ended or stream.fd < 0:
            return b""
        try:
            return self._take(stream, size)
        except MemoryError:
            stream.partial.clear()
            self._history.relieve()
            if clock.monotonic() >= self._no_memory_until:
                self._no_memory_until = clock.monotonic() + TELL_AGAIN
                self.system(
                    "no memory for the output of all: some of it is dropped, and of what is kept the most is given up"
                )
            return b""

    def _take(self, stream: ChildStream, size: int) -> bytes:
        try:
            data = os.read(stream.fd, min(size, pty.CHUNK) if stream.terminal else size)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""  # the end of a terminal, on Linux (pts(4) does not say so; measured)
        if not data:
            self._forget(stream)
            self.flush_partial(stream)
            return b""
        if self.taps and stream.name in self.taps:
            self.taps[stream.name].read(data)
        cut = data.rfind(b"\n") + 1
        if not cut:
            stream.partial += data
            self._cut_long(stream)
            self._note_unfinished(stream)
            return data
        rest = data[cut:]
        if stream.partial and len(stream.partial) + data.find(b"\n") > MAX_LINE:
            stream.partial += data[:cut]
            self._cut_long(stream)
            self._emit(stream, b"")
        else:
            self._emit(stream, data, len(rest))
        stream.partial += rest
        self._note_unfinished(stream)
        return data

    def _cut_long(self, stream: ChildStream) -> None:
        """Emit the pieces of a line that is too long; it is at the beginning of the partial, and stays if not."""
        while (length := stream.partial.find(b"\n")) > MAX_LINE or (length < 0 and len(stream.partial) > MAX_LINE):
            at = MAX_LINE
            while at > MAX_LINE - 3 and stream.partial[at] & 0xC0 == 0x80:
                at -= 1  # not inside a character (RFC 3629: at most three continuation bytes)
            after = stream.partial[at:]
            del stream.partial[at:]
            self._emit(stream, display.CUT + b"\n")
            stream.partial = after

    def _note_unfinished(self, stream: ChildStream) -> None:
        if stream.view is not None and stream.partial and not stream.view.shown and not stream.quiet:
            self.terminals.unfinished(stream)

    def _show_unfinished(self, stream: ChildStream) -> None:
        """A prompt, perhaps: it becomes a line of its own, and what follows in its line another one."""
        if stream.view is None or not stream.partial or self._sink.stalled:
            return
        text = stream.view.prompt(bytes(stream.partial))
        if text:
            self._sink.write(self._formatter.viewed(stream, clock.time(), text))

    def _forget(self, stream: ChildStream) -> None:
        """Do not look at its pipe any more."""
        if not stream.ended:
            stream.ended = True
            self._pipes.unregister(stream.fd)
            if stream.name in self.taps:
                self.taps[stream.name].ended(stream)

    # ---- showing

    def _emit(self, stream: ChildStream, data: bytes, rest: int = 0) -> None:
        """Pass on the partial line and the data, but for the last `rest` bytes of it; that makes whole lines.

        All of it is put together once: a copy of 64 KiB costs a twentieth of the whole way.
        """
        now = clock.time()
        self._formatter.renew_prefix(stream, now)
        chunk = stream.prefix + bytes(stream.partial) + data
        stream.partial.clear()
        lines = memoryview(chunk)[len(stream.prefix) : len(chunk) - rest]
        self._history.append(stream.name, now, lines)
        if self._files is not None:
            self._files.write(stream.name, self._formatter.filed(stream, now, lines))
        if stream.quiet:
            return
        if stream.view is not None:
            text = stream.view.lines(bytes(lines))
            if not text:
                return
            shown = self._formatter.viewed(stream, now, text)
        else:
            shown = self._formatter.shown(stream, now, chunk, rest)
        if self._sink.stalled:
            stream.life.rest += len(lines)
            self._resting[stream.name] = stream.life
            self._sink.write(shown, stream.life, bytes(lines).count(b"\n"))
        else:
            self._sink.write(shown)

    # ---- while the reader is too slow

    def _pause(self) -> None:
        self._own.life.rest = 0
        if self._watched:
            self._reactor.unregister(self._pipes.fileno())
            self._watched = False

    def _watch(self) -> None:
        """Look at the pipes again; where the system has no watch left for that (epoll(7)), try it every now and then."""
        if self._watched or self._sink.stalled:
            return
        try:
            self._reactor.register(self._pipes.fileno(), READ, self._on_ready)
            self._watched = True
        except OSError:
            self._reactor.call_at(clock.monotonic() + LOOK_AGAIN, self._watch)

    def _resume(self) -> None:
        """Everything that waited is written. Lives that still run may leave a rest again when it stalls once more."""
        self._watch()
        self._flow()

    def _flow(self) -> None:
        for life in self._resting.values():
            life.rest = 0
        self._resting.clear()
        for stream in self._streams:
            self._note_unfinished(stream)
        if self._own_lost:
            lost, self._own_lost = self._own_lost, 0
            self.system(f"{lost} lines of procman's own dropped: the output was held up")

    def _drop_older(self, stream: ChildStream) -> None:
        """The rest of an earlier life of this slot goes, and one line in its place says how much it was."""
        older = self._resting.get(stream.name)
        if older is None or older is stream.life:
            return
        del self._resting[stream.name]
        lost = self._sink.discard(older)
        if lost:
            text = f"{stream.name}: {lost} lines of earlier lives dropped: the output was held up"
            self._resting[stream.name] = stream.life
            self._sink.write(self._formatter.own_lines(self._own, text, clock.time()), stream.life, lost)

    def _notice(self, text: str) -> bytes:
        """What the sink says in the output itself once it can be written again."""
        return bytes(self._formatter.own_lines(self._own, text, clock.time()))


def _state_of(stream: ChildStream, life: int) -> StreamState:
    view = stream.view
    return StreamState(
        name=stream.name,
        fd=stream.fd,
        tag=stream.tag,
        life=life,
        partial=bytes(stream.partial),
        ended=stream.ended,
        terminal=view is not None,
        after_empty=view.after_empty if view is not None else False,
        shown=view.shown if view is not None else 0,
    )


def _held(stream: ChildStream) -> int:
    """How many bytes the pipe holds at this moment."""
    if stream.ended or stream.fd < 0:
        return 0
    return int.from_bytes(fcntl.ioctl(stream.fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def _keep_heap() -> None:
    """Keep glibc from giving the heap's top back to the system after each chunk, and faulting it in again for the next.

    A chunk's blocks of 64 to 200 kB lie at the top of the heap, and more than 128 kB free there is returned. Freeing one
    mapped block raises that threshold to twice its size (mallopt(3), M_TRIM_THRESHOLD); this one is never touched, so
    it costs no memory. Measured: json with `--history 0` takes half the CPU; a history that has grown does the same.
    """
    bytes(1 << 20)
