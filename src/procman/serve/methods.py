"""procman's side of the control protocol: a function for each row of `control.methods`.

Defines what a request means: how it is read, what the core is asked and how its answer is sent. Knows no sockets;
streams are opened by the connection.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from procman import __version__
from procman.control import methods
from procman.control.codec import UNREADABLE, Code, Request
from procman.control.messages import (
    Accepted,
    AttachParams,
    Checked,
    EventsParams,
    Hello,
    HelloParams,
    InputParams,
    LogsParams,
    NoParams,
    Ps,
    ReleaseParams,
    ReportParams,
    ResizeParams,
    WaitParams,
    Why,
    WhyParams,
)
from procman.control.methods import METHODS, Method
from procman.core.actions import Refuse, Reply
from procman.core.events import Released, Reported
from procman.core.requests import Hold, Restart, Scale, SendSignal, Shutdown, Stop
from procman.core.select import Selector
from procman.core.spec import is_companion
from procman.core.view import FleetView
from procman.errors import ConfigError, nearest
from procman.text.signals import KNOWN, read_signal
from procman.text.words import type_of

if TYPE_CHECKING:
    from procman.kernel.kernel import Kernel

MOST_HELD = 256
"""Names under which one connection may hold stops: a companion has one for each type that it serves."""


class Failure(Struct, frozen=True):
    """Why a request is not carried out, as an error of the protocol."""

    code: Code
    message: str
    hint: str = ""


NOT_ATTACHED = Failure(Code.REFUSED, "cannot do that: the stream is not one of `attach`")

Answer = Callable[[Struct], None]
"""A function that takes the result, or a Failure."""


if TYPE_CHECKING:

    class Caller(Protocol):
        """The connection of a request."""

        holders: set[str]
        """The names under which this connection holds stops."""
        any_word: bool
        """Whether it accepts kinds of events that are newer than the client."""

        @property
        def kernel(self) -> Kernel: ...
        def open_stream(self, params: StreamParams, answer: Answer) -> None:
            """Open a stream of notifications for this connection."""

        def wait(self, params: WaitParams, answer: Answer) -> None:
            """Answer once the condition is reached or cannot be reached."""

        def perform(self, params: InputParams | ResizeParams, answer: Answer) -> None:
            """Carry out a request for one of its streams."""


StreamParams = LogsParams | EventsParams | AttachParams

# ---- reading


_decoder = msgspec.json.Decoder(Request)


def parse(line: bytes) -> Request | Failure:
    """A line of JSON as a request."""
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError as error:
        invalid = Failure(Code.INVALID_REQUEST, f"cannot take this as a request: {error}")
        return _syntax(line) or invalid  # msgspec reports a wrong type before it has read the rest
    except UNREADABLE as error:
        return _not_json(error)


def _syntax(line: bytes) -> Failure | None:
    try:
        msgspec.json.decode(line)
    except UNREADABLE as error:
        return _not_json(error)
    return None


def _not_json(error: Exception) -> Failure:
    return Failure(Code.PARSE_ERROR, f"cannot read this as JSON: {error}")


def parameters(request: Request) -> Struct | Failure:
    """The request's parameters, as the type that its method declares."""
    method = METHODS.get(request.method)
    if method is None:
        hint = nearest(request.method[:64], METHODS)
        return Failure(Code.METHOD_NOT_FOUND, f"cannot find the method '{request.method[:64]}'", hint)
    try:
        params: Struct = msgspec.json.decode(request.params, type=method.params)
    except UNREADABLE as error:
        return Failure(Code.INVALID_PARAMS, f"cannot take these parameters of {request.method}: {error}")
    return params


# ---- one function for each method

P = TypeVar("P", bound=Struct)
R = TypeVar("R", bound=Struct)
Handler = Callable[["Caller", P, Answer], None]

HANDLERS: dict[str, Handler[Any]] = {}


def serves(method: Method[P, R]) -> Callable[[Handler[P]], Handler[P]]:
    """Declares the function that carries out a method. It answers once, with the method's result or a Failure."""

    def declare(handler: Handler[P]) -> Handler[P]:
        HANDLERS[method.name] = handler
        return handler

    return declare


@serves(methods.HELLO)
def _hello(caller: Caller, params: HelloParams, answer: Answer) -> None:
    caller.any_word = params.any_word
    kernel = caller.kernel
    answer(Hello(__version__, os.getpid(), kernel.root, methods.VERSION, kernel.upgrades, methods.capabilities()))


@serves(methods.PS)
def _ps(caller: Caller, _params: NoParams, answer: Answer) -> None:
    answer(Ps(os.getpid(), caller.kernel.root, time.time(), caller.kernel.view()))


def _command(caller: Caller, command: Scale | Restart | Stop | Shutdown, answer: Answer) -> None:
    caller.kernel.command(command, _accepted(caller, answer))


serves(methods.SCALE)(_command)
serves(methods.RESTART)(_command)
serves(methods.STOP)(_command)
serves(methods.SHUTDOWN)(_command)


@serves(methods.SIGNAL)
def _signal(caller: Caller, command: SendSignal, answer: Answer) -> None:
    name = read_signal(command.signal)
    if name is None:
        hint = nearest(command.signal[:16].upper().removeprefix("SIG"), KNOWN)
        text = f"cannot send the signal '{command.signal[:16]}': there is none of that name"
        answer(Failure(Code.REFUSED, text, hint))
    elif not command.names:
        answer(Failure(Code.REFUSED, "cannot signal: no instance is named", "name some, or '*' for all"))
    else:
        caller.kernel.command(replace(command, signal=name), _accepted(caller, answer))


@serves(methods.WAIT)
def _wait(caller: Caller, params: WaitParams, answer: Answer) -> None:
    caller.wait(params, answer)


@serves(methods.WHY)
def _why(caller: Caller, params: WhyParams, answer: Answer) -> None:
    view = caller.kernel.view()
    everyone = replace(view, instances=(*view.instances, *view.companions))
    name = instance_of(params.instance, everyone, "explain")
    answer(name if isinstance(name, Failure) else Why(name, caller.kernel.why(name)))


@serves(methods.HOLD)
def _hold(caller: Caller, command: Hold, answer: Answer) -> None:
    if len(caller.holders) >= MOST_HELD and command.by not in caller.holders:
        answer(Failure(Code.REFUSED, f"cannot hold stops under more than {MOST_HELD} names", "use fewer"))
        return
    if command.names and command.seconds:
        caller.holders.add(command.by)
    else:
        caller.holders.discard(command.by)
    caller.kernel.command(command, _accepted(caller, answer))


@serves(methods.RELEASE)
def _release(caller: Caller, params: ReleaseParams, answer: Answer) -> None:
    caller.kernel.post(Released(params.instance, params.generation, params.by))
    answer(Accepted((params.instance,), dict(caller.kernel.fleet.counts)))


@serves(methods.REPORT)
def _report(caller: Caller, params: ReportParams, answer: Answer) -> None:
    if not is_companion(params.instance):
        hint = "it says so itself: `health:`, or sd_notify(3)"
        answer(Failure(Code.REFUSED, f"cannot report on {params.instance}: it is not a companion", hint))
        return
    caller.kernel.post(Reported(params.instance, params.generation, params.fault))
    answer(Accepted((params.instance,), dict(caller.kernel.fleet.counts)))


def _open_stream(caller: Caller, params: StreamParams, answer: Answer) -> None:
    caller.open_stream(params, answer)


serves(methods.LOGS)(_open_stream)
serves(methods.EVENTS)(_open_stream)
serves(methods.ATTACH)(_open_stream)


def _perform(caller: Caller, params: InputParams | ResizeParams, answer: Answer) -> None:
    caller.perform(params, answer)


serves(methods.INPUT)(_perform)
serves(methods.RESIZE)(_perform)


@serves(methods.RELOAD)
def _reload(caller: Caller, _params: NoParams, answer: Answer) -> None:
    earlier = _folder()

    def placed(result: Struct) -> None:
        present = _folder()
        moved = isinstance(result, Accepted) and present != earlier
        answer(replace(result, folder=present) if moved else result)

    accepted = _accepted(caller, placed)

    def answered(reply: Reply | Refuse | ConfigError) -> None:
        if isinstance(reply, ConfigError):
            answer(Failure(Code.BAD_CONFIG, "\n".join(reply.lines())))
        else:
            accepted(reply)

    caller.kernel.reload(answered)


def _folder() -> str | None:
    """The folder in which procman works: the root. None if it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


@serves(methods.UPGRADE)
def _upgrade(caller: Caller, _params: NoParams, answer: Answer) -> None:
    def answered(outcome: str | Refuse) -> None:
        answer(Checked(outcome) if isinstance(outcome, str) else _refused(outcome))

    caller.kernel.upgrade(answered)


def _accepted(caller: Caller, answer: Answer) -> Callable[[Reply | Refuse], None]:
    """The core's answer as a result of the protocol."""
    before = dict(caller.kernel.fleet.counts)

    def answered(reply: Reply | Refuse) -> None:
        if isinstance(reply, Reply):
            answer(Accepted(reply.instances, reply.formation, reply.operation, before))
        else:
            answer(_refused(reply))

    return answered


def _refused(refusal: Refuse) -> Failure:
    return Failure(Code.REFUSED, refusal.message, refusal.hint)


def refuse_names(names: tuple[str, ...], view: FleetView, also: Iterable[str] = ()) -> Failure | None:
    """The refusal of a name that matches nothing that runs, may run, or is among `also`; None where all match."""
    known = dict.fromkeys([*(i.name for i in view.instances), *also])
    refusal = Selector(names).refuse(view.formation, known) if names else None
    return Failure(Code.REFUSED, *refusal) if refusal is not None else None


def instance_of(word: str, view: FleetView, what: str) -> str | Failure:
    """The instance of this name, or the only one of this type; else why there is none."""
    names = [row.name for row in view.instances]
    if word in names:
        return word
    of_type = [row.name for row in view.instances if row.type == word]
    if len(of_type) == 1:
        return of_type[0]
    if of_type:
        return Failure(
            Code.REFUSED,
            f"cannot {what} {word}: it has {len(of_type)} instances",
            f"name one of them, such as {of_type[0]}",
        )
    type_name = word if word in view.formation else type_of(word)
    if type_name in view.formation and all(row.type != type_name for row in view.instances):
        autoscaled = any(one.autoscaled for one in view.types if one.type == type_name)
        demand = f"its count follows demand: `procman autoscale {type_name}` shows readings and decisions"
        return Failure(
            Code.REFUSED,
            f"cannot {what} {word}: {type_name} has no instance",
            demand if autoscaled else f"`procman scale {type_name}=1` starts one",
        )
    return Failure(Code.REFUSED, f"cannot find an instance '{word}'", nearest(word, [*names, *view.formation]))
