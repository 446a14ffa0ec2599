"""The JSON Schema of the control protocol, made from its table of methods."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from procman.control.codec import Error
from procman.control.methods import METHODS, NOTIFICATIONS, VERSION, Method


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of every message in both directions; `$defs` has each method's parameters and result."""
    types: list[type[Struct]] = [t for method in METHODS.values() for t in (method.params, method.result)]
    unique: list[type[Struct]] = list(dict.fromkeys([*types, *NOTIFICATIONS.values(), Error]))
    schemas, components = msgspec.json.schema_components(unique, ref_template="#/$defs/{name}")
    of = dict(zip(unique, schemas, strict=True))
    for kind in unique:
        if (tag := kind.__struct_config__.tag_field) is not None:  # a command of the core: tagged in a trace, not here
            _untag(components[kind.__name__], tag)
    components["Kind"] = _open(components["Kind"])
    requests = [_request_schema(name, method, of[method.params]) for name, method in METHODS.items()]
    results = list(dict.fromkeys(method.result for method in METHODS.values()))
    responses = [_message_schema("result", "", {"id": _ID, "result": of[result]}) for result in results]
    failure = _message_schema("error", "The request was not carried out.", {"id": _ID, "error": of[Error]})
    notifications = [
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
            "notification": {"oneOf": notifications},
            **components,
        },
    }


def _untag(schema: dict[str, Any], tag: str) -> None:
    del schema["properties"][tag]
    schema["required"].remove(tag)


def _open(enum: dict[str, Any]) -> dict[str, Any]:
    """Words to which later versions may add."""
    return {
        "title": enum["title"],
        "description": enum["description"],
        "anyOf": [{"enum": enum["enum"]}, {"type": "string"}],
    }


_ID = {"type": ["integer", "string", "null"]}


def _request_schema(name: str, method: Method[Any, Any], params: dict[str, Any]) -> dict[str, Any]:
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
