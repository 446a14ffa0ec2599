"""What the kernel needs of whoever decides: the fleet, and the fallback that takes its place where it raises."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from procman.core.actions import Action
from procman.core.events import Event
from procman.core.phases import Instance
from procman.core.spec import Plan
from procman.core.view import FleetView


class Decider(Protocol):
    """Events in, actions out; times are monotonic seconds."""

    plan: Plan
    counts: dict[str, int]

    @property
    def stopping(self) -> bool: ...
    @property
    def ending(self) -> bool:
        """Whether an instance is on its way out."""

    @property
    def stuck(self) -> Collection[int]:
        """Pids that have been reported as unkillable."""

    def handle(self, event: Event, now: float) -> list[Action]: ...
    def view(self, now: float) -> FleetView: ...
    def get(self, name: str) -> Instance | None: ...
