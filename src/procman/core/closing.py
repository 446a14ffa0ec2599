"""The end of everything: which instances a shutdown stops, how long that may take, and whether the last one has ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from procman.core.actions import Action, Publish
from procman.core.desired import Closing, Desired, Move, StopMove
from procman.core.events import ExitStatus, StopTerms
from procman.core.phases import (
    AT_REST,
    ENDED_ITSELF,
    UP,
    AfterClearing,
    Clearing,
    Failed,
    Instance,
    SlotRecord,
    Stopping,
)
from procman.core.requests import Hold
from procman.core.slots import Slots
from procman.core.spec import DEFAULT_GRACE, Plan
from procman.core.view import Change, Kind, Reason, ReasonCode
from procman.later import later
from procman.text.words import duration

if TYPE_CHECKING:
    from procman.core import order, select, wording
else:
    order = later(__name__, "procman.core.order")
    select = later(__name__, "procman.core.select")
    wording = later(__name__, "procman.core.wording")


def living(slots: Slots) -> list[Instance]:
    """The instances that a shutdown stops. One that ended for good is cleaned up anyway, and keeps its status."""
    return [i for i in slots if not isinstance(i.phase, AT_REST) and not i.ended_for_good]


def close(desired: Desired, stopped: list[Instance], closing: Closing, why: str) -> Desired:
    """Everything ends: nothing else is wanted any more."""
    stop: Move = StopMove(Reason(ReasonCode.SHUTDOWN, why))
    moves = {i.name: stop for i in stopped}
    return replace(desired, moves=moves, closing=closing, surge={})


def ask_all(desired: Desired, slots: Slots, plan: Plan, now: float) -> tuple[Desired, list[Action]]:
    """The stop is nearly over: instances that still wait for their turn are asked to end now. Returns what is desired,
    with that reason, and the line about it, if one is waiting.
    """
    needed_by, moves, lines = order.dependents(plan), dict(desired.moves), dict[str, list[Instance]]()
    for i in slots:
        move = moves.get(i.name)
        needing = order.needed_until_its_end(i.spec.type, needed_by, slots)
        if isinstance(move, StopMove) and isinstance(i.phase, UP) and needing is not None:
            moves[i.name] = StopMove(replace(move.why, text=f"{move.why.text}; {wording.before_its_turn(needing)}"))
            lines.setdefault(wording.before_its_turn(needing), []).append(i)
    closing = desired.closing
    if closing is None or not lines:
        return desired, []
    left = duration(max(0.0, closing.since + closing.grace - now))
    asked = ", ".join(f"{select.listed(instances)} {why}" for why, instances in lines.items())
    line = Publish(Change(event=Kind.SHUTDOWN, text=f"stopping {asked}: KILL in {left}"))
    return replace(desired, moves=moves), [line]


def give_up(slots: Slots, waiting: Iterable[str]) -> None:
    """An instance that ends while it waits for its turn to stop is not started again."""
    for i in [slots.get(name) for name in waiting]:
        if i is not None and isinstance(i.phase, UP):
            slots.put(replace(i, wanted=False))


def longest_grace(plan: Plan) -> float:
    """The grace of processes that belong to no type: the longest in the settings."""
    return max((spec.stop.grace for spec in plan.types.values()), default=DEFAULT_GRACE)


def grace_of(stopped: list[Instance], plan: Plan) -> float:
    """How long the whole stop may take before its KILLs."""
    stops = [leader.stop if (leader := i.leader) is not None else i.spec.stop for i in stopped]
    return max((stop.grace for stop in stops), default=longest_grace(plan))


def stop_terms(type_name: str, holds: Collection[Hold], closing: Closing | None, now: float) -> StopTerms:
    """Which clients hold a stop back, and when it is over at the latest."""
    kill_by = max(now, closing.since + closing.grace) if closing is not None else None
    if not holds:
        return StopTerms((), 0.0, kill_by)
    holding = [hold for hold in holds if type_name in hold.names]
    return StopTerms(tuple(hold.by for hold in holding), max((hold.seconds for hold in holding), default=0.0), kill_by)


def all_ended(slots: Slots) -> bool:
    """At least one instance exists, and all are done or failed. Stopped instances keep procman running."""
    if slots.any_busy:  # nearly always: else each event would look at all of them
        return False
    found = False
    for i in slots:
        if not isinstance(i.phase, ENDED_ITSELF):
            return False
        found = True
    return found


def may_be_scaled_up(desired: Desired, plan: Plan) -> bool:
    """Whether a type that may get instances again keeps procman running: it was scaled to 0 at run time, or follows
    demand. A one-off has nothing more to do.
    """
    names = {*desired.scaled, *(plan.autoscaled if plan.companions else ())}
    return any(not desired.count(name) and not spec.oneshot for name, spec in plan.types.items() if name in names)


def ended_last(slots: Slots, since: float) -> list[Instance]:
    """The instances that ended in the shutdown that began then; all of them where all have ended by themselves."""
    by_themselves = all_ended(slots)
    return [i for i in slots if by_themselves or i.phase_since >= since or i.unkillable]


def failure_of(i: Instance) -> int:
    """The status with which everything ends because this instance failed; 1 if procman stopped it for its state."""
    return _own_status(i.record) if not isinstance(i.phase, Stopping) else 1


def _own_status(record: SlotRecord) -> int:
    """The status of its last exit, if that was a failure of its own; else 1."""
    status = record.last_exit if not record.exit_asked else None
    return (status.code if status is not None else 0) or 1


def status_of(i: Instance, status: ExitStatus) -> int:
    """The status with which everything ends because this instance ended: an exit 0 before it was ready is a failure."""
    fails = isinstance(i.phase, Clearing) and i.phase.then is AfterClearing.FAILED
    return failure_of(i) if fails else status.code


def first_failure(slots: Slots) -> int:
    """The status of the failure that came first in time; 0 if none failed."""
    failed = [i.record for i in slots if isinstance(i.phase, Failed)]
    # instances that fail with their group do so after the last death, or at the same moment
    first = min(failed, key=lambda record: (record.ended_at, record.died_at != record.ended_at), default=None)
    return _own_status(first) if first is not None else 0
