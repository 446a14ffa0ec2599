"""What a client is told unasked: the `logs` and `events` streams, pulled by its connection as it can take more.

Owns what each reader has yet to be told, in bounded memory: a `logs` reader is a cursor into the history for each
instance, an `events` reader a short queue; one that is too slow loses the oldest and is told how much. Knows nothing
of sockets.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from procman.control.codec import Code, encode_notification
from procman.control.first_version import in_first_words
from procman.control.messages import (
    Happened,
    InputParams,
    LogsParams,
    Output,
    ResizeParams,
    StreamStarted,
)
from procman.core.select import Chosen
from procman.core.view import Change, FleetView
from procman.kernel.output.history import History, HistoryEntry
from procman.serve.methods import Failure

PIECE = 64 * 1024
"""Bytes of one instance's output that are told before it is another's turn."""


NOT_ATTACHED = Failure(Code.REFUSED, "cannot do that: the stream is not one of `attach`")


class _Told:
    """A stream that only tells."""

    def __init__(self, number: int) -> None:
        self.number = number

    def started(self) -> StreamStarted:
        return StreamStarted(self.number)

    def push(self, _time: float, _change: Change) -> bool:
        return False

    def perform(self, _params: InputParams | ResizeParams) -> Failure:
        return NOT_ATTACHED

    def close(self) -> None:
        """Nobody but its connection knows it."""


class LogsStream(_Told):
    """Kept output of the instances that `names` mean, and with `follow` what they write from then on."""

    def __init__(self, number: int, history: History, params: LogsParams) -> None:
        super().__init__(number)
        self.endless = params.follow
        self._history = history
        self._chosen = Chosen(params.names) if params.names else None
        self._meant: dict[str, bool] = {}
        names = [name for name in history.names() if self._means(name)]
        if params.after is None:
            entries, self._cursors = history.tail(names, params.lines)
        else:
            entries, self._cursors = [], dict(params.after)
        self._kept = deque(entries)
        self.kept_bytes = sum(len(entry.data) for entry in entries)
        self._dirty: dict[str, None] = {}  # in the order in which it is their turn
        if params.after is not None:
            self._dirty = dict.fromkeys(name for name in names if history.end(name) != self._cursors.get(name, 0))

    def started(self) -> StreamStarted:
        """With where each instance begins here."""
        begins = {entry.name: entry.after - len(entry.data) for entry in reversed(self._kept)}
        return StreamStarted(self.number, after=self._cursors | begins if self.endless else {})

    def _means(self, name: str) -> bool:
        meant = self._meant.get(name)
        if meant is None:
            meant = self._meant[name] = self._chosen is None or self._chosen.means(name)
        return meant

    def note(self, name: str) -> bool:
        """An instance has written; whether that is told here."""
        if self.endless and self._means(name):
            self._dirty[name] = None
            return True
        return False

    @property
    def waiting(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._kept or self._dirty) or self.ended

    @property
    def ended(self) -> bool:
        return not self.endless and not self._kept

    def pull(self, *, any_word: bool) -> bytes:  # noqa: ARG002  output has no words
        """The next notifications; nothing where everything is told."""
        if self._kept:
            entry = self._kept.popleft()
            self.kept_bytes -= len(entry.data)
            return self._told(entry)
        while self._dirty:
            name = next(iter(self._dirty))
            del self._dirty[name]
            entries, offset = self._history.read(name, self._cursors.get(name, 0), PIECE)
            self._cursors[name] = offset
            if entries:
                if offset < self._history.end(name):
                    self._dirty[name] = None
                return b"".join(self._told(entry) for entry in entries)
        return b""

    def _told(self, entry: HistoryEntry) -> bytes:
        try:
            text, encoded = entry.data.decode(), None
        except UnicodeDecodeError:
            text, encoded = None, b2a_base64(entry.data, newline=False).decode()
        terminal = entry.name in self._history.terminals
        output = Output(self.number, entry.name, entry.time, text, encoded, entry.missed, terminal, entry.after)
        return encode_notification("output", output)


class EventsStream(_Told):
    """Every change, as it happens."""

    endless = True
    ended = False

    def __init__(
        self, number: int, limit: int, before: int, kept: Iterable[tuple[float, Change]] = (), missed: int = 0
    ) -> None:
        """It begins after the change of the number `before`: `missed` are gone, then those that are `kept` are told."""
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
        return True

    @property
    def waiting(self) -> bool:
        return bool(self._queue)

    def pull(self, *, any_word: bool) -> bytes:
        if not self._queue:
            return b""
        time, change = self._queue.popleft()
        missed, self._missed = self._missed, 0
        self._before += missed + 1
        change = change if any_word else in_first_words(change)
        return encode_notification("event", Happened(self.number, time, change, missed, self._before))


class ServedStream(Protocol):
    """What a connection asks of one, whatever it tells."""

    number: int

    @property
    def endless(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    @property
    def waiting(self) -> bool:
        """Whether there is something to tell."""

    def started(self) -> Struct:
        """The answer that opens it."""

    def push(self, time: float, change: Change) -> bool:
        """Something has changed, at a time in seconds since the epoch; whether that is told here."""

    def pull(self, *, any_word: bool) -> bytes:
        """The next notifications, with later kinds of events by their own word or not; nothing where everything is told."""

    def perform(self, params: InputParams | ResizeParams) -> Struct:
        """What its client does there, and the answer."""

    def close(self) -> None:
        """Nobody is told any more."""


def refuse_names(names: tuple[str, ...], view: FleetView, history: History) -> Failure | None:
    """The refusal of a name that means nothing that runs, may run or has written; None where all mean something."""
    written = dict.fromkeys([i.name for i in view.instances] + history.names())
    refusal = Chosen(names).refuse(view.formation, written)
    return Failure(Code.REFUSED, *refusal) if refusal is not None else None
