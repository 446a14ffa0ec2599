"""Who is attached to which instance: what each client has been sent of its output, and which client types.

Owns, for each instance with a client attached, its newest bytes as they were written, its watchers, and the one among
them that types. A client attaches to the slot: the attachment outlasts every run of the instance, and ends when the
slot is removed. Knows the pipes of children through the multiplexer; knows no sockets.

Everything is bounded, whatever a client does. The bytes are kept once for all watchers of an instance, each of which
has a position in them; one that is too slow skips to the newest and is told how much it missed.
"""

from __future__ import annotations

import time as clock
from binascii import a2b_base64
from collections import deque
from collections.abc import Callable

from procman.control.codec import Code, encode_notification
from procman.control.first_version import in_first_words
from procman.control.messages import (
    Attached,
    AttachParams,
    Happened,
    InputParams,
    Keyboard,
    KeyboardChanged,
    Output,
    ResizeParams,
    Taken,
    Typist,
)
from procman.core.view import Change
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.history import History
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.output.stream import ChildStream
from procman.serve import keyboard
from procman.serve.methods import Failure
from procman.serve.streams import ServedStream, text_or_base64
from procman.text.words import duration

KEPT = 64 * 1024
"""Most bytes that a new watcher is shown, and that wait for a slow one."""

PIECE = 32 * 1024
"""Most bytes of one notification."""

CHANGES_KEPT = 100
"""Most changes of the instance that wait for a slow watcher."""

Size = tuple[int, int]
"""Columns and rows."""


class Tape:
    """The newest bytes of an instance. Offsets are absolute and never decrease."""

    def __init__(self, data: bytes) -> None:
        self._data = bytearray(data)
        self.start = 0

    @property
    def end(self) -> int:
        return self.start + len(self._data)

    def append(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > 2 * KEPT:  # only sometimes, as it moves the rest
            gone = len(self._data) - KEPT
            del self._data[:gone]
            self.start += gone

    def read(self, begin: int, end: int) -> bytes:
        """The bytes between two offsets, both of which must be held."""
        return bytes(self._data[begin - self.start : end - self.start])

    def newest(self) -> int:
        """Where a watcher that cannot see everything starts: after the end of a line, if there is one."""
        begin = max(0, len(self._data) - KEPT)
        if begin or self.start:
            begin = self._data.find(b"\n", begin) + 1 or begin
        return self.start + begin


class Slot:
    """An instance with clients attached: a tap on its output."""

    def __init__(
        self, name: str, reactor: Reactor, output: Multiplexer, seed: bytes, release: Callable[[Slot], None]
    ) -> None:
        self.name = name
        self.tape = Tape(seed)
        self.watchers: list[ServedAttachment] = []
        self.typist: ServedAttachment | None = None
        self.since = 0.0  # whether the typist types
        self.keyboard: keyboard.InputQueue | None = None
        self._reactor = reactor
        self._output = output
        self._release = release

    # ---- what the tap gives

    def opened(self, stream: ChildStream) -> None:
        """A new run of the instance writes to this stream."""
        if stream.terminal:
            self.keyboard = keyboard.InputQueue(self._reactor, stream.fd, self._caught_up)
            self.publish_keyboard()

    def read(self, _stream: ChildStream, data: bytes) -> None:
        """Keep bytes as they were written."""
        self.tape.append(data)
        for watcher in tuple(self.watchers):
            watcher.wake()

    def ended(self, stream: ChildStream) -> None:
        """The stream has ended: nothing more is read from it or typed into it. It is still open."""
        if stream.terminal and self.keyboard is not None:
            self.keyboard.close()
            self.keyboard = None
            self.publish_keyboard()
            self._retire()

    def removed(self) -> None:
        """The slot has been removed. A later one of that name is another."""
        self.typist = None
        self.fit()
        self._release(self)
        for watcher in tuple(self.watchers):
            watcher.removed()

    # ---- who types

    def take(self, watcher: ServedAttachment) -> None:
        """Let this watcher type from now on: the terminal gets the size of its screen."""
        if self.typist is not watcher:
            self.typist, self.since = watcher, clock.time()
            self.fit()
            self.publish_keyboard()

    def leave(self, watcher: ServedAttachment) -> None:
        if watcher in self.watchers:
            self.watchers.remove(watcher)
        if self.typist is watcher:
            self.typist = None
            self.fit()
            self.publish_keyboard()
        self._retire()

    def _caught_up(self) -> None:
        """All input has been written: a typist that had too much may continue."""
        self.publish_keyboard()
        self._retire()

    def _retire(self) -> None:
        """Drop the slot once no client is attached and all input has been written."""
        idle = self.keyboard is None or self.keyboard.empty
        if not self.watchers and idle:
            self._release(self)

    def fit(self) -> None:
        """Give the terminal the size of the typist's screen; without a typist, that of the shared view."""
        self._output.terminals.follow(self.name, self.typist.size if self.typist is not None else None)

    def publish_keyboard(self) -> None:
        for watcher in tuple(self.watchers):
            watcher.keyboard_changed = True
            watcher.wake()


class ServedAttachment(ServedStream):
    """One watcher of an instance, as a stream of its connection."""

    def __init__(self, number: int, slot: Slot, peer: int, wake: Callable[[], None]) -> None:
        super().__init__(number)
        self.size: Size | None = None
        self.read_only = False
        self.keyboard_changed = False
        self.wake = wake
        self.peer = peer
        self._slot = slot
        self._at = slot.tape.newest()
        self._changes: deque[tuple[int, Happened]] = deque()  # each with its position in the output
        self._missed_changes = 0
        self._removed = False

    # ---- changes

    def push(self, time: float, change: Change) -> bool:
        """Add a change; returns whether it concerns this instance."""
        if change.instance != self._slot.name:
            return False
        if len(self._changes) >= CHANGES_KEPT:
            self._changes.popleft()
            self._missed_changes += 1
        self._changes.append((self._slot.tape.end, Happened(self.number, time, change)))
        return True

    def removed(self) -> None:
        """The slot has been removed: send what is left, then the end."""
        self._removed = True
        self.wake()

    @property
    def waiting(self) -> bool:
        return self._removed or self._behind()

    @property
    def ended(self) -> bool:
        return self._removed and not self._behind()

    def _behind(self) -> bool:
        return self.keyboard_changed or bool(self._changes) or self._at < self._slot.tape.end

    def pull(self, *, any_word: bool) -> bytes:
        """The next notifications, in the order of what happened."""
        if self._changes and self._changes[0][0] <= self._at:
            _, happened = self._changes.popleft()
            missed, self._missed_changes = self._missed_changes, 0
            change = happened.change if any_word else in_first_words(happened.change)
            happened = Happened(happened.stream, happened.time, change, missed)
            return encode_notification("event", happened)
        tape = self._slot.tape
        if self._at < tape.end:
            return self._output(self._changes[0][0] if self._changes else tape.end)
        if self.keyboard_changed:
            self.keyboard_changed = False
            return encode_notification("keyboard", KeyboardChanged(self.number, self._keyboard()))
        return b""

    def _output(self, end: int) -> bytes:
        tape = self._slot.tape
        begin = self._at if self._at >= tape.start else tape.newest()
        missed = begin - self._at
        self._at = max(begin, min(end, begin + PIECE))
        data = tape.read(begin, self._at)
        text, base64 = text_or_base64(data)
        output = Output(self.number, self._slot.name, clock.time(), text, base64, missed)
        return encode_notification("output", output)

    def started(self) -> Attached:
        kept = self._slot.tape.end - self._at
        return Attached(self.number, self._slot.name, kept, self._keyboard())

    def _keyboard(self) -> Keyboard:
        slot = self._slot
        typist = Typist(slot.typist.peer, slot.since) if slot.typist is not None else None
        room = slot.keyboard.room if slot.keyboard is not None else 0
        return Keyboard(slot.keyboard is not None, slot.typist is self, typist, room)

    # ---- what it does

    def perform(self, params: InputParams | ResizeParams) -> Taken | Keyboard | Failure:
        """Type, or set the size of the screen."""
        if isinstance(params, ResizeParams):
            self._resize(params.columns, params.rows)
            return self._keyboard()
        try:
            data = params.text.encode() + a2b_base64(params.base64, strict_mode=True)
        except ValueError as error:
            return Failure(Code.INVALID_PARAMS, f"cannot read what is typed: {error}")
        return self._type(data)

    def _resize(self, columns: int, rows: int) -> None:
        self.size = (columns, rows) if columns and rows else None
        if self._slot.typist is self:
            self._slot.fit()

    def _type(self, data: bytes) -> Taken | Failure:
        slot = self._slot
        what = f"cannot type into {slot.name}"
        if self.read_only:
            return Failure(Code.REFUSED, f"{what}: this attachment is read-only", "attach again without read_only")
        if slot.typist is not None and slot.typist is not self:
            for_long = duration(clock.time() - slot.since)
            who = f"pid {slot.typist.peer}" if slot.typist.peer else "somebody"
            return Failure(
                Code.REFUSED, f"{what}: {who} types there, since {for_long}", "watch until that one detaches"
            )
        if slot.keyboard is None:
            return Failure(Code.REFUSED, f"{what}: it has no terminal, or is not running", NO_TERMINAL)
        slot.take(self)
        return Taken(slot.keyboard.type(data))

    def open(self, params: AttachParams) -> None:
        """Start the attachment. A client that may type becomes the typist, if there is none yet."""
        self._slot.watchers.append(self)
        self.read_only = params.read_only
        self._resize(params.columns, params.rows)
        if not self.read_only and self._slot.typist is None:
            self._slot.take(self)
        self.keyboard_changed = False  # the answer reports it

    def close(self) -> None:
        """The client has gone. Its input is still written."""
        self._slot.leave(self)
        self.wake = _nothing


def _nothing() -> None:
    """The default of `wake`: do nothing."""


NO_TERMINAL = "'tty: true' in procman.yml or 'procman start --tty' gives it one"


class Attachments:
    """Creates attachments. Keeps nothing of instances without a client attached."""

    def __init__(self, reactor: Reactor, output: Multiplexer, history: History) -> None:
        self._reactor = reactor
        self._output = output
        self._slots: dict[str, Slot] = {}
        self._history = history

    def attach(self, number: int, name: str, peer: int, wake: Callable[[], None]) -> ServedAttachment:
        """A new watcher of this instance, whose stream has that number."""
        return ServedAttachment(number, self._slots.get(name) or self._begin(name), peer, wake)

    def _begin(self, name: str) -> Slot:
        streams = self._output.streams_of(name)
        seed = self._seed(name) + b"".join(bytes(stream.partial) for stream in streams)
        slot = Slot(name, self._reactor, self._output, seed, self._release)
        for stream in streams:
            if not stream.ended:
                slot.opened(stream)
        self._slots[name] = slot
        self._output.add_tap(name, slot)
        return slot

    def _release(self, slot: Slot) -> None:
        """Drop an instance that has no client attached any more, or that is removed."""
        if self._slots.get(slot.name) is slot:
            del self._slots[slot.name]
            self._output.remove_tap(slot.name, slot)

    def _seed(self, name: str) -> bytes:
        """The newest complete lines of its kept output."""
        begin = at = max(0, self._history.end(name) - KEPT)
        parts: list[bytes] = []
        while True:
            entries, at = self._history.read(name, at)
            if not entries:
                kept = b"".join(parts)
                return kept[kept.find(b"\n") + 1 :] if begin else kept
            parts += [entry.data for entry in entries]
