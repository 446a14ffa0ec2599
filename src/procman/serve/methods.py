"""The methods of the control protocol, one table: method name -> handler.

Owns what a request means: how it is read, which command of the core it becomes and how the core's answer is told.
Knows nothing of sockets; `logs` and `events` need a connection to go on telling, and are `streams`'.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from procman import __version__
from procman.control.protocol import (
    METHODS,
    VERSION,
    Accepted,
    Checked,
    Code,
    Hello,
    NamesParams,
    NoParams,
    Ps,
    Request,
    ScaleParams,
    SignalParams,
    StopParams,
)
from procman.core.actions import Refuse, Reply
from procman.core.events import Command, Restart, Scale, SendSignal, Shutdown, Stop
from procman.core.view import FleetView
from procman.errors import ConfigError, nearest
from procman.kernel.output.history import History
from procman.kernel.output.fanout import Mux


class Failure(Struct, frozen=True):
    """Why a request is not carried out, as the protocol's error."""

    code: Code
    message: str
    hint: str = ""


Answer = Callable[[Struct], None]
"""Takes the result, or a Failure."""


class Backend(Protocol):
    """What the server needs of the kernel."""

    @property
    def root(self) -> str: ...
    @property
    def history(self) -> History: ...
    @property
    def mux(self) -> Mux: ...
    def view(self) -> FleetView: ...
    def command(self, command: Command, answer: Callable[[Reply | Refuse], None]) -> None:
        """Hand a command to the core; answered before this returns."""

    @property
    def upgrades(self) -> int: ...
    def reload(self, answer: Callable[[Reply | Refuse | ConfigError], None]) -> None:
        """Read the inputs again."""

    def upgrade(self, told: Callable[[Checked | Refuse], None]) -> None:
        """Let the installed program take over."""

    def fault(self, error: BaseException) -> None:
        """Log a fault of procman's own."""


# ---- reading


_decoder = msgspec.json.Decoder(Request)


def parse(line: bytes) -> Request | Failure:
    """One line of JSON as a request."""
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError as error:
        invalid = Failure(Code.INVALID_REQUEST, f"cannot take this as a request: {error}")
        return _syntax(line) or invalid  # msgspec tells of a wrong type before it has seen the whole
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _not_json(error)


def _syntax(line: bytes) -> Failure | None:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _not_json(error)
    return None


def _not_json(error: Exception) -> Failure:
    return Failure(Code.PARSE_ERROR, f"cannot read this as JSON: {error}")


def parameters(request: Request) -> Struct | Failure:
    """The request's parameters as its method wants them."""
    method = METHODS.get(request.method)
    if method is None:
        hint = nearest(request.method[:64], METHODS)
        return Failure(Code.METHOD_NOT_FOUND, f"cannot find the method '{request.method[:64]}'", hint)
    try:
        params: Struct = msgspec.json.decode(request.params, type=method.params)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Failure(Code.INVALID_PARAMS, f"cannot take these parameters of {request.method}: {error}")
    return params


# ---- the handlers


def _hello(backend: Backend, _params: NoParams, answer: Answer) -> None:
    answer(Hello(__version__, os.getpid(), backend.root, VERSION, backend.upgrades))


def _ps(backend: Backend, _params: NoParams, answer: Answer) -> None:
    answer(Ps(os.getpid(), backend.root, time.time(), backend.view()))


def _scale(backend: Backend, params: ScaleParams, answer: Answer) -> None:
    backend.command(Scale(params.to, params.by), _accepted(answer))


def _restart(backend: Backend, params: NamesParams, answer: Answer) -> None:
    backend.command(Restart(params.names), _accepted(answer))


def _stop(backend: Backend, params: StopParams, answer: Answer) -> None:
    backend.command(Stop(params.names, params.all), _accepted(answer))


def _signal(backend: Backend, params: SignalParams, answer: Answer) -> None:
    name = signal_name(params.signal)
    if name is None:
        known = [number.name.removeprefix("SIG") for number in signal.Signals]
        hint = nearest(params.signal[:16].upper().removeprefix("SIG"), known)
        answer(
            Failure(Code.REFUSED, f"cannot send the signal '{params.signal[:16]}': there is none of that name", hint)
        )
    elif not params.names:
        answer(Failure(Code.REFUSED, "cannot signal: no instance is named", "name some, or '*' for all"))
    else:
        backend.command(SendSignal(name, params.names, params.leader), _accepted(answer))


def signal_name(word: str) -> str | None:
    """`TERM` for `TERM`, `SIGTERM`, `term` or `15`; None where the system has no such signal."""
    try:
        found = signal.Signals(int(word)) if word.isdecimal() else signal.Signals[_with_sig(word.upper())]
    except (KeyError, ValueError):
        return None
    return found.name.removeprefix("SIG")


def _with_sig(word: str) -> str:
    return word if word.startswith("SIG") else f"SIG{word}"


def _reload(backend: Backend, _params: NoParams, answer: Answer) -> None:
    def told(reply: Reply | Refuse | ConfigError) -> None:
        if isinstance(reply, ConfigError):
            answer(Failure(Code.BAD_CONFIG, "\n".join(reply.lines())))
        else:
            _accepted(answer)(reply)

    backend.reload(told)


def _upgrade(backend: Backend, _params: NoParams, answer: Answer) -> None:
    def told(outcome: Checked | Refuse) -> None:
        if isinstance(outcome, Refuse):
            answer(Failure(Code.REFUSED, outcome.message, outcome.hint))
        else:
            answer(outcome)

    backend.upgrade(told)


def _shutdown(backend: Backend, _params: NoParams, answer: Answer) -> None:
    backend.command(Shutdown(), _accepted(answer))


def _accepted(answer: Answer) -> Callable[[Reply | Refuse], None]:
    """The core's answer in the protocol's words."""

    def told(reply: Reply | Refuse) -> None:
        if isinstance(reply, Reply):
            answer(Accepted(reply.instances, reply.formation))
        else:
            answer(Failure(Code.REFUSED, reply.message, reply.hint))

    return told


HANDLERS: dict[str, Callable[[Backend, Any, Answer], None]] = {
    "hello": _hello,
    "ps": _ps,
    "scale": _scale,
    "restart": _restart,
    "stop": _stop,
    "signal": _signal,
    "reload": _reload,
    "upgrade": _upgrade,
    "shutdown": _shutdown,
}
