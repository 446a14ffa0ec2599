"""What becomes of a key of procman.yml: values as they are written -> fields of a `ProcessSpec`. Pure.

Each function here is the `policy` of a row in keys.py. It gets what stands in the file, or UNSET, and returns the fields
that follow from it; a value of the wrong type never comes here, and one that checks.py refuses may be dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import UNSET, Struct, UnsetType, structs

from procman.config.source import absolute
from procman.core.policies import Drain
from procman.core.spec import RestartPolicy, StopPolicy
from procman.text.signals import KNOWN, signal_number

if TYPE_CHECKING:
    from procman.config.keys import DefaultsSection
    from procman.config.sections import DrainSection, RestartSection, StopSection


class SpecContext(Struct, frozen=True):
    """What a value means may depend on: the root, the file's `defaults`, the names of all types, and procman's own grace."""

    root: str
    defaults: DefaultsSection
    types: frozenset[str]
    grace: float


Fields: TypeAlias = Mapping[str, Any]
Policy: TypeAlias = Callable[[Any, SpecContext], Fields]

Complaint: TypeAlias = tuple[str, str, str]
"""Where in the value (`.signal`, `[2]`, or ""), what cannot be done, and a hint."""

Check: TypeAlias = Callable[[Any, SpecContext], Iterable[Complaint]]


def field(name: str) -> Policy:
    """The value as it is written, for this field."""

    def policy(value: Any, _context: SpecContext) -> Fields:  # noqa: ANN401  whatever the row's kind is
        return {} if value is UNSET else {name: value}

    return policy


def written(section: Struct) -> dict[str, Any]:
    """The keys of a section that were written, with their values."""
    return {name: value for name, value in structs.asdict(section).items() if value is not UNSET}


def folder(value: str | UnsetType, context: SpecContext) -> Fields:
    return {} if value is UNSET else {"cwd": absolute(value, context.root)}


# Cached, so that types for which the same is said share one value: a type would take 184 bytes more.


@lru_cache
def _successes(listed: tuple[int, ...]) -> tuple[int, ...]:
    """0 always is one; in order, so that another way to write the same codes is no change."""
    return tuple(sorted({0, *listed}))


def successes(value: tuple[int, ...] | UnsetType, _context: SpecContext) -> Fields:
    return {} if value is UNSET else {"success_exit_codes": _successes(value)}


@lru_cache
def _restart(own: RestartSection, defaults: RestartSection) -> RestartPolicy:
    return RestartPolicy(**(written(defaults) | written(own)))


def restart(value: RestartSection, context: SpecContext) -> Fields:
    return {"restart": _restart(value, context.defaults.restart)}


@lru_cache
def _stop(own: StopSection, defaults: StopSection, grace: float) -> StopPolicy:
    values: dict[str, Any] = {"grace": grace} | written(defaults) | written(own)
    name = values.get("signal", "TERM").removeprefix("SIG")
    if name in KNOWN:
        values |= {"signal": name, "exit_code": 128 + signal_number(name)}
    if "drain" in values:
        values["drain"] = drain(values["drain"])
    return StopPolicy(**values)


def stop(value: StopSection, context: SpecContext) -> Fields:
    return {"stop": _stop(value, context.defaults.stop, context.grace)}


def drain(value: float | DrainSection) -> Drain:
    """`drain: 2.5` and `drain: {seconds: 20, signal: TSTP}`."""
    if isinstance(value, int | float):
        return Drain(seconds=value)
    values = written(value)
    if "signal" in values:
        values["signal"] = values["signal"].removeprefix("SIG")
    if "exec" in values:
        values["command"] = values.pop("exec")
    return Drain(**values)
