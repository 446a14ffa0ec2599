"""What a step of one instance means for others. `Formation` passes each fact to everything that depends on it, so that
nothing has to compare before and after.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from procman.core.events import ExitStatus


class Started(Struct, frozen=True, gc=False):
    """A process of the instance has been started."""


class BecameReady(Struct, frozen=True, gc=False):
    """It is in rotation now."""


class LeaderEnded(Struct, frozen=True, gc=False):
    """The leader has ended, asked or not; processes of it may be left."""

    status: ExitStatus


class EndedItself(Struct, frozen=True, gc=False):
    """The leader has ended, or could not be started, without having been asked to end."""

    status: ExitStatus


class Died(Struct, frozen=True, gc=False):
    """It ended without success, or had to be ended. `retried`: it is started again; `late`: not ready in time."""

    retried: bool
    late: bool = False


class Rested(Struct, frozen=True, gc=False):
    """Nothing of it is left, and it will not start by itself: it is down, done or failed."""


Fact: TypeAlias = Started | BecameReady | LeaderEnded | EndedItself | Died | Rested
