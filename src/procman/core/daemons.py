"""What a type shares: a daemon that left its instance's group serves the whole type, until the last leader has ended.

`adopted` is part of the machine in instance.py, which holds the table.
"""

from __future__ import annotations

from msgspec.structs import replace

from procman.core import hints, stopping, wording
from procman.core.actions import Action, ReclaimDaemons, ShareDaemon
from procman.core.events import Adopted
from procman.core.phases import Clearing, Instance, Step, Stopping
from procman.core.slots import Slots
from procman.core.view import Reason


def reclaim(i: Instance, slots: Slots) -> list[Action]:
    """The leader of this instance has ended. Was it the last of its type, the type's daemons end with it."""
    # Looked at from the end: of a thousand that are stopped together, the last are the last to go.
    if any(other.alive for other in reversed(slots.of(i.spec.type))):
        return []
    stop = i.leader.stop if i.leader is not None else i.spec.stop
    return [ReclaimDaemons(i.name, i.generation, stop.signal)]


def adopted(i: Instance, event: Adopted) -> Step:
    """One that left the group while its instance lives serves the whole type (epmd serves every node)."""
    match i.phase:
        case Stopping() as phase:
            return Step(i, stopping.adopted(phase, event))
        case Clearing() as phase:
            asked = stopping.adopted_in_clearing(phase, event)
            if not hints.went_to_background(i.spec, phase, i.record):
                return Step(i, asked)
            why = Reason(phase.why.code, f"{phase.why.text}; {hints.IN_BACKGROUND}")
            i = replace(i, phase=replace(phase, why=why))
            return Step(i, (wording.went_to_background(i, event.pid), *asked))
        case _ if event.in_group:
            return Step(i)
        case _:
            return Step(i, (ShareDaemon(i.name, event.pid), wording.has_daemon(i, event.pid)))
