"""Counters of a type, which outlast its slots."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from procman.core.events import ExitStatus
from procman.core.phases import UP, Instance, Ready
from procman.core.spec import ProcessSpec
from procman.core.view import TypeView


class TypeCounts(Struct, frozen=True):
    """Processes that were started, and how often each exit code was seen."""

    starts: int = 0
    exits: dict[int, int] = {}


_NONE: dict[int, int] = {}
"""Never changed, as most types have seen no exit: the trace keeps a state with an entry for each type."""


class Counters:
    def __init__(self, counts: dict[str, TypeCounts] | None = None) -> None:
        self._starts = {name: one.starts for name, one in (counts or {}).items()}
        self._exits = {name: dict(one.exits) for name, one in (counts or {}).items()}

    def state(self) -> dict[str, TypeCounts]:
        exits = {name: dict(of_type) for name, of_type in self._exits.items()}
        return {name: TypeCounts(starts, exits.get(name, _NONE)) for name, starts in self._starts.items()}

    def started(self, type_name: str) -> None:
        self._starts[type_name] = self._starts.get(type_name, 0) + 1

    def ended(self, type_name: str, status: ExitStatus) -> None:
        exits = self._exits.setdefault(type_name, {})
        exits[status.code] = exits.get(status.code, 0) + 1

    def view(
        self, spec: ProcessSpec, desired: int, slots: Iterable[Instance], *, crash_loop: bool, rollout: str | None
    ) -> TypeView:
        """A type at this moment. `updated` counts instances that run from the spec in force."""
        standing = list(slots)
        return TypeView(
            type=spec.type,
            desired=desired,
            ready=sum(isinstance(i.phase, Ready) for i in standing),
            updated=sum(isinstance(i.phase, UP) and i.spec == spec for i in standing),
            starts=self._starts.get(spec.type, 0),
            exits=dict(self._exits.get(spec.type, {})),
            crash_loop=crash_loop,
            rollout=rollout,
        )
