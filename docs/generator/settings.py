"""The keys of procman.yml, from the definition that reads them; the defaults from the values that the core runs by."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from msgspec.structs import fields

from generator.pages import table
from generator.schemas import Schema, kind, shown
from procman.config.sections import schema
from procman.core.spec import ProcessSpec, RestartPolicy, StopPolicy

PLACES: dict[str, type[Struct]] = {"restart": RestartPolicy, "stop": StopPolicy, "processes.*": ProcessSpec}
ELSEWHERE = {
    "processes.*.port": "by the type's place in the Procfile",
    "processes.*.cwd": "the root",
    "processes.*.tty": "whether standard output is a terminal",
    "processes.*.watch": "every file, where no type has this key",
    "stop.grace": "`10.0`; `25.0` as PID 1",
}


def keys() -> str:
    """Every key: where it stands, what it takes, what holds without it, what it does."""
    defs = schema()["$defs"]
    parts = [
        _section("Top level", "", "Settings", defs),
        _section("`processes.NAME`: one type", "processes.*", "Process", defs),
        _section("`restart`, in `defaults` and in `processes.NAME`", "restart", "Restart", defs),
        _section("`stop`, in `defaults` and in `processes.NAME`", "stop", "Stop", defs),
    ]
    return "\n\n".join(parts)


def _section(title: str, place: str, name: str, defs: Schema) -> str:
    rows = [_row(place, key, member, defs) for key, member in defs[name]["properties"].items()]
    return f"### {title}\n\n" + table(("key", "value", "default", "what it does"), rows)


def _row(place: str, key: str, member: Schema, defs: Schema) -> tuple[str, str, str, str]:
    target = member.get("$ref", "").rpartition("/")[2]
    if target in ("Restart", "Stop", "Defaults") or key == "processes":
        value, default = "mapping", ""
    else:
        value, default = kind(member, defs), _default(f"{place}.{key}".strip("."))
    said = member.get("description") or (defs[target].get("description", "").rstrip(".") if target else "")
    return f"`{key}`", value, default, said


def _default(path: str) -> str:
    if path in ELSEWHERE:
        return ELSEWHERE[path]
    place, _, key = path.rpartition(".")
    found = next((f.default for f in fields(PLACES[place]) if f.encode_name == key), None) if place in PLACES else {}
    if key == "env":
        found = {}
    return f"`{shown(found.value if isinstance(found, Enum) else found)}`"
