"""A blocking client of a running procman: one connection, one request at a time or one stream.

Owns the connection and what an answer means for a person: each error of the protocol becomes one of `procman.errors`.
Knows no verb and prints nothing. The command line uses it, and so may any program.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Literal, Self, overload

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from procman.control.protocol import (
    METHODS,
    NOTIFICATIONS,
    Accepted,
    Checked,
    Code,
    Error,
    EventsParams,
    Happened,
    Hello,
    Incoming,
    LogsParams,
    NoParams,
    Output,
    Ps,
    StreamStarted,
    encode_request,
)
from procman.control.sockets import connect, is_trusted, peer_of
from procman.errors import ConfigError, Fault, NotRunningError, ProcmanError, RefusedError

_PIECE = 256 * 1024

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one message: `ps` of ten thousand instances has 4 MB."""

_decoder = msgspec.json.Decoder(Incoming)


class ClosedError(ProcmanError):
    """procman has closed the connection: it has ended, or was replaced while it ran."""


class Client:
    """One connection. Where a call and a stream are wanted at the same time, two clients are needed.

    `timeout`: seconds in which each call has to be answered.
    """

    def __init__(self, path: str, timeout: float = 10.0) -> None:
        self.path = path
        self.timeout = timeout
        self._number = 0
        self._received = bytearray()
        self.upgrading = False  # procman has said that another program takes its place: it can be connected again
        self._hung_up = False
        self._socket = _connect(path, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def hang_up(self) -> None:
        """For another thread: whatever is waited for here ends, as if procman had closed the connection."""
        self._hung_up = True
        with contextlib.suppress(OSError):  # it is closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def peer(self) -> int:
        """Procman's pid as this process sees it: another one than procman's own where their PID namespaces differ."""
        return peer_of(self._socket)[0]

    def fileno(self) -> int:
        """For select; what has been received already does not show there."""
        return self._socket.fileno()

    @overload
    def call(self, method: Literal["hello"], params: NoParams = ...) -> Hello: ...
    @overload
    def call(self, method: Literal["ps"], params: NoParams = ...) -> Ps: ...
    @overload
    def call(
        self, method: Literal["scale", "restart", "stop", "signal", "reload", "shutdown"], params: Struct = ...
    ) -> Accepted: ...
    @overload
    def call(self, method: Literal["upgrade"], params: NoParams = ...) -> Checked: ...
    @overload
    def call(self, method: str, params: Struct = ...) -> Struct: ...

    def call(self, method: str, params: Struct = NoParams()) -> Struct:  # noqa: B008  frozen
        """Ask and wait for the answer, of the type that METHODS names.

        Raises RefusedError, ConfigError (the inputs that procman was to read again are wrong), else ProcmanError.
        Where procman is upgraded meanwhile, the program that takes its place is asked.
        """
        deadline = time.monotonic() + self.timeout
        try:
            self.send(method, params)
            while True:
                message = self._receive(deadline)
                if message is None and self.upgrading:
                    self.connect_again()
                    self._send(encode_request(self._number, method, params))
                    continue
                if message is None:
                    raise ClosedError("cannot get an answer: procman closed the connection", "see `procman ps`")
                if message.id == self._number or (message.error is not None and message.id is None):
                    return answer(message, method)
        except TimeoutError:
            text = f"cannot get an answer: procman did not give one within {self.timeout:g} s"
            raise ProcmanError(text, "is it suspended?") from None
        except OSError as error:
            raise ProcmanError(f"cannot talk to procman: {error.strerror or error}") from None

    def stream(self, method: str, params: Struct, timeout: float | None = None) -> Stream:
        """Subscribe, at once, and iterate over what comes; see Stream."""
        return Stream(self, method, params, timeout)

    def connect_again(self) -> None:
        """A new connection in place of one that has ended, as it does when procman is upgraded. Raises NotRunningError."""
        if self._hung_up:
            raise ClosedError("cannot connect again: this client has hung up")
        fresh = _connect(self.path, self.timeout)
        self._socket.close()
        self._socket = fresh
        self._received.clear()
        self.upgrading = False

    def next_message(self, timeout: float | None) -> Incoming | None:
        """The next message; None where procman has closed the connection. TimeoutError after so many seconds."""
        return self._receive(None if timeout is None else time.monotonic() + timeout)

    # ---- for those who wait for other things, too

    def send(self, method: str, params: Struct) -> int:
        """Ask without waiting for the answer, whose `id` is the number that this returns. OSError where it cannot be sent."""
        self._number += 1
        self._send(encode_request(self._number, method, params))
        return self._number

    def receive(self) -> bool:
        """Receive what has come, or wait until something has; False at the connection's end."""
        return self._fill(None)

    def take(self) -> list[Incoming]:
        """The messages that are received and were not taken yet."""
        taken = []
        while (message := self._next(0)) is not None:
            taken.append(message)
        return taken

    # ---- bytes

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(self.timeout)
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return  # it may have said why before it closed: that is still to be read

    def _receive(self, deadline: float | None) -> Incoming | None:
        searched = 0
        while (message := self._next(searched)) is None:
            searched = len(self._received)
            if searched > MAX_MESSAGE:
                raise _not_understood(ValueError(f"it has more than {MAX_MESSAGE} bytes"))
            if not self._fill(deadline):
                return None
        return message

    def _next(self, searched: int) -> Incoming | None:
        """The next message where it is received to its end, which is not within the first `searched` bytes."""
        end = self._received.find(b"\n", searched)
        if end < 0:
            return None
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        try:
            message = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _not_understood(error) from None
        self.upgrading = self.upgrading or message.method == "upgrading"
        return message

    def _fill(self, deadline: float | None) -> bool:
        """Receive more; False at the connection's end."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        try:
            data = self._socket.recv(_PIECE)
        except ConnectionResetError:
            return False
        self._received += data
        return bool(data)


class Stream(Iterator[Output | Happened]):
    """What a stream tells, until it is complete or procman goes. Over an upgrade of procman it goes on where it was.

    Where nothing comes for `timeout` seconds, TimeoutError is raised; iterating may go on after it.
    """

    def __init__(self, client: Client, method: str, params: Struct, timeout: float | None) -> None:
        self.timeout = timeout
        self._client = client
        self._method = method
        self._params = params
        self._ended = False
        self._open()

    def _open(self) -> None:
        started = self._client.call(self._method, self._params)
        assert isinstance(started, StreamStarted)
        self._number = started.stream
        self._upgrades = started.upgrades
        self._at = started.number
        self._offsets = dict(started.after)

    def _open_again(self) -> bool:
        """Go on with the program that has taken procman's place; False where there is none.

        A reader that is too slow for the word of an upgrade sees only that the connection ends.
        """
        told, before = self._client.upgrading, self._upgrades
        try:
            self._client.connect_again()
            if isinstance(self._params, LogsParams):
                self._params = replace(self._params, after=self._offsets)
            elif isinstance(self._params, EventsParams):
                self._params = replace(self._params, after=self._at)
            self._open()
        except (NotRunningError, ClosedError):
            return False
        return told or self._upgrades > before

    def __next__(self) -> Output | Happened:
        while not self._ended:
            message = self._client.next_message(self.timeout)
            if message is None:
                if self._open_again():
                    continue
                break
            told = notification(message)
            if getattr(told, "stream", None) != self._number:
                continue
            if isinstance(told, Output):
                self._offsets[told.instance] = told.after
                return told
            if isinstance(told, Happened):
                self._at = told.number
                return told
            break
        self._ended = True
        raise StopIteration


def _connect(path: str, timeout: float) -> socket.socket:
    try:
        connected = connect(path, timeout)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise NotRunningError(
            f"cannot reach procman: none listens on {path}", "start it with `procman start`"
        ) from None
    except PermissionError:
        owner = _owner(path)
        text = f"cannot reach procman: the socket {path} is {owner or 'somebody else'}'s"
        raise RefusedError(text, "run this as that user, or as root") from None
    except BlockingIOError:
        raise ProcmanError(
            f"cannot reach procman: it did not answer within {timeout:g} s", "is it suspended?"
        ) from None
    except OSError as error:
        raise ProcmanError(f"cannot reach procman on {path}: {error.strerror or error}") from None
    if not is_trusted(connected, path):
        _, uid = peer_of(connected)
        connected.close()
        text = f"cannot trust the socket {path}: {_user(uid)} listens there"
        raise RefusedError(text, "run this as that user, or name another with --socket")
    return connected


def _owner(path: str) -> str:
    """The user whose socket it is, or whose folder where that may not be entered."""
    for place in (path, os.path.dirname(path)):
        try:
            uid = os.lstat(place).st_uid
        except OSError:
            continue
        return _user(uid)
    return ""


def _user(uid: int) -> str:
    import pwd  # noqa: PLC0415  only on the way to an error

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def answer(message: Incoming, method: str) -> Struct:
    """The result that METHODS names. Raises RefusedError, ConfigError, else ProcmanError, as the answer says."""
    if message.error is not None:
        raise _error(message.error)
    return _decode(message.result, METHODS[method].result)


def notification(message: Incoming) -> Struct | None:
    """What is told unasked; None where it is an answer, or of a kind that only a newer procman knows."""
    kind = NOTIFICATIONS.get(message.method)
    return _decode(message.params, kind) if kind is not None else None


def _decode(raw: msgspec.Raw, kind: type[Struct]) -> Struct:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_understood(error) from None


def _not_understood(error: Exception) -> ProcmanError:
    return ProcmanError(f"cannot understand the answer: {error}", "is the running procman of another version?")


def _error(error: Error) -> ProcmanError:
    match error.code:
        case Code.REFUSED:
            return RefusedError(error.message, error.data.hint)
        case Code.BAD_CONFIG:
            return ConfigError(Fault("", 0, line) for line in error.message.split("\n"))
        case _:
            return ProcmanError(error.message, error.data.hint)
