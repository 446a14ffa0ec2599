"""The control socket: who may connect, how many, and who is sent what happens.

Owns the connections, and for how long a hold of stops outlasts its client. What a connection means is in `connection`
and `methods`. No number of clients may stop procman, whatever they do: everything that they can fill has a limit.
"""

from __future__ import annotations

import _socket as socket  # as in control/sockets.py
import contextlib
import itertools
import os
import resource
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.control.codec import Code, encode_error
from procman.control.messages import AttachParams, EventsParams, LogsParams
from procman.control.sockets import peer_of
from procman.core.requests import Hold
from procman.core.view import Change, Operation
from procman.kernel.loop.reactor import Reactor
from procman.later import later
from procman.serve.connection import Connection, ConnectionLimits
from procman.serve.methods import MOST_HELD, Failure, StreamParams, instance_of, refuse_names
from procman.serve.waits import Waits

if TYPE_CHECKING:
    from procman.kernel.kernel import Kernel
    from procman.serve import streams
    from procman.serve.attachments import Attachments
    from procman.serve.streams import EventsStream, LogsStream, ServedStream
else:
    streams = later(__name__, "procman.serve.streams")
    later(__name__, "procman.control.first_version")  # what `streams` imports is kept together with it

RECENT = 256
"""Changes that are kept for clients that reconnect after an upgrade."""


class ServerState(Struct, frozen=True, rename={"published": "told"}):
    """The number of the last change, and the last changes, each with its time."""

    published: int = 0
    recent: tuple[tuple[float, Change], ...] = ()


class Server:
    """Serves the control protocol in the reactor's thread. `freed` is called after each end of a connection."""

    def __init__(
        self,
        reactor: Reactor,
        kernel: Kernel,
        freed: Callable[[], None],
        limits: ConnectionLimits | None = None,
    ) -> None:
        self.reactor = reactor
        self.kernel = kernel
        self.limits = limits or ConnectionLimits()
        self.waits = Waits(reactor, kernel)
        self._connections: dict[Connection, None] = {}
        self._streaming: dict[Connection, None] = {}
        self._numbers = itertools.count(1)
        self._attachments: Attachments | None = None
        self._published = 0
        self._sends_soon = False  # changes that wait
        self._recent: deque[tuple[float, Change]] = deque(maxlen=RECENT)
        self._returning: dict[str, float] = {}  # who has gone and holds stops, and until when
        self._freed = freed
        kernel.history.listeners.append(self._on_append)

    def publish(self, time: float, change: Change) -> None:
        """Send a change to every reader of changes; `time` is seconds since the epoch."""
        self._published += 1
        self._recent.append((time, change))
        for connection in tuple(self._streaming):
            wakes = [stream.push(time, change) for stream in connection.streams]
            if any(wakes):
                connection.wake()
        if self._streaming and not self._sends_soon:
            self.reactor.call_at(monotonic(), self._send_changes)
            self._sends_soon = True
        self.waits.changed()

    def _send_changes(self) -> None:
        """Send all changes of a round together: with a thousand instances that stop, two calls for each were a third of it."""
        self._sends_soon = False
        for connection in tuple(self._streaming):
            connection.wake()

    def operation_ended(self, _operation: Operation) -> None:
        """An operation has ended."""
        self.waits.changed()

    def state(self) -> ServerState:
        """What the server of the next program continues from."""
        return ServerState(self._published, tuple(self._recent))

    def restore(self, state: ServerState) -> None:
        self._published = state.published
        self._recent.extend(state.recent)

    def upgrade(self) -> None:
        """Ask every client to connect again. Until the next program accepts, it waits in the listener's queue."""
        for connection in tuple(self._connections):
            connection.upgrade()

    def close(self) -> None:
        """Procman ends: send to the streams what their readers accept at once, and close everything."""
        self.waits.judge()  # the last instance's end was procman's as well
        self.kernel.history.listeners.remove(self._on_append)
        for connection in tuple(self._connections):
            connection.finish()

    # ---- who connects

    def admit(self, connected: socket.socket) -> None:
        """Serve this client, or refuse it."""
        if not _is_trusted(connected):
            connected.close()
        elif len(self._connections) >= self._most():
            text = f"cannot serve another client: {len(self._connections)} are connected"
            with contextlib.suppress(OSError):  # the client may have gone already
                connected.send(
                    encode_error(None, Code.REFUSED, text, "close one, or try again later"), socket.MSG_DONTWAIT
                )
            connected.close()
        else:
            try:
                self._connections[Connection(self, connected)] = None
            except OSError:  # no memory, or no watch left (epoll(7)): close it as if it had not been accepted
                connected.close()

    def _most(self) -> int:
        """Most clients at a time: half of the descriptors are for the instances."""
        try:
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        except OSError:  # a seccomp filter refuses prlimit(2)
            return self.limits.connections
        return self.limits.connections if soft == resource.RLIM_INFINITY else min(self.limits.connections, soft // 2)

    def closed(self, connection: Connection) -> None:
        """A connection has ended: its descriptor is free for the next client."""
        self._connections.pop(connection, None)
        self._streaming.pop(connection, None)
        self._leave(connection.holders)
        self._freed()

    def _leave(self, names: set[str]) -> None:
        """A client that has gone holds stops for a while yet: a killed companion comes back and continues them."""
        now = monotonic()
        for by in names:
            stays = by in self._returning or len(self._returning) < MOST_HELD
            self._returning[by] = now + self.limits.returns if stays else now
        if names:
            self.reactor.call_at(now, self._let_go)  # not at once: the core may be in the middle of an event
            self.reactor.call_at(now + self.limits.returns, self._let_go)

    def _let_go(self) -> None:
        """A client that has not come back holds no stop any more; an instance whose stop was held is stopped at its own
        deadline at the latest.
        """
        now = monotonic()
        held = {by for connection in self._connections for by in connection.holders}
        for by in [by for by, until in self._returning.items() if until <= now]:
            del self._returning[by]
            if by not in held:
                self.kernel.command(Hold(by, (), 0.0), lambda _reply: None)

    def relieve(self) -> None:
        """If all connections together hold too much, close those that hold most and do not read."""
        held = sum(connection.held for connection in self._connections)
        while held > self.limits.held:
            greatest = max(self._connections, key=lambda connection: connection.held)
            held -= greatest.held
            greatest.close()

    # ---- streams

    def open_stream(self, connection: Connection, params: StreamParams) -> ServedStream | Failure:
        """The stream that `logs`, `events` or `attach` asks for."""
        if isinstance(params, AttachParams):
            stream: ServedStream | Failure = self._attach(connection, params)
        else:
            stream = self._logs(params) if isinstance(params, LogsParams) else self._events(params)
        if not isinstance(stream, Failure):
            self._streaming[connection] = None
        return stream

    def _attach(self, connection: Connection, params: AttachParams) -> ServedStream | Failure:
        from procman.serve.attachments import Attachments  # noqa: PLC0415  only needed when a client attaches

        name = instance_of(params.instance, self.kernel.view(), "attach to")
        if isinstance(name, Failure):
            return name
        if self._attachments is None:
            self._attachments = Attachments(self.reactor, self.kernel.output, self.kernel.history)
        attachment = self._attachments.attach(next(self._numbers), name, connection.peer, connection.wake)
        attachment.open(params)
        return attachment

    def _events(self, params: EventsParams) -> EventsStream:
        after = self._published if params.after is None else min(params.after, self._published)
        kept = list(self._recent)[len(self._recent) - min(self._published - after, len(self._recent)) :]
        return streams.EventsStream(
            next(self._numbers), self.limits.events, after, kept, self._published - after - len(kept)
        )

    def _logs(self, params: LogsParams) -> LogsStream | Failure:
        history = self.kernel.history
        opened = (stream for connection in self._streaming for stream in connection.streams)
        if sum(stream.kept_bytes for stream in opened if isinstance(stream, streams.LogsStream)) > self.limits.kept:
            text = "cannot show kept output now: other readers of logs have too much of it unread"
            return Failure(Code.REFUSED, text, "try later")
        refusal = refuse_names(params.names, self.kernel.view(), history.names()) if params.names else None
        return refusal or streams.LogsStream(next(self._numbers), history, params)

    def _on_append(self, name: str) -> None:
        for connection in tuple(self._streaming):
            noted = [s for s in connection.streams if isinstance(s, streams.LogsStream) and s.note(name)]
            if noted:
                connection.wake()


def _is_trusted(connected: socket.socket) -> bool:
    """Whether the client is this user, or root."""
    try:
        _, uid = peer_of(connected)
    except OSError:  # gone already
        return False
    return uid in (os.geteuid(), 0)
