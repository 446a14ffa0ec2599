"""What a stream tells, as an iterator that goes on over an upgrade of procman."""

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
    """What comes, until the stream is complete or procman goes. Over an upgrade of procman it goes on where it was.

    It is subscribed to at once. Where nothing comes for `timeout` seconds, TimeoutError is raised; iterating may go on
    after it.
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
        """The stream is open."""

    @abstractmethod
    def _came(self, told: T) -> None:
        """Remember where a subscription after this notification has to begin."""

    def _open_again(self) -> bool:
        """Go on with the program that has taken procman's place; False where there is none.

        A reader that is too slow for the word of an upgrade sees only that the connection ends.
        """
        told, before = self._channel.upgrading, self._upgrades
        try:
            self._channel.connect_again()
            self._open()
        except (NotRunningError, ClosedError):
            return False
        return told or self._upgrades > before

    def __next__(self) -> T:
        while not self._ended:
            message = self._channel.next_message(self.timeout)
            if message is None:
                if self._open_again():
                    continue
                break
            told = notification(message)
            if getattr(told, "stream", None) != self._number:
                continue
            if isinstance(told, self._kind):
                self._came(told)
                return told
            if isinstance(told, StreamEnded):
                break
        self._ended = True
        raise StopIteration


class EventStream(Stream[EventsParams, Happened]):
    """Changes."""

    _kind = Happened

    def _begun(self, started: StreamStarted) -> None:
        self._params = EventsParams(after=started.number)

    def _came(self, told: Happened) -> None:
        self._params = EventsParams(after=told.number)


class LogStream(Stream[LogsParams, Output]):
    """Output."""

    _kind = Output

    def _begun(self, started: StreamStarted) -> None:
        self._offsets = dict(started.after)
        self._params = replace(self._params, after=self._offsets)

    def _came(self, told: Output) -> None:
        self._offsets[told.instance] = told.after


def data_of(output: Output) -> bytes:
    """The lines, ending with a newline; nothing where only a gap is told."""
    data = base64.b64decode(output.base64) if output.base64 is not None else (output.text or "").encode()
    return data if data.endswith(b"\n") or not data else data + b"\n"


def notification(message: Incoming) -> Struct | None:
    """What is told unasked; None where it is an answer, or of a kind that only a newer procman knows."""
    kind = NOTIFICATIONS.get(message.method)
    return read(message.params, kind) if kind is not None else None
