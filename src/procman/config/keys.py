"""The keys of procman.yml, a row for each, used by the reader, the plan, the JSON Schema and the reference.

A row is a field: its name is the key and its type is the type of the value. `key(...)` holds its description, how it
becomes the value of the field of the same name of a `ProcessSpec` (`policy`), the check of a value of the right type
(`check`), and the default, where that is not the spec's own (`default`). To add a key is to add a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from procman.config import checks, policies
from procman.config.policies import Check, Policy
from procman.config.sections import (
    AsWritten,
    Counted,
    DefaultsSection,
    ExitCode,
    Filled,
    GroupSection,
    HealthSection,
    Needed,
    Port,
    ProbeWord,
    ReadySection,
    RecycleSection,
    RestartSection,
    RollingSection,
    StopSection,
    Times,
)
from procman.core.autoscale_settings import Autoscale
from procman.core.balancer_settings import Balancer
from procman.core.spec import OnEnd, Stdin
from procman.text.quantities import about

ROW = "row"
"""The key in `Meta.extra` of a `KeyRow`."""


class KeyRow(NamedTuple):
    """What a key of procman.yml means. One without a policy is kept for companions that ask for it: `Plan.sections`."""

    policy: Policy | None
    check: Check | None
    default: str | None


def key(
    text: str, policy: Policy | None = policies.unchanged, check: Check | None = None, default: str | None = None
) -> Meta:
    """The row of a key; `text` is its description in the reference."""
    return Meta(description=text, extra={ROW: KeyRow(policy, check, default)})


def for_companion(text: str, check: Check, default: str) -> Meta:
    """The row of a key that only a companion needs."""
    return key(text, None, check, default)


class ProcessSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How every instance of one process type is run."""

    env: Annotated[
        dict[str, AsWritten],
        key("Variables in addition to the environment that all types get", check=checks.variables, default="`{}`"),
    ] = {}
    port: Annotated[
        Port | UnsetType,
        key("PORT of the first instance; the next ones count up", default="by the type's place in the Procfile"),
    ] = UNSET
    cwd: Annotated[
        Filled | UnsetType, key("Working directory, relative to the root", policies.folder, checks.folder, "the root")
    ] = UNSET
    restart: Annotated[
        RestartSection, key("When and how soon an ended instance is started again", policies.restart)
    ] = RestartSection()
    stop: Annotated[StopSection, key("How an instance is stopped", policies.stop, checks.stop)] = StopSection()
    success_exit_codes: Annotated[
        tuple[ExitCode, ...] | UnsetType,
        key("Exit codes that mean done, besides 0", policies.successes, default="`[0]`"),
    ] = UNSET
    on_end: Annotated[
        OnEnd | UnsetType,
        key(
            "exit: the first end of an instance stops everything; exit-on-failure: only the end of one that failed and is not restarted"
        ),
    ] = UNSET
    stdin: Annotated[
        Stdin | UnsetType, key("open: a pipe that nobody writes to, for programs that end when their input ends")
    ] = UNSET
    tty: Annotated[
        bool | UnsetType,
        key(
            "Each instance has a terminal of its own: colours, prompts, debuggers",
            default="whether standard output is a terminal",
        ),
    ] = UNSET
    watch: Annotated[
        tuple[Filled, ...] | UnsetType,
        for_companion(
            "With `start --watch`: patterns of files, relative to the root. When such a file changes, the type is restarted",
            checks.patterns,
            "every file, where no type has this key",
        ),
    ] = UNSET
    ready: Annotated[
        ProbeWord | ReadySection | UnsetType,
        key(
            "When a new process counts as ready: tcp, notify, or a mapping",
            policies.ready,
            checks.probe,
            "a second after its start",
        ),
    ] = UNSET
    health: Annotated[
        ProbeWord | HealthSection | UnsetType,
        key(
            "Whether a ready process still works: the same probes, repeated",
            policies.health,
            checks.probe,
            "not checked",
        ),
    ] = UNSET
    depends_on: Annotated[
        tuple[Filled, ...] | dict[str, Needed] | UnsetType,
        key("Types that it waits for at the start. They stop after it", policies.depends_on, checks.dependencies),
    ] = UNSET
    rolling: Annotated[
        RollingSection | UnsetType, key("How instances are replaced one after another", policies.rolling, default="")
    ] = UNSET
    recycle: Annotated[
        RecycleSection | UnsetType,
        key("When an instance is replaced although it works", policies.recycle, checks.recycling, "never"),
    ] = UNSET
    socket: Annotated[
        Filled | dict[str, Filled] | UnsetType,
        key(
            "A listening socket that all its instances share: tcp://HOST:PORT or unix://PATH, or several by name",
            policies.sockets,
            checks.sockets,
            "each instance opens its own",
        ),
    ] = UNSET
    oneshot: Annotated[
        bool | UnsetType,
        key(
            "A one-off runs to its end: no port, and no restart unless `restart.max_restarts` is set",
            default="`true` for `release`, else `false`",
        ),
    ] = UNSET
    autoscale: Annotated[
        Filled | Autoscale | UnsetType,
        for_companion("Let the count follow demand: MIN..MAX by CPU, or a mapping", checks.autoscale, "a fixed count"),
    ] = UNSET
    balancer: Annotated[
        Filled | Balancer | UnsetType,
        for_companion(
            "Keep a load balancer in step with the ready instances: the path of HAProxy's socket, or a mapping",
            checks.balancer,
            "none",
        ),
    ] = UNSET
    max: Annotated[Times | UnsetType, key("Most instances; with 1 there is never a second one")] = UNSET


class ProcmanYml(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to run the process types of the Procfile."""

    formation: Annotated[dict[str, Counted], about("Instances of each process type at the start")] = {}
    defaults: DefaultsSection = DefaultsSection()
    processes: Annotated[dict[str, ProcessSection], about("Settings by process type")] = {}
    groups: Annotated[
        dict[str, GroupSection], about("Process types that are started, restarted and stopped together")
    ] = {}
    release: Annotated[
        bool, about("Run the type `release` to success before anything else, as `start --release` does")
    ] = False
    keep_counts: Annotated[
        bool, about("Counts that a person or the autoscaler set while procman ran are kept for the next start")
    ] = False


@cache
def rows() -> dict[str, KeyRow]:
    """The rows of a process type, by key."""
    return {field.name: field.type.__metadata__[-1].extra[ROW] for field in msgspec.structs.fields(ProcessSection)}


def companion_values(section: ProcessSection) -> Iterator[tuple[str, Any]]:
    """The keys of a section that are meant for a companion, with their values as JSON."""
    for key, row in rows().items():
        value = getattr(section, key)
        if row.policy is None and value is not UNSET:
            yield key, msgspec.to_builtins(value)
