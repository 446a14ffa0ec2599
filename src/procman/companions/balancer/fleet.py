"""What the balancer needs of procman, as Protocols: who is ready, who is about to be stopped, and a hold on their stop.

The real one is the typed client with `observe/`; tests have a fleet of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence


class BalancedInstance(Struct, frozen=True, kw_only=True):
    """An instance with a port. `draining`: its stop is announced and waits for us; `ready` and healthy otherwise."""

    name: str
    type: str
    generation: int
    port: int
    host: str = "127.0.0.1"
    ready: bool
    draining: bool = False


class BalancedFleet(Protocol):
    """A running procman. Each method raises ProcmanError where it cannot be reached."""

    def look(self) -> Sequence[BalancedInstance]:
        """Every instance that has a port, as it is now."""
        ...

    def hold(self, type_name: str, seconds: float) -> None:
        """Let stops of this type wait for `release`, so many seconds at most. Said before each look: no news, as a rule."""
        ...

    def release(self, name: str, generation: int) -> None:
        """Let this life's stop go on. A life that is over is none to complain about."""
        ...

    def report(self, fault: str) -> None:
        """Say what is wrong at present, "" for nothing, for those who look at companions."""
        ...

    def wait(self, seconds: float) -> None:
        """Until something has changed, or the time is over."""
        ...
