"""What the balancer needs of procman, as Protocols: which instances are ready, which are about to stop, and holding
their stop.

The real implementation is the typed client with `observe/`; tests have their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence


class BalancedInstance(Struct, frozen=True, kw_only=True):
    """An instance with a port. `draining`: its stop is announced and waits for us; otherwise it is ready and healthy."""

    name: str
    type: str
    generation: int
    port: int
    host: str = "127.0.0.1"
    ready: bool
    draining: bool = False


class BalancedFleet(Protocol):
    """A running procman. Each method raises ProcmanError where procman cannot be reached."""

    def poll(self) -> Sequence[BalancedInstance]:
        """Every instance that has a port, as it is now."""
        ...

    def hold(self, type_name: str, seconds: float) -> None:
        """Let stops of this type wait for `release`, for at most so many seconds. Repeated before each poll."""
        ...

    def release(self, name: str, generation: int) -> None:
        """Release the stop of this run. No error where the run is over."""
        ...

    def report(self, fault: str) -> None:
        """Report what is wrong at present ("": nothing), to be shown by `ps --companions`."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait until something has changed, or the time is over."""
        ...
