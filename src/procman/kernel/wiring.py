"""What a kernel is made with, and those of its parts that have a state to hand over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from procman.core.spec import Plan
from procman.kernel.process.launcher import SpawnContext

if TYPE_CHECKING:
    from procman.kernel.loop.deadlines import Deadlines
    from procman.kernel.process.adoption import Adoption
    from procman.kernel.process.ondemand import OnDemand
    from procman.kernel.process.spawn import DescriptorLimits
    from procman.kernel.process.table import ProcessTable
    from procman.kernel.survive.guarding import Guarding
    from procman.kernel.survive.upgrading import LiveUpgrade


class KernelParts(Struct, frozen=True):
    """The objects of a kernel with a state to hand over, besides the fleet."""

    processes: ProcessTable
    deadlines: Deadlines
    adoption: Adoption
    guarding: Guarding
    limits: DescriptorLimits
    on_demand: OnDemand


if TYPE_CHECKING:

    class TakenOver(Protocol):
        """What the previous program has handed over: how often procman has been upgraded, and the notice to publish."""

        @property
        def upgrades(self) -> int: ...
        @property
        def notice(self) -> str: ...
        def restore(self, parts: KernelParts) -> None:
            """Fill the parts of a new kernel."""


class KernelSettings(Struct, frozen=True):
    """What the kernel needs besides the fleet: how to read the inputs again, what instances are given, and the path of
    a trace of the core's last events.

    `guarded`: a guardian ends all processes if procman is killed, and holds these descriptors; None: there is no
    guardian. `keep` writes the counts that were set at run time. `upgrading` makes what an upgrade needs, once the kernel
    runs; `before` is what the previous program has handed over.
    """

    load: Callable[[Plan], Plan]
    given: SpawnContext
    trace: str
    guarded: tuple[int, ...] | None = None
    keep: Callable[[Mapping[str, int]], None] = lambda _counts: None
    upgrading: Callable[[], LiveUpgrade] | None = None
    before: TakenOver | None = None
