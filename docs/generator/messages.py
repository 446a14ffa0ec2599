"""The control protocol, from its own table of methods."""

from __future__ import annotations

import json

from generator.pages import table
from generator.protocol import json_schema
from generator.schemas import Schema, fields, said
from procman.control.codec import Code
from procman.control.methods import METHODS, NOTIFICATIONS

MEANINGS = {
    Code.PARSE_ERROR: "not JSON",
    Code.INVALID_REQUEST: "JSON, and no request: a batch, a wrong `jsonrpc`, an unknown member, a line over 64 KiB",
    Code.METHOD_NOT_FOUND: "no such method; the hint has the nearest name",
    Code.INVALID_PARAMS: "the parameters are not those of the method; the message has the path",
    Code.INTERNAL_ERROR: "procman is at fault",
    Code.REFUSED: "understood and not granted; `data.hint` says what to do next",
    Code.BAD_CONFIG: "`reload`: the inputs are wrong; the message has a line for each fault",
}


def methods() -> str:
    """Every method with its parameters and its result."""
    defs = json_schema()["$defs"]
    parts = []
    for name, method in METHODS.items():
        access = f"Access: {method.access.value}."
        parts.append(f"### `{name}` method\n\n{method.doc[:1].upper()}{method.doc[1:]}. {access}")
        params = fields(method.params.__name__, defs)
        if params:
            parts += [f"Parameters: {said(method.params.__name__, defs)}", params]
        else:
            parts.append("No parameters.")
        parts.append(f"Result: [{method.result.__name__}](#{method.result.__name__.lower()}).")
    return "\n\n".join(parts)


def notifications() -> str:
    """What a stream tells."""
    defs = json_schema()["$defs"]
    return "\n\n".join(_value(f"### `{name}` notification", s.__name__, defs) for name, s in NOTIFICATIONS.items())


def values() -> str:
    """The results, and the values in them."""
    defs = json_schema()["$defs"]
    results = dict.fromkeys(method.result.__name__ for method in METHODS.values())
    names = [
        *results,
        "FleetView",
        "InstanceView",
        "TypeView",
        "Typist",
        "Change",
        "CountChange",
        "PathStep",
        "OrphanView",
    ]
    return "\n\n".join(_value(f"### {name}", name, defs) for name in names)


def _value(title: str, name: str, defs: Schema) -> str:
    return "\n\n".join([title, said(name, defs), fields(name, defs)])


def errors() -> str:
    """The codes of errors."""
    rows = [(f"`{code.value}`", code.name.lower().replace("_", " "), MEANINGS[code]) for code in Code]
    return table(("code", "name", "meaning"), rows)


def schema() -> str:
    """The whole of it for programs."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
