"""What a step of one instance means for others. `Formation` passes each fact to everything that depends on it, so that
nothing has to compare before and after.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from procman.core.events import ExitStatus


class Started(Struct, frozen=True, gc=False):
    """A process of the instance has been started."""

    name: str
    generation: int


class BecameReady(Struct, frozen=True, gc=False):
    name: str
    generation: int


class LeaderEnded(Struct, frozen=True, gc=False):
    """The leader has ended, asked or not; processes of it may be left."""

    name: str
    generation: int
    status: ExitStatus


class EndedItself(Struct, frozen=True, gc=False):
    """The leader has ended, or could not be started, without having been asked to end."""

    name: str
    status: ExitStatus


class Died(Struct, frozen=True, gc=False):
    """It ended without success, or had to be ended. `retried`: it is started again; `late`: not ready in time."""

    name: str
    retried: bool
    late: bool = False


class Rested(Struct, frozen=True, gc=False):
    """Nothing of it is left, and it will not start by itself: it is down, done or failed."""

    name: str


Fact: TypeAlias = Started | BecameReady | LeaderEnded | EndedItself | Died | Rested
