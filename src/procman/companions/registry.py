"""The companions: a row for each, and how a row becomes a `ProcessSpec` in `Plan.companions`.

To add a companion, add a package with `settings(plan)` and a `__main__`, and a row here. Its settings are one value, a
frozen Struct; the program reads it with `own_settings`.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from procman.core.spec import BaseEnvironment, CompanionWords, ProcessSpec, RestartPolicy, StopPolicy, When

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
    """`program` is its package, which has `settings(plan) -> Struct | None` (None: nothing to do for this plan). `words`
    are what `procman why` says of it. `option` is the option of `start` that asks for it; None: only procman.yml asks
    for it. `needs` is a module that procman itself does without.
    """

    name: str
    program: str
    words: CompanionWords
    option: str | None = None
    needs: str | None = None


COMPANIONS = (
    Companion(
        "@watch",
        "watcher",
        CompanionWords("it restarts the types whose files change", "until then changed files restart nothing"),
        option="watch",
        needs="watchfiles",
    ),
    Companion(
        "@autoscale",
        "autoscaler",
        CompanionWords(
            "it scales the types that have `autoscale:` by their metrics",
            "until then the counts that depend on it stay, or go to their `fallback`",
            "`procman autoscale` shows readings and decisions; `procman scale TYPE=N --force` sets a count meanwhile",
        ),
    ),
    Companion(
        "@balancer",
        "balancer",
        CompanionWords(
            "it keeps the load balancer in step with the instances that are ready",
            "until then new instances may get no requests, and a stop waits at most for its `drain`",
        ),
    ),
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
    """How it is run. `-P`: files in the application's folder, which is the current one, are not procman's modules."""
    words = [sys.executable, "-P", "-m", f"{__package__}.{row.program}"]
    return ProcessSpec(
        type=row.name,
        command=f"exec {shlex.join(words)}",
        cwd=root,
        base=BaseEnvironment(inherited=dict(environ)),
        env={SETTINGS: msgspec.json.encode(settings).decode()},
        restart=RestartPolicy(policy=When.ALWAYS),
        stop=StopPolicy(grace=GRACE),
        words=row.words,
    )


def own_settings(kind: type[S]) -> S:
    """The settings that this program, a companion, was started with."""
    return msgspec.json.decode(os.environ[SETTINGS], type=kind)
