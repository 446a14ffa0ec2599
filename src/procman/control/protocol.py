"""The control protocol: JSON-RPC 2.0, one message a line, named parameters, no batches.

One table, `METHODS`, says which methods exist, what they take and what they answer; the server, the client, the
reference page and the JSON Schema are all made from it. Times are seconds; `time` is seconds since the epoch.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from procman.core.view import Change, FleetView

VERSION = 1
"""Raised when a message changes so that an older peer would misread it."""

MAX_REQUEST = 64 * 1024
"""Longest request in bytes, newline included."""


class Code(IntEnum):
    """Error codes: JSON-RPC's own, then procman's (positive, as the commands' exit codes)."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    REFUSED = 1
    BAD_CONFIG = 2


# ---- parameters


Name = Annotated[str, msgspec.Meta(max_length=128)]
"""A type, an instance or a pattern: 69 characters are the most that any type or instance has. What is longer costs time
to compare and to compile (a pattern of 60,000 brackets: minutes), in which procman would do nothing else."""


Count = Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]
"""A count of instances: far more than there can be. An integer of JSON can have 4,300 digits, and one more than that is a
ValueError where it is put into a message."""


class NoParams(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class ScaleParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Counts to set (`to`) and to change (`by`); all or nothing. With neither: the formation as it is."""

    to: dict[Name, Count] = {}
    by: dict[Name, Count] = {}


class NamesParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Types, instances or shell patterns; all when empty."""

    names: tuple[Name, ...] = ()


class StopParams(Struct, frozen=True, forbid_unknown_fields=True):
    """As `names`; to stop everything `all` must be said."""

    names: tuple[Name, ...] = ()
    all: bool = False


class SignalParams(Struct, frozen=True, forbid_unknown_fields=True):
    """`signal` is a name without SIG, sent to the group or with `leader` to the first process alone."""

    signal: str
    names: tuple[Name, ...]
    leader: bool = False


class LogsParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Kept output of these instances: the last `lines` (all that is kept where null), and with `follow` what comes.

    With `after` what comes after these offsets, whatever `lines` says: for a stream that goes on after an upgrade.
    """

    names: tuple[Name, ...] = ()
    lines: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] | None = None
    follow: bool = False
    after: dict[str, Annotated[int, msgspec.Meta(ge=0)]] | None = None


class EventsParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """With `after` the changes that came after the one of this number are told first, as far as they are kept."""

    after: Annotated[int, msgspec.Meta(ge=0)] | None = None


Cells = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""Columns or rows, as many as a terminal can have (struct winsize: ioctl_tty(2)); 0 where it is not known."""


class AttachParams(Struct, frozen=True, forbid_unknown_fields=True):
    """An instance, or a type that has exactly one; the size of the screen that shows it. With `read_only` nothing is typed."""

    instance: Name
    read_only: bool = False
    columns: Cells = 0
    rows: Cells = 0


class InputParams(Struct, frozen=True, forbid_unknown_fields=True):
    """What is typed into the instance of this connection's stream: `text`, or `base64` where it is not UTF-8."""

    stream: int
    text: str = ""
    base64: str = ""


class ResizeParams(Struct, frozen=True, forbid_unknown_fields=True):
    """The size of the screen that shows the stream; the instance's terminal follows that of the one who types."""

    stream: int
    columns: Cells
    rows: Cells


# ---- results


class Hello(Struct, frozen=True):
    """Who answers: procman's version, its pid, its root folder and the protocol's version; how often it was upgraded."""

    version: str
    pid: int
    root: str
    protocol: int
    upgrades: int = 0


class Ps(Struct, frozen=True):
    """The formation; `time` is when it was looked at."""

    pid: int
    root: str
    time: float
    fleet: FleetView


class Accepted(Struct, frozen=True):
    """A change that was accepted: the instances it touches and the formation that is wanted from now on."""

    instances: tuple[str, ...]
    formation: dict[str, int]


class Checked(Struct, frozen=True):
    """The installed program, of this version, has shown that it can take over, and does so now: `upgrading` follows."""

    version: str


class StreamStarted(Struct, frozen=True, omit_defaults=True):
    """Notifications with this id follow. It begins after `number`, the last change (`events`), or after these offsets of
    instances (`logs` with `follow`), in the program after so many upgrades.
    """

    stream: int
    number: int = 0
    after: dict[str, int] = {}
    upgrades: int = 0


class Typist(Struct, frozen=True):
    """Who types: its pid as procman sees it, 0 where that is not told, and since when."""

    pid: int
    since: float


class Keyboard(Struct, frozen=True):
    """Where what is typed goes. Without a `terminal` nowhere; `yours` where this stream is the one that types.

    Nobody is the `typist` of a free keyboard: the next stream that sends input is. `room` is how many bytes are taken
    at this moment.
    """

    terminal: bool
    yours: bool
    typist: Typist | None
    room: int


class Attached(Struct, frozen=True):
    """Notifications with this id follow. The first `kept` bytes of `output` were written before."""

    stream: int
    instance: str
    kept: int
    keyboard: Keyboard


class Taken(Struct, frozen=True):
    """How many bytes of the input were taken. The rest is to be sent again once a `keyboard` notification tells of room."""

    taken: int


# ---- notifications


class Output(Struct, frozen=True, omit_defaults=True):
    r"""Lines that an instance wrote at `time`: `text`, or `base64` where they are not UTF-8.

    `missed` is the number of bytes that a slow reader, or one that came too late, did not get before this.
    With `terminal` the lines are as they were written to one: with `\r\n`, and sequences that move a cursor.
    `after` is the offset of what comes next, in a stream of `logs`.
    """

    stream: int
    instance: str
    time: float
    text: str | None = None
    base64: str | None = None
    missed: int = 0
    terminal: bool = False
    after: int = 0


class Happened(Struct, frozen=True, omit_defaults=True):
    """Something changed at `time`; `missed` counts the changes that a slow reader did not get before this. Changes are
    numbered from 1, in a stream of `events`.
    """

    stream: int
    time: float
    change: Change
    missed: int = 0
    number: int = 0


class KeyboardChanged(Struct, frozen=True):
    """Somebody else types, nobody does any more, there is room again, or a new life has a terminal where the last had none."""

    stream: int
    keyboard: Keyboard


class StreamEnded(Struct, frozen=True):
    """The stream is complete (`logs` without `follow`), its instance was removed (`attach`), or procman ends."""

    stream: int


class Upgrading(Struct, frozen=True):
    """Another program takes procman's place, and the connection ends. What was asked and not answered was not done: connect
    again, which needs no waiting, and ask again. Streams can be opened where they were (`after`).
    """


NOTIFICATIONS: dict[str, type[Struct]] = {
    "output": Output,
    "event": Happened,
    "keyboard": KeyboardChanged,
    "end": StreamEnded,
    "upgrading": Upgrading,
}


class Method(Struct, frozen=True):
    """One row of the table: the types of the parameters and the result, and what it does in a line."""

    params: type[Struct]
    result: type[Struct]
    doc: str


METHODS: dict[str, Method] = {
    "hello": Method(NoParams, Hello, "who answers"),
    "ps": Method(NoParams, Ps, "the formation and every instance"),
    "scale": Method(ScaleParams, Accepted, "set or change counts; without any, tell them"),
    "restart": Method(NamesParams, Accepted, "a new life for the named instances; starts stopped ones"),
    "stop": Method(StopParams, Accepted, "stop the named instances and keep them stopped"),
    "signal": Method(SignalParams, Accepted, "send a signal to the named instances"),
    "logs": Method(LogsParams, StreamStarted, "stream kept output, then `output` and `end` notifications"),
    "events": Method(EventsParams, StreamStarted, "stream every change as an `event` notification"),
    "attach": Method(AttachParams, Attached, "stream an instance's `output` as it is written, and each `event` of it"),
    "input": Method(InputParams, Taken, "type into the instance of an `attach` stream of this connection"),
    "resize": Method(ResizeParams, Keyboard, "tell the size of the screen that shows an `attach` stream"),
    "reload": Method(NoParams, Accepted, "read the inputs again and apply what changed"),
    "upgrade": Method(NoParams, Checked, "let the installed procman take over, without touching what runs"),
    "shutdown": Method(NoParams, Accepted, "stop everything and end"),
}


# ---- the envelope


Id = int | str | None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """A call, or without an `id` a notification: that is carried out and never answered, not even with an error."""

    jsonrpc: Literal["2.0"]
    method: str
    params: Raw = Raw(b"{}")
    id: Id | UnsetType = UNSET


class ErrorData(Struct, frozen=True, omit_defaults=True):
    """What to do next."""

    hint: str = ""


class Error(Struct, frozen=True, omit_defaults=True):
    """Why not. The message of BAD_CONFIG has a line for each fault."""

    code: int
    message: str
    data: ErrorData = ErrorData()


class Incoming(Struct, frozen=True):
    """What a client receives: a response (`id` with `result` or `error`) or a notification (`method`, `params`)."""

    id: Id | UnsetType = UNSET
    result: Raw = Raw()
    error: Error | None = None
    method: str = ""
    params: Raw = Raw()


def encode_request(number: int, method: str, params: Struct) -> bytes:
    """One request as a line."""
    return _line({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def encode_result(number: Id, result: Struct) -> bytes:
    return _line({"jsonrpc": "2.0", "id": number, "result": result})


def encode_error(number: Id, code: int, message: str, hint: str = "") -> bytes:
    error = Error(code, message, ErrorData(hint)) if hint else Error(code, message)
    return _line({"jsonrpc": "2.0", "id": number, "error": error})


def encode_notification(method: str, params: Struct) -> bytes:
    return _line({"jsonrpc": "2.0", "method": method, "params": params})


_encoder = msgspec.json.Encoder()


def _line(message: dict[str, Any]) -> bytes:
    try:
        return _encoder.encode(message) + b"\n"
    except UnicodeEncodeError:  # a path or an argument that is not UTF-8 (PEP 383)
        return _encoder.encode(_clean(msgspec.to_builtins(message))) + b"\n"


def _clean(value: Any) -> Any:  # noqa: ANN401  whatever JSON holds
    """The value with U+FFFD for each byte that is not UTF-8."""
    match value:
        case str():
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        case dict():
            return {_clean(key): _clean(member) for key, member in value.items()}
        case list() | tuple():
            return [_clean(member) for member in value]
        case _:
            return value


# ---- the schema


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of every message, either way; `$defs` has each method's parameters and result."""
    types = [t for method in METHODS.values() for t in (method.params, method.result)]
    unique = list(dict.fromkeys([*types, *NOTIFICATIONS.values(), Error]))
    schemas, components = msgspec.json.schema_components(unique, ref_template="#/$defs/{name}")
    of = dict(zip(unique, schemas, strict=True))
    requests = [_request_schema(name, method, of[method.params]) for name, method in METHODS.items()]
    results = list(dict.fromkeys(method.result for method in METHODS.values()))
    responses = [_message_schema("result", "", {"id": _ID, "result": of[result]}) for result in results]
    failure = _message_schema("error", "The request was not carried out.", {"id": _ID, "error": of[Error]})
    told = [
        _message_schema(name, "", {"method": {"const": name}, "params": of[params]})
        for name, params in NOTIFICATIONS.items()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"procman control protocol, version {VERSION}",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in ("request", "response", "notification")],
        "$defs": {
            "request": {"oneOf": requests},
            "response": {"anyOf": [*responses, failure]},
            "notification": {"oneOf": told},
            **components,
        },
    }


_ID = {"type": ["integer", "string", "null"]}


def _request_schema(name: str, method: Method, params: dict[str, Any]) -> dict[str, Any]:
    schema = _message_schema(name, method.doc, {"method": {"const": name}, "params": params, "id": _ID})
    schema["required"] = ["jsonrpc", "method"]
    if any(field.required for field in msgspec.structs.fields(method.params)):
        schema["required"].append("params")
    return schema | {"additionalProperties": False}


def _message_schema(title: str, doc: str, members: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"title": title, "type": "object"}
    if doc:
        schema["description"] = doc
    return schema | {"required": ["jsonrpc", *members], "properties": {"jsonrpc": {"const": "2.0"}, **members}}
