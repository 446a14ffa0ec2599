"""Operations: what was asked for, by number; what must become true, and whether it did, cannot any more, or was
superseded.

Every command that changes something is an operation. It is judged here, as each slot moves, and nowhere else: `--wait`
and all other clients wait for its end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from procman.core.actions import Action, OperationEnded
from procman.core.desired import Desired
from procman.core.phases import (
    AT_REST,
    Backoff,
    Clearing,
    Done,
    Down,
    Failed,
    Instance,
    Ready,
    Spawning,
    Starting,
    Stopping,
    StopReason,
)
from procman.core.spec import Plan, ProcessSpec
from procman.core.view import Operation, OperationState, Reason, ReasonCode
from procman.later import later

if TYPE_CHECKING:
    from procman.core import wording
else:
    wording = later(__name__, "procman.core.wording")

KEPT = 100
"""How many ended operations can still be asked for."""

OPEN = 1000
"""Operations under way at most: a program may begin one after the other that never comes to an end. The oldest is given up."""


class Want(Enum):
    """What an operation needs of a slot."""

    UP = "up"
    DONE = "done"
    DOWN = "down"


class Need(Struct, frozen=True):
    """What must become of a slot. UP: in a run later than `after`."""

    want: Want
    after: int = 0


def needs_of_counts(desired: Desired, types: Iterable[str], touched: Iterable[str], plan: Plan) -> dict[str, Need]:
    """These types have exactly the wanted instances, all up."""
    needs = dict.fromkeys(touched, Need(Want.DOWN))
    for t in types:
        needs |= dict.fromkeys(desired.names(t), up(plan.types[t]))
    return needs


def up(spec: ProcessSpec, after: int = 0) -> Need:
    """The need that a slot is up, in a run later than that; a one-off has to be done."""
    return Need(Want.DONE if spec.oneshot else Want.UP, after)


class OpenOperation(Struct, frozen=True):
    """An operation under way, with what it still needs."""

    id: int
    what: str
    needs: dict[str, Need]


class OperationsState(Struct, frozen=True):
    last: int = 0
    open: tuple[OpenOperation, ...] = ()
    ended: tuple[Operation, ...] = ()


Loops = Callable[[Instance], bool]
"""Whether an instance is in a crash loop."""


class Operations:
    """Operations under way (`open`), and the last that have ended."""

    def __init__(self, state: OperationsState = OperationsState()) -> None:  # noqa: B008  frozen
        self._last = state.last
        self.open = {one.id: OpenOperation(one.id, one.what, dict(one.needs)) for one in state.open}
        self._ended = {one.id: one for one in state.ended}

    def state(self) -> OperationsState:
        under_way = tuple(replace(one, needs=dict(one.needs)) for one in self.open.values())
        return OperationsState(self._last, under_way, tuple(self._ended.values()))

    def get(self, number: int) -> Operation | None:
        """Its state; None if it does not exist, or no longer."""
        one = self.open.get(number)
        if one is not None:
            return Operation(id=one.id, what=one.what, state=OperationState.RUNNING, left=tuple(one.needs))
        return self._ended.get(number)

    def begin(self, what: str, needs: Mapping[str, Need]) -> tuple[int, list[Action]]:
        """A new operation. Operations that need the opposite of a slot are superseded."""
        self._last += 1
        opposite = [
            one for one in self.open.values() if any(_contrary(one.needs.get(n), need) for n, need in needs.items())
        ]
        actions = [self._end(one, OperationState.SUPERSEDED, wording.superseded(what)) for one in opposite]
        if len(self.open) >= OPEN:
            actions.append(self._end(next(iter(self.open.values())), OperationState.FAILED, wording.too_many(OPEN)))
        self.open[self._last] = OpenOperation(self._last, what, dict(needs))
        return self._last, actions

    def settle(self, number: int, slots: Mapping[str, Instance | None], loops: Loops) -> list[Action]:
        """Judge a new operation by these slots, as its needs may be met already."""
        one = self.open.get(number)
        if one is None:
            return []
        for name, i in slots.items():
            if name in one.needs:
                actions = self._judge(one, name, i, loops)
                if actions:
                    return actions
        return self._done(one)

    def moved(self, name: str, i: Instance | None, loops: Loops) -> list[Action]:
        """A slot has moved, or has been removed."""
        actions: list[Action] = []
        for one in [*self.open.values()]:
            if name in one.needs:
                actions += self._judge(one, name, i, loops) or self._done(one)
        return actions

    def abort(self, reason: Reason, names: Collection[str] | None = None, by: str | None = None) -> list[Action]:
        """These instances cannot come up as asked, because of what happened to one of them; without names none can."""
        hit = [
            one
            for one in self.open.values()
            if any(need.want is not Want.DOWN and (names is None or n in names) for n, need in one.needs.items())
        ]
        return [self._end(one, OperationState.FAILED, reason, by) for one in hit]

    def _judge(self, one: OpenOperation, name: str, i: Instance | None, loops: Loops) -> list[Action]:
        verdict = judge(one.needs[name], i, loops)
        if verdict is True:
            del one.needs[name]
        elif isinstance(verdict, Reason):
            return [self._end(one, OperationState.FAILED, replace(verdict, text=f"{name} {verdict.text}"), name)]
        return []

    def _done(self, one: OpenOperation) -> list[Action]:
        return [] if one.needs or one.id not in self.open else [self._end(one, OperationState.DONE, None)]

    def _end(self, one: OpenOperation, state: OperationState, reason: Reason | None, by: str | None = None) -> Action:
        del self.open[one.id]
        ended = Operation(id=one.id, what=one.what, state=state, reason=reason, left=tuple(one.needs), instance=by)
        self._ended[one.id] = ended
        while len(self._ended) > KEPT:
            del self._ended[next(iter(self._ended))]
        return OperationEnded(ended)


def _contrary(old: Need | None, new: Need) -> bool:
    return old is not None and (old.want is Want.DOWN) is not (new.want is Want.DOWN)


def judge(need: Need, i: Instance | None, loops: Loops) -> bool | Reason:
    """Whether the need is met; a reason where it cannot be met any more."""
    if need.want is Want.DOWN:
        if i is None or isinstance(i.phase, AT_REST):
            return True
        return wording.UNKILLABLE if i.unkillable else False
    if i is None:
        return Reason(ReasonCode.REMOVED, "is no longer there")
    match i.phase:  # what is frequent comes first
        case Ready():
            return need.want is Want.UP and i.generation > need.after
        case Spawning() | Starting():
            return False
        case Done():
            return i.generation > need.after
        case Failed(why):
            return replace(why, text=f"failed: {why.text}")
        case Down(why) if not i.wanted and why is not None:
            by = why.text.startswith("stopped ")
            return replace(why, text=f"was {why.text}" if by else f"is stopped: {why.text}")
        case (
            Backoff(why=why) | Clearing(why=why) | Stopping(reason=StopReason.NOT_READY | StopReason.UNHEALTHY, why=why)
        ) if loops(i):
            return replace(why, text=f"is in a crash loop: {why.text}")
        case _:
            return False
