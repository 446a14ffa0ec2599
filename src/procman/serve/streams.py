"""The `logs` and `events` streams, from which a connection pulls as many notifications as it can send.

Owns, in bounded memory, what each reader is still to be sent: a reader of `logs` has a position in the history of each
instance, a reader of `events` a short queue. A reader that is too slow loses the oldest and is told how much. Knows no
sockets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from procman.control.codec import encode_notification
from procman.control.first_version import in_first_words
from procman.control.messages import Happened, InputParams, LogsParams, Output, ResizeParams, StreamStarted
from procman.core.select import Selector
from procman.core.view import Change
from procman.kernel.output.history import History, HistoryEntry
from procman.serve.methods import NOT_ATTACHED

PIECE = 64 * 1024
"""Bytes of one instance's output that are sent before it is the turn of another."""


class ServedStream(ABC):
    """What a connection needs of any stream."""

    endless = True

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def ended(self) -> bool:
        return False

    @property
    @abstractmethod
    def waiting(self) -> bool:
        """Whether there is something to send."""

    @abstractmethod
    def started(self) -> Struct:
        """The answer that opens the stream."""

    @abstractmethod
    def pull(self, *, any_word: bool) -> bytes:
        """The next notifications, with later kinds of events under their own name or not; empty if all have been
        sent.
        """

    def push(self, _time: float, _change: Change) -> bool:
        """Add a change, with its time in seconds since the epoch; whether it is sent now, not with those that follow."""
        return False

    def perform(self, _params: InputParams | ResizeParams) -> Struct:
        """Carry out a client's request for the stream, and answer."""
        return NOT_ATTACHED

    def close(self) -> None:  # noqa: B027  only its connection knows the others
        """The stream is closed."""


def text_or_base64(data: bytes) -> tuple[str | None, str | None]:
    """Output as a notification has it: as text, or as base64 where it is not UTF-8."""
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return None, msgspec.to_builtins(data)


class LogsStream(ServedStream):
    """Kept output of the instances of these names, and with `follow` also new output."""

    def __init__(self, number: int, history: History, params: LogsParams) -> None:
        super().__init__(number)
        self.endless = params.follow
        self._history = history
        self._chosen = Selector(params.names) if params.names else None
        self._matched: dict[str, bool] = {}
        names = [name for name in history.names() if self._matches(name)]
        if params.after is None:
            entries, self._cursors = history.tail(names, params.lines)
        else:
            entries, self._cursors = [], dict(params.after)
        self._kept = deque(entries)
        self.kept_bytes = sum(len(entry.data) for entry in entries)
        self._dirty: dict[str, None] = {}  # in the order of their turns
        if params.after is not None:
            self._dirty = dict.fromkeys(name for name in names if history.end(name) != self._cursors.get(name, 0))

    def started(self) -> StreamStarted:
        """The answer that opens the stream, with the offset at which each instance starts here."""
        begins = {entry.name: entry.after - len(entry.data) for entry in reversed(self._kept)}
        return StreamStarted(self.number, after=self._cursors | begins if self.endless else {})

    def _matches(self, name: str) -> bool:
        meant = self._matched.get(name)
        if meant is None:
            meant = self._matched[name] = self._chosen is None or self._chosen.matches(name)
        return meant

    def note(self, name: str) -> bool:
        """An instance has written; returns whether it belongs to this stream."""
        if self.endless and self._matches(name):
            self._dirty[name] = None
            return True
        return False

    @property
    def waiting(self) -> bool:
        return bool(self._kept or self._dirty) or self.ended

    @property
    def ended(self) -> bool:
        return not self.endless and not self._kept

    def pull(self, *, any_word: bool) -> bytes:  # noqa: ARG002  output has no words
        if self._kept:
            entry = self._kept.popleft()
            self.kept_bytes -= len(entry.data)
            return self._encoded(entry)
        while self._dirty:
            name = next(iter(self._dirty))
            del self._dirty[name]
            entries, offset = self._history.read(name, self._cursors.get(name, 0), PIECE)
            self._cursors[name] = offset
            if entries:
                if offset < self._history.end(name):
                    self._dirty[name] = None
                return b"".join(self._encoded(entry) for entry in entries)
        return b""

    def _encoded(self, entry: HistoryEntry) -> bytes:
        text, base64 = text_or_base64(entry.data)
        terminal = entry.name in self._history.terminals
        output = Output(self.number, entry.name, entry.time, text, base64, entry.missed, terminal, entry.after)
        return encode_notification("output", output)


class EventsStream(ServedStream):
    """Every change, as it happens."""

    def __init__(
        self, number: int, limit: int, before: int, kept: Iterable[tuple[float, Change]] = (), missed: int = 0
    ) -> None:
        """It starts after change number `before`: `missed` changes are lost, then come those that are `kept`."""
        super().__init__(number)
        self._queue = deque(kept)
        self._limit = limit
        self._missed = missed
        self._before = before

    def started(self) -> StreamStarted:
        return StreamStarted(self.number, self._before)

    def push(self, time: float, change: Change) -> bool:
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self._missed += 1
        self._queue.append((time, change))
        return 2 * len(self._queue) > self._limit

    @property
    def waiting(self) -> bool:
        return bool(self._queue)

    def pull(self, *, any_word: bool) -> bytes:
        """The next notifications, later kinds of events under their own name or not; empty if there are none."""
        piece = bytearray()
        while self._queue and len(piece) < PIECE:
            time, change = self._queue.popleft()
            missed, self._missed = self._missed, 0
            self._before += missed + 1
            change = change if any_word else in_first_words(change)
            piece += encode_notification("event", Happened(self.number, time, change, missed, self._before))
        return bytes(piece)
