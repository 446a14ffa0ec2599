"""What a deadline is for. A value, so that a table of deadlines can be keyed by it and written down."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class SlotTimer(Struct, frozen=True, tag=True, gc=False):
    """The one live deadline of an instance's phase."""

    name: str


class WaitingLineTimer(Struct, frozen=True, tag=True, gc=False):
    """Some time into a stop one line names who is still waited for."""


class OrphansTimer(Struct, frozen=True, tag=True, gc=False):
    """The next deadline of the processes that belong to no instance."""


class CrashLoopTimer(Struct, frozen=True, tag=True, gc=False):
    """The end of a type's crash loop, unless there is another death before."""

    of_type: str


class RolloutTimer(Struct, frozen=True, tag=True, gc=False):
    """The first ones that a rollout replaced have stayed ready for long enough."""

    of_type: str


class RecycleTimer(Struct, frozen=True, tag=True, gc=False):
    """The age at which an instance is replaced; the token is its generation."""

    name: str


class ClosingTimer(Struct, frozen=True, tag=True, gc=False):
    """While everything ends: whoever still waits for its turn is asked now."""


class FallbackTimer(Struct, frozen=True, tag=True, gc=False):
    """A step in the stop of one process once the fleet has failed."""

    name: str


TimerKey: TypeAlias = (
    SlotTimer
    | WaitingLineTimer
    | OrphansTimer
    | CrashLoopTimer
    | RolloutTimer
    | RecycleTimer
    | ClosingTimer
    | FallbackTimer
)
