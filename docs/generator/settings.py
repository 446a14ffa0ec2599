"""The keys of procman.yml, from the rows that read them; the defaults from the values that the core runs by."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from generator.pages import table
from generator.schemas import Schema, kind, shown
from procman.config.keys import ProcmanYml, rows
from procman.core.policies import Drain, Health, Readiness, Recycle, Rolling
from procman.core.spec import ProcessSpec, RestartPolicy, StopPolicy

POLICIES: dict[str, type[Struct]] = {
    "ProcessSection": ProcessSpec,
    "RestartSection": RestartPolicy,
    "StopSection": StopPolicy,
    "DrainSection": Drain,
    "ReadySection": Readiness,
    "HealthSection": Health,
    "RollingSection": Rolling,
    "RecycleSection": Recycle,
}
"""What the sections become: a key that they do not set has the default of the field of its name."""

ELSEWHERE = {"StopSection.grace": "`10.0`; `25.0` as PID 1"}
TITLES = {
    "ProcmanYml": "Top level",
    "ProcessSection": "`processes.NAME`: one type",
    "HaproxyBalancer": "`haproxy` of `balancer`",
    "HaproxySource": "`haproxy` of `metrics`",
}


def keys() -> str:
    """Every key: where it stands, what it takes, what holds without it, what it does."""
    defs = _schema()["$defs"]
    return "\n\n".join(_section(name, key, defs) for name, key in _sections(defs).items())


def _sections(defs: Schema) -> dict[str, str]:
    """Every mapping with keys of its own, in the order in which one meets them, and the first key that leads there."""
    found = {"ProcmanYml": ""}
    waiting = ["ProcmanYml"]
    while waiting:
        for key, member in defs[waiting.pop(0)]["properties"].items():
            for name in re.findall(r"'#/\$defs/(\w+)'", str(member)):
                if name not in found and "properties" in defs[name]:
                    found[name] = key
                    waiting.append(name)
    return found


def _section(name: str, key: str, defs: Schema) -> str:
    title = TITLES.get(name, f"`{key}`")
    listed = [_row(name, key, member, defs) for key, member in defs[name]["properties"].items()]
    return f"### {title}\n\n" + table(("key", "value", "default", "what it does"), listed)


def _row(section: str, key: str, member: Schema, defs: Schema) -> tuple[str, str, str, str]:
    value = re.sub(r"\[\w+\]\(#\w+\)", "mapping", kind(member, defs)).replace("mapping of text to mapping", "mapping")
    target = member.get("$ref", "").rpartition("/")[2]
    default = "" if value == "mapping" else _default(section, key, member)
    said = member.get("description") or (defs[target].get("description", "").rstrip(".") if target else "")
    return f"`{key}`", value, default, said


def _default(section: str, key: str, member: Schema) -> str:
    if f"{section}.{key}" in ELSEWHERE:
        return ELSEWHERE[f"{section}.{key}"]
    if section == "ProcessSection" and (said := rows()[key].default) is not None:
        return said
    if "default" in member:
        return f"`{shown(member['default'])}`"
    found = (
        next((f.default for f in fields(POLICIES[section]) if f.encode_name == key), "") if section in POLICIES else ""
    )
    if found == "" or isinstance(found, Struct) or type(found).__name__ == "NoDefault":
        return ""
    return f"`{shown(found.value if isinstance(found, Enum) else found)}`"


def _schema() -> Schema:
    """The JSON Schema of procman.yml."""
    generated = msgspec.json.schema(ProcmanYml)
    _allow_words(generated)
    env = generated["$defs"]["ProcessSection"]["properties"]["env"]
    # the type AsWritten, which msgspec cannot describe
    env["additionalProperties"]["type"] = ["string", "number", "boolean"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "procman.yml", **generated}


def _allow_words(part: Any) -> None:  # noqa: ANN401  any part of a JSON Schema
    """Let a number with a pattern also be written as a word, which msgspec's schema does not know."""
    match part:
        case {"type": "number" | "integer" as kind, "pattern": str()}:
            part["type"] = [kind, "string"]
        case dict():
            for member in part.values():
                _allow_words(member)
        case list():
            for member in part:
                _allow_words(member)


def schema_text() -> str:
    """The content of procman.schema.json."""
    return json.dumps(_schema(), indent=2, ensure_ascii=False) + "\n"
