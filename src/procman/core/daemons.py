"""What a type shares: a daemon that left its instance's group serves the whole type, until the last leader has ended."""

from __future__ import annotations

from procman.core.actions import Action, ReclaimDaemons
from procman.core.phases import Instance
from procman.core.slots import Slots


def reclaim(i: Instance, slots: Slots) -> list[Action]:
    """The leader of this instance has ended. If it was the last of its type, the type's daemons end with it."""
    if slots.any_alive(i.spec.type):
        return []
    stop = i.leader.stop if i.leader is not None else i.spec.stop
    return [ReclaimDaemons(i.name, i.generation, stop.signal)]
