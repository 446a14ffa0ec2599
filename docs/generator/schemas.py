"""JSON Schemas, as msgspec makes them, in a reader's words."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from generator.pages import flat, table

Schema: TypeAlias = dict[str, Any]
_WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": "null"}


def kind(schema: Schema, defs: Schema) -> str:
    """What a value is: `number, 0 to 31536000`, `list of text`, `always, never or on-failure`."""
    if "$ref" in schema:
        target = schema["$ref"].rpartition("/")[2]
        if "enum" in defs[target] or "anyOf" in defs[target]:
            return kind(defs[target], defs)
        return f"[{target}](#{target.lower()})"
    if "anyOf" in schema:
        return " or ".join(kind(one, defs) for one in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(f"`{word}`" for word in schema["enum"])
    if "examples" in schema:  # a number, or a word that stands for one
        word, *others = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return f"{_WORDS.get(word, word)}{' or' if others else ''} such as `{schema['examples'][0]}`"
    if isinstance(schema["type"], list):
        return " or ".join(_WORDS[one] if one in _WORDS else str(one) for one in schema["type"])
    word = str(schema["type"])
    match word:
        case "array":
            items = kind(schema["items"], defs)
            return f"list of {items.replace('whole number', 'whole numbers')}"
        case "object":
            return f"mapping of text to {kind(schema['additionalProperties'], defs)}"
        case _:
            return _WORDS.get(word, word) + _limits(schema)


def _limits(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    return f", {low} or more" if low is not None else ""


def fields(name: str, defs: Schema) -> str:
    """The members of an object as a table; `none` where it has none."""
    schema = defs[name]
    if not schema["properties"]:
        return ""
    required = schema["required"]
    rows = [
        (f"`{field}`", kind(member, defs), "required" if field in required else f"`{shown(member.get('default'))}`")
        for field, member in schema["properties"].items()
    ]
    return table(("member", "value", "default"), rows)


def shown(value: object) -> str:
    """A value as JSON."""
    return json.dumps(value)


def said(name: str, defs: Schema) -> str:
    """What an object is."""
    return flat(defs[name].get("description", ""))
