"""What a deadline is for: a value, so that a table of deadlines can have it as key, and it can be written."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class SlotTimer(Struct, frozen=True, tag=True, gc=False):
    """The one live deadline of an instance's phase."""

    name: str


class WaitingLineTimer(Struct, frozen=True, tag=True, gc=False):
    """Some time into a stop, when a line names the instances that are still waited for."""


class OrphansTimer(Struct, frozen=True, tag=True, gc=False):
    """The next deadline of processes that belong to no instance."""


class CrashLoopTimer(Struct, frozen=True, tag=True, gc=False):
    """The end of a type's crash loop, unless there is another death before."""

    of_type: str


class RolloutTimer(Struct, frozen=True, tag=True, gc=False):
    """The batch that a rollout has replaced has stayed ready for long enough."""

    of_type: str


class RecycleTimer(Struct, frozen=True, tag=True, gc=False):
    """The age at which an instance is replaced; the token is its generation."""

    name: str


class ClosingTimer(Struct, frozen=True, tag=True, gc=False):
    """While everything ends: instances that still wait for their turn get the stop signal now."""


class FallbackTimer(Struct, frozen=True, tag=True, gc=False):
    """A step in the stop of one process after the fleet has raised."""

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
