"""One connection to a running procman: sends requests, receives answers and notifications.

Owns the socket, the bytes and the numbers of requests, and turns errors of the protocol into `procman.errors`. Knows no
method.
"""

from __future__ import annotations

import _socket as socket  # as in control/sockets.py
import contextlib
import os
import time
from typing import TypeVar

from msgspec import Raw, Struct, json

from procman.control.codec import UNREADABLE, Code, Error, Incoming, encode_request
from procman.control.sockets import connect, is_trusted, peer_of, state_of, user_name
from procman.errors import ConfigError, Fault, NotRunningError, ProcmanError, RefusedError

T = TypeVar("T", bound=Struct)

_PIECE = 256 * 1024

MAX_MESSAGE = 64 * 1024 * 1024
"""Most bytes of one message: `ps` of ten thousand instances takes 4 MB."""

_decoder = json.Decoder(Incoming)


class ClosedError(ProcmanError):
    """procman has closed the connection, because it ended or was upgraded."""


class NotUnderstoodError(ProcmanError):
    """procman does not know the method, or not these parameters: it may be an older version."""


class Channel:
    """One connection. `timeout`: seconds in which each call has to be answered."""

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self.upgrading = False  # whether procman announced an upgrade, so that connecting again works
        self.made = 1  # how many connections there have been, one after the other
        self._number = 0
        self._received = bytearray()
        self._hung_up = False
        self._socket = _connect(path, timeout)

    def close(self) -> None:
        self._socket.close()

    def hang_up(self) -> None:
        """End whatever waits on this connection, as if procman had closed it. For use from another thread."""
        self._hung_up = True
        with contextlib.suppress(OSError):  # already closed
            self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def peer(self) -> int:
        """Procman's pid as this process sees it, which differs from procman's own view in another PID namespace."""
        return peer_of(self._socket)[0]

    def fileno(self) -> int:
        """The descriptor for select. It does not show data that has already been received."""
        return self._socket.fileno()

    def call(self, method: str, params: Struct, result: type[T], timeout: float | None = None) -> T:
        """Send a request and wait for the answer. Raises RefusedError, ConfigError (the inputs that procman was to read
        again are wrong), else ProcmanError.

        If procman is upgraded meanwhile, the request is sent again to the program that takes its place.
        """
        limit = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
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
                    return answer(message, result)
        except TimeoutError:
            from procman.control.methods import METHODS, Access  # noqa: PLC0415  only on the way to an error

            raise self.silent(limit, asked=METHODS[method].access is Access.CHANGE) from None
        except OSError as error:
            raise ProcmanError(f"cannot talk to procman: {error.strerror or error}") from None

    def silent(self, limit: float | None = None, *, asked: bool = True) -> ProcmanError:
        """The error for an answer that did not come in time, and its probable reason. `asked`: something that changes
        anything, which stays in the socket, and is carried out once procman reads it.
        """
        pid = self.peer
        if state_of(pid) in ("T", "t"):  # by job control or a debugger
            then = "and does what was asked once it continues" if asked else "and was not asked to change anything"
            text = f"cannot get an answer: procman (pid {pid}) is suspended, {then}"
            return ProcmanError(text, f"`kill -CONT {pid}` continues it")
        text = f"cannot get an answer: procman did not give one within {limit or self.timeout:g} s"
        then = "it may still do what was asked" if asked else "it was not asked to change anything"
        return ProcmanError(text, f"{then}; see `procman ps`")

    def connect_again(self) -> None:
        """Open a new connection after the end of the old one, as when procman is upgraded. Raises NotRunningError."""
        if self._hung_up:
            raise ClosedError("cannot connect again: this client has disconnected")
        fresh = _connect(self.path, self.timeout)
        self._socket.close()
        self._socket = fresh
        self._received.clear()
        self.upgrading = False
        self.made += 1

    def next_message(self, timeout: float | None) -> Incoming | None:
        """The next message; None if procman has closed the connection. Raises TimeoutError after this many seconds."""
        return self._receive(None if timeout is None else time.monotonic() + timeout)

    # ---- for those who wait for other things, too

    def send(self, method: str, params: Struct) -> int:
        """Send a request without waiting. Returns its number, which is the `id` of the answer. Raises OSError if it
        cannot be sent.
        """
        self._number += 1
        self._send(encode_request(self._number, method, params))
        return self._number

    def receive(self) -> bool:
        """Receive what has arrived, or wait for something; False at the end of the connection."""
        return self._fill(None)

    def take(self) -> list[Incoming]:
        """The messages that were received and not returned yet."""
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
            return  # procman may have given a reason before it closed, which is still to be read

    def _receive(self, deadline: float | None) -> Incoming | None:
        searched = 0
        while (message := self._next(searched)) is None:
            searched = len(self._received)
            if searched > MAX_MESSAGE:
                raise _unreadable(ValueError(f"it has more than {MAX_MESSAGE} bytes"))
            if not self._fill(deadline):
                return None
        return message

    def _next(self, searched: int) -> Incoming | None:
        """The next complete message. The first `searched` bytes are known to contain no end."""
        end = self._received.find(b"\n", searched)
        if end < 0:
            return None
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        try:
            message = _decoder.decode(line)
        except UNREADABLE as error:
            raise _unreadable(error) from None
        self.upgrading = self.upgrading or message.method == "upgrading"
        return message

    def _fill(self, deadline: float | None) -> bool:
        """Receive more; False at the end of the connection."""
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


def answer(message: Incoming, result: type[T]) -> T:
    """The result in an answer. Raises the RefusedError, ConfigError or other ProcmanError that the answer contains."""
    if message.error is not None:
        raise _error(message.error)
    return read(message.result, result)


def read(raw: Raw, kind: type[T]) -> T:
    """The content of a message, as this type. Raises ProcmanError."""
    try:
        return json.decode(raw, type=kind)
    except UNREADABLE as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> ProcmanError:
    return ProcmanError(f"cannot understand the answer: {error}", "does the running procman have another version?")


def _error(error: Error) -> ProcmanError:
    match error.code:
        case Code.REFUSED:
            return RefusedError(error.message, error.data.hint)
        case Code.BAD_CONFIG:
            return ConfigError(Fault("", 0, line) for line in error.message.split("\n"))
        case Code.METHOD_NOT_FOUND | Code.INVALID_PARAMS:
            return NotUnderstoodError(error.message, error.data.hint)
        case _:
            return ProcmanError(error.message, error.data.hint)


def _connect(path: str, timeout: float) -> socket.socket:
    try:
        connected = connect(path, timeout)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise NotRunningError(
            f"cannot reach procman: nothing listens on {path}", "start it with `procman start`"
        ) from None
    except PermissionError:
        owner = _owner(path)
        text = f"cannot reach procman: the socket {path} is {owner or 'another user'}'s"
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
        text = f"cannot trust the socket {path}: {user_name(uid) or f'uid {uid}'} listens there"
        raise RefusedError(text, "run this as that user, or name another with --socket")
    return connected


def _owner(path: str) -> str:
    """The owner of the socket, or of its folder where the folder may not be entered."""
    for place in (path, os.path.dirname(path)):
        try:
            uid = os.lstat(place).st_uid
        except OSError:
            continue
        return user_name(uid) or f"uid {uid}"
    return ""
