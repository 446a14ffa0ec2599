"""What people want now, as one value that commands change: counts, what slots have yet to do, and whether all is to end."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from procman.core.spec import Count, Plan
from procman.core.view import Reason


class StartMove(Struct, frozen=True, tag=True):
    """The slot is wanted, run from its type's spec. One that runs from another is restarted."""


class StopMove(Struct, frozen=True, tag=True):
    """The slot is not wanted."""

    why: Reason


class RestartMove(Struct, frozen=True, tag=True):
    """A new life is wanted, from the type's spec; `rolling`: when its type's rollout lets it."""

    why: Reason
    rolling: bool = False


class RegroupMove(Struct, frozen=True, tag=True):
    """The slot is stopped with its group, in reverse order, and started again in its turn; not, where the group has `failed`."""

    why: Reason
    failed: bool = False


Move: TypeAlias = StartMove | StopMove | RestartMove | RegroupMove


class Closing(Struct, frozen=True):
    """All is to end, with this exit code, as it was asked for at `since`, and within `grace` seconds of that."""

    code: int
    since: float
    grace: float


class Desired(Struct, frozen=True, kw_only=True):
    """`moves` are what named slots have yet to do; each is made as soon as it may be, and a later one takes its place.

    `scaled` are the types whose count was set at run time: a reload keeps it.
    """

    counts: dict[str, Count]
    scaled: tuple[str, ...] = ()
    moves: dict[str, Move] = {}
    closing: Closing | None = None

    def moving(self, moves: dict[str, Move]) -> Desired:
        """The same with these moves as well."""
        return replace(self, moves=self.moves | moves) if moves else self

    def count(self, type_name: str) -> int:
        return self.counts.get(type_name, 0)


def first(plan: Plan) -> Desired:
    """What is wanted at the start: every slot of the plan's counts, and one of each companion."""
    names = [f"{t}.{index}" for t, count in plan.counts.items() for index in range(1, count + 1)]
    names += [f"{t}.1" for t in plan.companions]
    return Desired(counts=dict(plan.counts), moves=dict.fromkeys(names, StartMove()))


def resize(desired: Desired, type_name: str, count: int, standing: int, why: Reason) -> Desired:
    """Another count of a type: slots above the old one start, those above the new one stop. `standing` is the highest slot."""
    before = desired.count(type_name)
    start = {f"{type_name}.{index}": StartMove() for index in range(before + 1, count + 1)}
    stop = {f"{type_name}.{index}": StopMove(why) for index in range(max(before, standing), count, -1)}
    moves: dict[str, Move] = {**start, **(stop if count < before else {})}
    return replace(desired.moving(moves), counts=desired.counts | {type_name: count})
