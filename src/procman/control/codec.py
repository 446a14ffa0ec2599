"""The control protocol as bytes: JSON-RPC 2.0, one message per line, named parameters, no batches.

Owns the envelope, and converts values to lines and back. Knows no method.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

MAX_REQUEST = 64 * 1024
"""Longest request in bytes, newline included."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Errors that reading a message can raise, whatever the message contains."""


class Code(IntEnum):
    """Codes of errors: those of JSON-RPC, then procman's own (positive, like the exit codes of commands)."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    REFUSED = 1
    BAD_CONFIG = 2


Id = int | str | None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """A call. Without an `id` it is a notification: carried out and never answered, not even with an error."""

    jsonrpc: Literal["2.0"]
    method: str
    params: Raw = Raw(b"{}")
    id: Id | UnsetType = UNSET


class ErrorData(Struct, frozen=True, omit_defaults=True):
    """What to do next."""

    hint: str = ""


class Error(Struct, frozen=True, omit_defaults=True):
    """The reason for a failure. The message of BAD_CONFIG has a line for each fault."""

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
    return _line({"jsonrpc": "2.0", "id": number, "method": method, "params": members(params)})


def encode_result(number: Id, result: Struct) -> bytes:
    return _line({"jsonrpc": "2.0", "id": number, "result": result})


def encode_error(number: Id, code: int, message: str, hint: str = "") -> bytes:
    error = Error(code, message, ErrorData(hint)) if hint else Error(code, message)
    return _line({"jsonrpc": "2.0", "id": number, "error": error})


def encode_notification(method: str, params: Struct) -> bytes:
    return _line({"jsonrpc": "2.0", "method": method, "params": params})


def members(params: Struct) -> dict[str, Any]:
    """The parameters as they are sent: without defaults, so that an older procman accepts them, and without the tag
    that commands of the core have in a trace.
    """
    sent: dict[str, Any] = msgspec.to_builtins(params)
    tag = params.__struct_config__.tag_field
    if tag is not None:
        del sent[tag]
    return sent


_encoder = msgspec.json.Encoder()


def _line(message: dict[str, Any]) -> bytes:
    try:
        return _encoder.encode(message) + b"\n"
    except UnicodeEncodeError:  # a path or an argument that is not UTF-8 (PEP 383)
        return _encoder.encode(_clean(msgspec.to_builtins(message))) + b"\n"


def _clean(value: Any) -> Any:  # noqa: ANN401  whatever JSON holds
    """The value with U+FFFD in place of each byte that is not UTF-8."""
    match value:
        case str():
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        case dict():
            return {_clean(key): _clean(member) for key, member in value.items()}
        case list() | tuple():
            return [_clean(member) for member in value]
        case _:
            return value
