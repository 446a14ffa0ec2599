"""What the autoscaler needs of procman, as Protocols: what runs, and a way to scale. Knows no socket.

The real implementation is the typed client with `observe/`; tests have their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from procman.core.demand import Decided, ReplicaState

if TYPE_CHECKING:
    from collections.abc import Mapping


class InstanceSeen(Struct, frozen=True, kw_only=True):
    """One instance. `cpu`: seconds of CPU time of its whole tree so far, `memory`: bytes of it; None where unknown."""

    name: str
    generation: int
    state: ReplicaState
    ready_for: float = 0.0
    cpu: float | None = None
    memory: int | None = None


class TypeSeen(Struct, frozen=True, kw_only=True):
    """A process type: its wanted count and every slot of it."""

    type: str
    count: int
    instances: tuple[InstanceSeen, ...] = ()
    crash_loop: bool = False


class ScalableFleet(Protocol):
    """A running procman. Each method raises ProcmanError where procman cannot be reached or refuses."""

    def poll(self) -> Mapping[str, TypeSeen]:
        """Every type as it is now."""
        ...

    def count_of(self, type_name: str) -> int | None:
        """The wanted count of a type now, without a poll; None where there is no such type."""
        ...

    def scale(self, type_name: str, count: int, why: str) -> None:
        """Set a count on behalf of the autoscaler."""
        ...

    def report(self, fault: str) -> None:
        """Report what is wrong at present ("": nothing), to be shown by `ps --companions`."""
        ...

    def publish(self, decided: Decided) -> None:
        """Publish a decision with its inputs as an event."""
        ...
