"""Writes a `Converted` as the texts of the Procfile, procman.yml and .env. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from procman.convert.result import Converted, ProcessType
from procman.known.yamltext import flow, flow_key

_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./-]*")
_WIDTH = 100
"""Most characters of a mapping in braces; a longer one has lines of its own."""


def procfile(converted: Converted, origin: str) -> str:
    """The Procfile: a comment with its source, then a line for each type."""
    lines = [f"# {origin}", *(f"{made.name}: {made.command}" for made in converted.types)]
    return "\n".join(lines) + "\n"


def procman_yml(converted: Converted, origin: str) -> str:
    """procman.yml, "" if it would be empty."""
    counts = {made.name: made.count for made in converted.types if made.count != 1}
    said = [made for made in converted.types if made.settings or made.notes]
    if not counts and not said:
        return ""
    lines = [f"# How to run the process types of the Procfile. {origin}"]
    if counts:
        lines += ["", f"formation: {flow(counts)}"]
    if said:
        lines += ["", "processes:"]
        for made in said:
            lines += _type(made)
    return "\n".join(lines) + "\n"


def _type(made: ProcessType) -> list[str]:
    notes = [f"  # {note}" for note in made.notes]
    if not made.settings:
        return [*notes, f"  {flow_key(made.name)}: {{}}"]
    return [*notes, f"  {flow_key(made.name)}:", *_members(made.settings, "    ")]


def _members(settings: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in settings.items():
        short = f"{indent}{flow_key(key)}: {flow(value)}"
        if isinstance(value, Mapping) and len(short) > _WIDTH:
            lines += [f"{indent}{flow_key(key)}:", *_members(value, indent + "  ")]
        else:
            lines.append(short)
    return lines


def env(converted: Converted, origin: str) -> str:
    """.env, "" if no variable is for all types."""
    if not converted.env:
        return ""
    lines = [f"# {origin}", *(f"{name}={_env_value(value)}" for name, value in converted.env.items())]
    return "\n".join(lines) + "\n"


def _env_value(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
