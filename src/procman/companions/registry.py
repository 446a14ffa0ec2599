"""The companions: a row for each, and how a row becomes a `ProcessSpec` in `Plan.companions`.

To add a companion, add a package with a `main(settings)` in its `__main__`, and a row here. Its settings are one value,
a frozen Struct, made from the plan; the program reads it with `own_settings`.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from procman.core.spec import BaseEnvironment, ProcessSpec, RestartPolicy, StopPolicy, When

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from msgspec import Struct

    from procman.core.spec import Plan

GRACE = 2.0
"""Seconds from TERM to KILL: a companion has nothing to finish."""

SETTINGS = "PROCMAN_COMPANION"
"""The variable that holds a companion's settings as JSON: other users can read its command line, but not its
environment.
"""

S = TypeVar("S")


class Companion(NamedTuple):
    """`program` is its package, which has `settings(plan) -> Struct | None` (None: nothing to do for this plan).
    `option` is the option of `start` that asks for it; None: only procman.yml asks for it. `needs` is a module that
    procman itself does without.
    """

    name: str
    program: str
    option: str | None = None
    needs: str | None = None


COMPANIONS = (
    Companion("@watch", "watcher", option="watch", needs="watchfiles"),
    Companion("@autoscale", "autoscaler"),
    Companion("@balancer", "balancer"),
)


def wanted(plan: Plan, options: Collection[str], environ: Mapping[str, str]) -> dict[str, ProcessSpec]:
    """The companions of this plan, by name. `options` are the options of `start` that were given and ask for one.

    They get procman's own environment, not the application's, whose PYTHONPATH is not meant for them.
    """
    found = {}
    for row in COMPANIONS:
        if row.option in options or (row.option is None and plan.sections):
            settings = importlib.import_module(f"{__package__}.{row.program}").settings(plan)
            if settings is not None:
                found[row.name] = spec_of(row, settings, plan.root, environ)
    return found


def spec_of(row: Companion, settings: Struct, root: str, environ: Mapping[str, str]) -> ProcessSpec:
    """How it is run. `-P`: files in the application's folder, which is the current one, are no modules of procman's."""
    words = [sys.executable, "-P", "-m", f"{__package__}.{row.program}"]
    return ProcessSpec(
        type=row.name,
        command=f"exec {shlex.join(words)}",
        cwd=root,
        base=BaseEnvironment(inherited=dict(environ)),
        env={SETTINGS: msgspec.json.encode(settings).decode()},
        restart=RestartPolicy(policy=When.ALWAYS),
        stop=StopPolicy(grace=GRACE),
    )


def own_settings(kind: type[S]) -> S:
    """The settings that this program, a companion, was started with."""
    return msgspec.json.decode(os.environ[SETTINGS], type=kind)
