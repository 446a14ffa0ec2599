"""The keys of procman.yml: their types, their limits, what they mean, and the JSON Schema that says so to editors.

One definition serves the reader (yamlfile.py), which converts each value to the type that stands here, and the schema.
A key that was not written is UNSET, so that a process can override `defaults` key by key. Knows neither YAML nor files.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from procman.core.spec import MAX_COUNT, Count, OnEnd, Stdin, StopMode, When
from procman.errors import Fault

YEAR = 365 * 86400
"""Longest time that can be set. Infinity is no number of JSON, and poll(2) counts milliseconds in 31 bits or so."""

Seconds = Annotated[float, Meta(ge=0, le=YEAR)]
ExitCode = Annotated[int, Meta(ge=0, le=255)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Filled = Annotated[str, Meta(min_length=1)]
Restarts = Annotated[int, Meta(ge=0)] | None
AsWritten = Annotated[str, Meta(description="Numbers and booleans are kept as written")]


class RestartSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how soon an ended instance is started again."""

    policy: Annotated[When, Meta(description="Which ends bring an instance back")] | UnsetType = UNSET
    delay: Annotated[Seconds, Meta(description="Seconds before the first; 0: at once")] | UnsetType = UNSET
    max_delay: Annotated[Seconds, Meta(description="What the delay doubles up to, seconds")] | UnsetType = UNSET
    reset_after: Annotated[Seconds, Meta(description="Ready this long, the delay starts over")] | UnsetType = UNSET
    max_restarts: (
        Annotated[Restarts, Meta(description="Restarts in a row before an instance is failed; null: no end")]
        | UnsetType
    ) = UNSET
    no_retry_exit_codes: (
        Annotated[tuple[ExitCode, ...], Meta(description="Exit codes after which an instance is failed at once")]
        | UnsetType
    ) = UNSET


class StopSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an instance is stopped."""

    signal: Annotated[Filled, Meta(description="The stop signal by name: TERM, INT, QUIT …")] | UnsetType = UNSET
    grace: Annotated[Seconds, Meta(description="Seconds from the stop signal to KILL")] | UnsetType = UNSET
    mode: Annotated[StopMode, Meta(description="Who gets the stop signal first")] | UnsetType = UNSET


class ProcessSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How every instance of one process type is run."""

    env: Annotated[dict[str, AsWritten], Meta(description="Variables on top of everybody's environment")] = {}
    port: Annotated[Port, Meta(description="PORT of the first instance; the next ones count up")] | UnsetType = UNSET
    cwd: Annotated[Filled, Meta(description="Working directory, relative to the root")] | UnsetType = UNSET
    restart: RestartSection = RestartSection()
    stop: StopSection = StopSection()
    success_exit_codes: (
        Annotated[tuple[ExitCode, ...], Meta(description="Exit codes that mean done, besides 0")] | UnsetType
    ) = UNSET
    on_end: (
        Annotated[OnEnd, Meta(description="exit: when an instance is done or failed, everything stops")] | UnsetType
    ) = UNSET
    stdin: (
        Annotated[Stdin, Meta(description="open: a pipe never written, for programs that leave when input ends")]
        | UnsetType
    ) = UNSET
    tty: (
        Annotated[bool, Meta(description="Each instance has a terminal of its own: colours, prompts, debuggers")]
        | UnsetType
    ) = UNSET
    watch: (
        Annotated[
            tuple[Filled, ...],
            Meta(description="With `start --watch`: patterns of files, relative to the root, whose change restarts it"),
        ]
        | UnsetType
    ) = UNSET
    max: Annotated[int, Meta(ge=1, le=MAX_COUNT, description="Most instances; 1 makes a singleton")] | UnsetType = UNSET


class DefaultsSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for every process type that does not say otherwise."""

    restart: RestartSection = RestartSection()
    stop: StopSection = StopSection()


class ProcmanYml(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to run the process types of the Procfile."""

    formation: Annotated[dict[str, Count], Meta(description="Instances of each process type at the start")] = {}
    defaults: DefaultsSection = DefaultsSection()
    processes: Annotated[dict[str, ProcessSection], Meta(description="Settings by process type")] = {}


class Document(Struct, frozen=True):
    """A procman.yml: its settings, and the line of each value by its path (`processes.web.stop.grace`)."""

    settings: ProcmanYml = ProcmanYml()
    lines: dict[str, int] = {}
    file: str = ""

    def fault(self, path: str, message: str, hint: str = "") -> Fault:
        return Fault(self.file, self.lines.get(path, 0), f"{path}: {message}", hint)


def schema() -> dict[str, Any]:
    """The JSON Schema of procman.yml."""
    generated = msgspec.json.schema(ProcmanYml)
    env = generated["$defs"]["Process"]["properties"]["env"]
    env["additionalProperties"]["type"] = [
        "string",
        "number",
        "boolean",
    ]  # what AsWritten takes, and msgspec cannot say
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "procman.yml", **generated}


def schema_text() -> str:
    """The content of procman.schema.json."""
    import json  # noqa: PLC0415  1 ms at import, which every start would pay

    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
