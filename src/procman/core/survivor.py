"""A process that the fallback takes over from the fleet, once that has raised."""

from __future__ import annotations

from msgspec import Struct

from procman.core.actions import Action, Signal, Target
from procman.core.spec import ProcessSpec
from procman.core.view import InstanceView

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
