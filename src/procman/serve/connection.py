"""One client's connection: bytes to lines, lines to answers, in order and in bounded memory.

Owns framing and flow: how much is read, answered and sent in a turn, and when a client is dropped. What a request means
is in `methods`, what a stream sends in `streams`, and who may connect in `server`.

A turn is bounded, so that no client blocks the loop for others. A connection with more to do is called again by the
selector, as its socket is then watched for WRITE. A client that does not read its answers is not read from.
"""

from __future__ import annotations

import _socket as socket  # as in control/sockets.py
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import UNSET, Struct
from msgspec.structs import replace

from procman.control.codec import MAX_REQUEST, Code, Request, encode_error, encode_notification, encode_result
from procman.control.messages import InputParams, ResizeParams, StreamEnded, StreamStarted, Upgrading, WaitParams
from procman.control.methods import METHODS, MethodKind
from procman.control.sockets import peer_of
from procman.kernel.loop.reactor import READ, WRITE, Callback, Reactor
from procman.serve.methods import HANDLERS, NOT_ATTACHED, Answer, Failure, StreamParams, parameters, parse
from procman.serve.waits import Waits

if TYPE_CHECKING:
    from procman.kernel.kernel import Kernel
    from procman.serve.streams import ServedStream

REQUESTS_A_TURN = 16
TURN = 0.005
"""Seconds after which no further request is answered in the turn: `ps` of a thousand instances takes as long."""

SENT_A_TURN = 256 * 1024

MUCH = 64 * 1024
"""Bytes that a connection may hold before the total of all connections is checked."""


class ConnectionLimits(Struct, frozen=True):
    """How much of procman one client, and all clients together, may use."""

    connections: int = 1024
    stalled: float = 10.0
    """Seconds from the first byte of a request to its last."""
    unsent: int = 1024 * 1024
    """Bytes of unsent answers at which a connection is no longer read from."""
    held: int = 64 * 1024 * 1024
    """Bytes of requests and unsent answers that all connections together may hold. Above it the connection with most is
    closed.
    """
    streams: int = 16
    """Open streams of a connection."""
    events: int = 1000
    """Changes that wait for a reader of `events`."""
    kept: int = 64 * 1024 * 1024
    """Bytes of kept output that wait for all readers of `logs` together."""
    returns: float = 10.0
    """Seconds for which one that has gone still holds stops: a companion that was killed is back before that."""


if TYPE_CHECKING:

    class ConnectionHost(Protocol):
        """What a connection needs of the server."""

        reactor: Reactor
        kernel: Kernel
        limits: ConnectionLimits
        waits: Waits

        def open_stream(self, connection: Connection, params: StreamParams) -> ServedStream | Failure: ...

        def closed(self, connection: Connection) -> None: ...

        def relieve(self) -> None:
            """A connection holds a lot: check the total."""


class Connection:
    """A connected client, from its accepted socket to its end."""

    def __init__(self, host: ConnectionHost, connected: socket.socket) -> None:
        self.streams: list[ServedStream] = []
        self.any_word = False
        self.holders: set[str] = set()
        self.closed = False
        self._host = host
        self._socket = connected
        self._received = bytearray()
        self._unsent = bytearray()
        self._at_end = False  # the client sends nothing more
        self._busy = False
        self._owed = 0  # requests that are not answered yet
        self._begun: float | None = None  # when the first byte of an incomplete request was received
        self._watched = False
        self._events = READ
        connected.setblocking(False)  # noqa: FBT003  the standard library's signature
        host.reactor.register(connected.fileno(), READ, self._on_ready)

    @property
    def kernel(self) -> Kernel:
        return self._host.kernel

    @property
    def peer(self) -> int:
        """The client's pid as this process sees it; 0 if unknown, or if the client has gone."""
        try:
            return peer_of(self._socket)[0]
        except OSError:
            return 0

    @property
    def held(self) -> int:
        """Bytes that have been received and not answered, or answered and not sent."""
        return len(self._received) + len(self._unsent)

    # ---- what calls it

    def _on_ready(self) -> None:
        if self._events == 0:  # only a hang-up is reported then (poll(2)), which means that the client has gone
            self.close()
        else:
            self._turn(self._receive, self._work)

    def wake(self) -> None:
        """A stream has something to send.

        It is sent at once if possible, as a removed instance is soon forgotten. Requests wait for the selector: the
        core may be in the middle of this very event, and could answer them only after it.
        """
        if not self._unsent and not self._busy:  # else its turn comes later, or has come
            self._turn(self._send_more)

    def finish(self) -> None:
        """Procman ends: send what can be sent at once, and close."""
        self._guarded(self._send_end)
        self.close()

    def upgrade(self) -> None:
        """Another program takes procman's place. The announcement tells the client which requests were carried out:
        those that were answered. Holds stay in force.
        """
        self.holders.clear()
        self._guarded(self._send_upgrade)
        self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._keep_streams(lambda _stream: False)
            self._host.waits.leave(self)
            self._host.reactor.unregister(self._socket.fileno())
            self._socket.close()
            self._host.closed(self)

    # ---- one turn

    def _turn(self, *steps: Callback) -> None:
        self._busy = True
        for step in steps:
            self._guarded(step)
        self._busy = False

    def _guarded(self, step: Callback) -> None:
        """A client that has gone, or a fault of procman, ends this connection and nothing else."""
        if self.closed:
            return
        try:
            step()
        except OSError:
            self.close()
        except Exception as error:  # noqa: BLE001  procman continues
            self._host.kernel.fault(error)
            self.close()

    def _work(self) -> None:
        self._flush()
        until = time.monotonic() + TURN
        for _ in range(REQUESTS_A_TURN):
            if len(self._unsent) >= self._host.limits.unsent or not self._answer_next() or time.monotonic() >= until:
                break
        self._send_more()
        if not self.closed:
            self._watch_partial()

    def _send_more(self) -> None:
        self._send_pieces()
        self._flush()
        if self.closed or self._is_over():
            self.close()
            return
        self._rearm()
        if self.held > MUCH:
            self._host.relieve()

    def _is_over(self) -> bool:
        idle = not self._unsent and not self._owed and not self.streams
        return self._at_end and idle and not self._has_line()

    def _has_line(self) -> bool:
        return b"\n" in self._received

    def _may_read(self) -> bool:
        return not self._at_end and len(self._unsent) < self._host.limits.unsent and not self._has_line()

    def _rearm(self) -> None:
        """Watch for reading, writing, or both; neither only while an answer is still to come."""
        writes = self._unsent or self._has_line() or any(stream.waiting for stream in self.streams)
        events = (READ if self._may_read() else 0) | (WRITE if writes else 0)
        if events != self._events:
            self._events = events
            self._host.reactor.modify(self._socket.fileno(), events, self._on_ready)

    # ---- in

    def _receive(self) -> None:
        if not self._may_read():
            return
        try:
            data = self._socket.recv(MAX_REQUEST)
        except BlockingIOError:
            return
        self._received += data
        if not data:
            self._at_end = True
            self._keep_streams(lambda stream: not stream.endless)

    def _keep_streams(self, wanted: Callable[[ServedStream], bool]) -> None:
        streams, self.streams = self.streams, [stream for stream in self.streams if wanted(stream)]
        for stream in streams:
            if stream not in self.streams:
                stream.close()

    def _answer_next(self) -> bool:
        """Answer the next request; False if none is complete."""
        end = self._received.find(b"\n")
        if (end if end >= 0 else len(self._received)) >= MAX_REQUEST:
            self._refuse_long()
            return False
        if end < 0:
            return False
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        self._begun = None
        request = parse(line)
        if isinstance(request, Failure):
            self._unsent += encode_error(None, request.code, request.message, request.hint)
        else:
            self._carry_out(request)
        return True

    def _refuse_long(self) -> None:
        text = f"cannot read a request of more than {MAX_REQUEST} bytes"
        self._unsent += encode_error(None, Code.INVALID_REQUEST, text)
        self._flush()
        self.close()

    def _watch_partial(self) -> None:
        """Close the connection unless an incomplete request is completed in time."""
        if not self._received or self._has_line():
            self._begun = None
            return
        if self._begun is None:
            self._begun = time.monotonic()
        if not self._watched:  # one timer a connection, as timers are never cancelled
            self._watched = True
            self._host.reactor.call_at(self._begun + self._host.limits.stalled, self._on_stalled)

    def _on_stalled(self) -> None:
        self._watched = False
        if self.closed or self._begun is None:
            return
        if time.monotonic() >= self._begun + self._host.limits.stalled and self._may_read():
            self.close()
        else:
            self._begun = self._begun if self._may_read() else time.monotonic()  # procman itself does not read now
            self._watch_partial()

    # ---- carrying out

    def _carry_out(self, request: Request) -> None:
        answered = owed = False

        def answer(result: Struct) -> None:
            nonlocal answered
            if owed:  # the changes that led to it come first
                self.wake()
            if not self.closed and not answered:
                self._unsent += self._encoded(request, result)
                answered = True
                if owed:
                    self._owed -= 1
                    self._turn(self._send_more)
                else:  # at once, as a command may still have signals to send
                    with contextlib.suppress(OSError):  # the turn meets it again, and closes
                        self._flush()

        try:
            self._perform(request, answer)
        except Exception as error:  # noqa: BLE001  reported and logged; procman continues
            self._host.kernel.fault(error)
            answer(Failure(Code.INTERNAL_ERROR, f"cannot do that: {type(error).__name__} in procman", "see its output"))
        if not answered and not _is_unanswered(request):  # the answer comes later
            owed = True
            self._owed += 1

    def _perform(self, request: Request, answer: Answer) -> None:
        params = parameters(request)
        if isinstance(params, Failure):
            answer(params)
        elif not _is_unanswered(request):
            HANDLERS[request.method](self, params, answer)

    def open_stream(self, params: StreamParams, answer: Answer) -> None:
        if len(self.streams) >= self._host.limits.streams:
            answer(Failure(Code.REFUSED, f"cannot open another stream: {len(self.streams)} are open", "close some"))
            return
        stream = self._host.open_stream(self, params)
        if isinstance(stream, Failure):
            answer(stream)
        else:
            self.streams.append(stream)
            started = stream.started()
            if isinstance(started, StreamStarted):
                started = replace(started, upgrades=self._host.kernel.upgrades)
            answer(started)

    def wait(self, params: WaitParams, answer: Answer) -> None:
        self._host.waits.add(self, params, answer)

    def perform(self, params: InputParams | ResizeParams, answer: Answer) -> None:
        stream = next((stream for stream in self.streams if stream.number == params.stream), None)
        answer(NOT_ATTACHED if stream is None else stream.perform(params))

    @staticmethod
    def _encoded(request: Request, result: Struct) -> bytes:
        if request.id is UNSET:
            return b""
        if isinstance(result, Failure):
            return encode_error(request.id, result.code, result.message, result.hint)
        return encode_result(request.id, result)

    # ---- out

    def _flush(self) -> None:
        while self._unsent and not self.closed:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return
            del self._unsent[:sent]

    def _send_pieces(self) -> None:
        """Write the notifications of the streams to the socket while it accepts them."""
        sent = 0
        while not self._unsent and sent < SENT_A_TURN and (piece := self._next_piece()):
            sent += len(piece)
            self._unsent += piece
            self._flush()

    def _next_piece(self) -> bytes:
        """The next notifications of the streams, in turns."""
        for _ in range(len(self.streams)):
            stream = self.streams.pop(0)
            piece = stream.pull(any_word=self.any_word)
            if stream.ended:
                piece += encode_notification("end", StreamEnded(stream.number))
                stream.close()
            else:
                self.streams.append(stream)
            if piece:
                return piece
        return b""

    def _send_upgrade(self) -> None:
        self._flush()
        self._send_pieces()
        self._unsent += encode_notification("upgrading", Upgrading())
        self._flush()

    def _send_end(self) -> None:
        self._flush()
        self._send_pieces()
        for stream in self.streams:
            self._unsent += encode_notification("end", StreamEnded(stream.number))
        self._flush()


def _is_unanswered(request: Request) -> bool:
    """Whether the request opens a stream whose number is not known yet, and which would be of no use."""
    return request.id is UNSET and request.method in METHODS and METHODS[request.method].kind is MethodKind.STREAM
