"""What the verbs print with `--json`, as JSON Schema."""

from __future__ import annotations

import json

import msgspec

from procman.observe.listing import Listing


def ps_schema() -> str:
    """The schema of `procman ps --json`."""
    (schema,), components = msgspec.json.schema_components([Listing], ref_template="#/$defs/{name}")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "procman ps --json"}
    return json.dumps({**head, **schema, "$defs": components}, indent=2) + "\n"
