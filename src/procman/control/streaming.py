"""Iterators over the notifications of a stream, which continue over an upgrade of procman."""

from __future__ import annotations

import base64
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from procman.control.channel import Channel, ClosedError, read
from procman.control.codec import Incoming
from procman.control.messages import EventsParams, Happened, LogsParams, Output, StreamEnded, StreamStarted
from procman.control.methods import NOTIFICATIONS
from procman.errors import NotRunningError

P = TypeVar("P", LogsParams, EventsParams)
T = TypeVar("T", bound=Struct)


class Stream(Iterator[T], Generic[P, T]):
    """Notifications until the stream is complete or procman ends. Over an upgrade the stream continues without a gap.

    It subscribes at once. If nothing arrives for `timeout` seconds it raises TimeoutError, and iteration may continue.
    """

    _kind: type[T]

    def __init__(self, channel: Channel, subscribe: Callable[[P], StreamStarted], params: P) -> None:
        self.timeout: float | None = None
        self._channel = channel
        self._subscribe: Callable[[P], StreamStarted] = subscribe
        self._params: P = params
        self._ended = False
        self._open()

    def _open(self) -> None:
        started = self._subscribe(self._params)
        self._number = started.stream
        self._upgrades = started.upgrades
        self._begun(started)

    @abstractmethod
    def _begun(self, started: StreamStarted) -> None:
        """Called when the stream is open."""

    @abstractmethod
    def _received(self, notified: T) -> None:
        """Remember where a subscription after this notification has to begin."""

    def _open_again(self) -> bool:
        """Subscribe again at the program that has taken procman's place; False if there is none.

        A slow reader may miss the announcement of an upgrade, and sees only that the connection ends.
        """
        announced, before = self._channel.upgrading, self._upgrades
        try:
            self._channel.connect_again()
            self._open()
        except (NotRunningError, ClosedError):
            return False
        return announced or self._upgrades > before

    def __next__(self) -> T:
        while not self._ended:
            message = self._channel.next_message(self.timeout)
            if message is None:
                if self._open_again():
                    continue
                break
            notified = notification(message)
            if getattr(notified, "stream", None) != self._number:
                continue
            if isinstance(notified, self._kind):
                self._received(notified)
                return notified
            if isinstance(notified, StreamEnded):
                break
        self._ended = True
        raise StopIteration


class EventStream(Stream[EventsParams, Happened]):
    """Changes."""

    _kind = Happened

    def _begun(self, started: StreamStarted) -> None:
        self._params = EventsParams(after=started.number)

    def _received(self, notified: Happened) -> None:
        self._params = EventsParams(after=notified.number)


class LogStream(Stream[LogsParams, Output]):
    """Output."""

    _kind = Output

    def _begun(self, started: StreamStarted) -> None:
        self._offsets = dict(started.after)
        self._params = replace(self._params, after=self._offsets)

    def _received(self, notified: Output) -> None:
        self._offsets[notified.instance] = notified.after


def data_of(output: Output) -> bytes:
    """The lines, ending with a newline; empty if the notification only reports a gap."""
    data = base64.b64decode(output.base64) if output.base64 is not None else (output.text or "").encode()
    return data if data.endswith(b"\n") or not data else data + b"\n"


def notification(message: Incoming) -> Struct | None:
    """The notification in a message; None for an answer, and for a kind that only a newer procman knows."""
    kind = NOTIFICATIONS.get(message.method)
    return read(message.params, kind) if kind is not None else None
