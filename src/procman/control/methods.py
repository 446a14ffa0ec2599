"""The methods of the control protocol: one row each.

The server, the client, the reference page and the JSON Schema are all made from these rows. A method is added by a row
here and a function in `serve/methods.py`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Generic, TypeVar

from msgspec import Struct

from procman.control.messages import (
    Accepted,
    Attached,
    AttachParams,
    Checked,
    EventsParams,
    Happened,
    Hello,
    HelloParams,
    InputParams,
    Keyboard,
    KeyboardChanged,
    LogsParams,
    NoParams,
    Output,
    Ps,
    ReleaseParams,
    ReportParams,
    ResizeParams,
    StreamEnded,
    StreamStarted,
    Taken,
    Upgrading,
    Waited,
    WaitParams,
    Why,
    WhyParams,
)
from procman.core.requests import Hold, Restart, Scale, SendSignal, Shutdown, Stop

VERSION = 1
"""The major version, raised when a message changes so that an older peer would misread it. The rule in `messages`
forbids that.
"""

P = TypeVar("P", bound=Struct)
R = TypeVar("R", bound=Struct)


class Access(Enum):
    """What a caller must be allowed to do."""

    READ = "read"
    CHANGE = "change"


class MethodKind(Enum):
    """How a method is answered: at once, with a stream of notifications, or as part of such a stream."""

    CALL = "call"
    STREAM = "stream"
    OF_STREAM = "of a stream"


class Method(Struct, Generic[P, R], frozen=True):
    """One row of the table."""

    name: str
    params: type[P]
    result: type[R]
    access: Access
    doc: str
    kind: MethodKind = MethodKind.CALL


METHODS: dict[str, Method[Any, Any]] = {}


def _row(
    name: str, types: tuple[type[P], type[R]], access: Access, doc: str, kind: MethodKind = MethodKind.CALL
) -> Method[P, R]:
    """A row of the table; `types` are those of the parameters and of the result."""
    METHODS[name] = row = Method(name, *types, access, doc, kind)
    return row


_READ, _CHANGE = Access.READ, Access.CHANGE
_STREAM, _OF_STREAM = MethodKind.STREAM, MethodKind.OF_STREAM

HELLO = _row("hello", (HelloParams, Hello), _READ, "ask who answers, and what it can do")
PS = _row("ps", (NoParams, Ps), _READ, "show the formation and every instance")
SCALE = _row("scale", (Scale, Accepted), _CHANGE, "set or change counts; without any, show them")
RESTART = _row("restart", (Restart, Accepted), _CHANGE, "restart the named instances; starts stopped ones")
STOP = _row("stop", (Stop, Accepted), _CHANGE, "stop the named instances and keep them stopped")
WAIT = _row("wait", (WaitParams, Waited), _READ, "answer once the named instances are as wanted, or never will be")
SIGNAL = _row("signal", (SendSignal, Accepted), _CHANGE, "send a signal to the named instances")
WHY = _row("why", (WhyParams, Why), _READ, "say why an instance is as it is, what comes next, and what can be done")
HOLD = _row(
    "hold",
    (Hold, Accepted),
    _CHANGE,
    "let stops of ready instances wait for `release`; ends ten seconds after this connection",
)
RELEASE = _row("release", (ReleaseParams, Accepted), _CHANGE, "let a stop that was held continue")
REPORT = _row("report", (ReportParams, Accepted), _CHANGE, "report what is wrong with what a companion serves")
LOGS = _row(
    "logs", (LogsParams, StreamStarted), _READ, "stream kept output, then `output` and `end` notifications", _STREAM
)
EVENTS = _row("events", (EventsParams, StreamStarted), _READ, "stream every change as an `event` notification", _STREAM)
ATTACH = _row(
    "attach",
    (AttachParams, Attached),
    _CHANGE,
    "stream an instance's `output` as it is written, and each `event` of it",
    _STREAM,
)
INPUT = _row(
    "input",
    (InputParams, Taken),
    _CHANGE,
    "type into the instance of an `attach` stream of this connection",
    _OF_STREAM,
)
RESIZE = _row(
    "resize", (ResizeParams, Keyboard), _CHANGE, "set the size of the screen that shows an `attach` stream", _OF_STREAM
)
RELOAD = _row("reload", (NoParams, Accepted), _CHANGE, "read the inputs again and apply what changed")
UPGRADE = _row(
    "upgrade", (NoParams, Checked), _CHANGE, "let the installed procman take over, without touching what runs"
)
SHUTDOWN = _row("shutdown", (Shutdown, Accepted), _CHANGE, "stop everything and end")


NOTIFICATIONS: dict[str, type[Struct]] = {
    "output": Output,
    "event": Happened,
    "keyboard": KeyboardChanged,
    "end": StreamEnded,
    "upgrading": Upgrading,
}


def capabilities() -> tuple[str, ...]:
    """Every method (`scale`) and every member of its parameters (`scale.by`)."""
    return tuple(
        word
        for name, method in METHODS.items()
        for word in (name, *(f"{name}.{member}" for member in method.params.__struct_fields__))
    )
