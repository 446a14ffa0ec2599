"""What the kernel needs of the fleet or its fallback, and what it passes to the latter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from procman.core.actions import Action, Signal, Target
from procman.core.events import Event
from procman.core.phases import Instance
from procman.core.spec import Plan, ProcessSpec
from procman.core.view import FleetView, InstanceView, Operation

AT_FAULT = "procman is at fault: nothing is started or restarted any more"


class Survivor(Struct, frozen=True):
    """A process at the moment when the fleet raised."""

    name: str
    generation: int
    pid: int
    spec: ProcessSpec

    def view(self, phase: str) -> InstanceView:
        generation, pid = self.generation, self.pid
        return InstanceView(
            name=self.name, type=self.spec.type, phase=phase, pid=pid, generation=generation, reason=AT_FAULT
        )

    def signal(self, *names: str, target: Target) -> list[Action]:
        return [Signal(self.name, self.generation, name, target) for name in names]


if TYPE_CHECKING:

    class Decider(Protocol):
        """Events in, actions out; `now` is monotonic seconds."""

        @property
        def plan(self) -> Plan: ...
        @property
        def counts(self) -> Mapping[str, int]: ...
        @property
        def stopping(self) -> bool:
            """Whether everything is being stopped."""

        @property
        def ending(self) -> bool:
            """Whether an instance is being stopped."""

        @property
        def stuck(self) -> list[int]:
            """Orphans that KILL did not remove."""

        def handle(self, event: Event, now: float) -> list[Action]: ...
        def get(self, name: str) -> Instance | None: ...
        def view(self, now: float) -> FleetView: ...
        def operation(self, number: int) -> Operation | None: ...
        def why(self, name: str, now: float) -> tuple[str, ...]: ...
