"""What people want now, as one value: counts and numbers, what slots still have to do, whether everything ends."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TypeAlias, TypeGuard

from msgspec import Struct
from msgspec.structs import replace

from procman.core.spec import Count, Plan
from procman.core.view import Reason, ReasonCode


class StartMove(Struct, frozen=True, tag=True):
    """The slot is wanted, with its type's spec. One with another spec is restarted."""


class StopMove(Struct, frozen=True, tag=True):
    """The slot is not wanted."""

    why: Reason


class RestartMove(Struct, frozen=True, tag=True):
    """A restart with the type's spec: `rolling` when its rollout allows it, `after` these types are all ready again."""

    why: Reason
    rolling: bool = False
    after: tuple[str, ...] = ()


class RegroupMove(Struct, frozen=True, tag=True):
    """The slot is stopped with its group, in reverse order, and started again in its turn unless that has `failed`."""

    why: Reason
    failed: bool = False


Move: TypeAlias = StartMove | StopMove | RestartMove | RegroupMove


def is_rolling(move: Move | None) -> TypeGuard[RestartMove]:
    """Whether it waits for its turn in a rollout."""
    return isinstance(move, RestartMove) and move.rolling


class Closing(Struct, frozen=True):
    """Everything ends with this exit code, as asked for at `since`, within `grace` seconds of that."""

    code: int
    since: float
    grace: float


class Role(Enum):
    """The purpose of a slot."""

    REGULAR = "regular"
    SURGE = "surge"
    """The extra instance of a rollout, which exists as long as the rollout."""
    LEAVING = "leaving"
    """Leaving: the slot is removed with its last process."""


class Desired(Struct, frozen=True, kw_only=True):
    """`moves` are what slots still have to do; each is made as soon as possible, and a later one replaces it.

    `scaled` are types whose count was set at run time, which a reload keeps. `gapped` has the numbers of types whose
    slots are not numbered 1..count, in ascending order, and `surge` the number of a rollout's extra instance, by type.
    """

    counts: dict[str, Count]
    scaled: tuple[str, ...] = ()
    moves: dict[str, Move] = {}
    closing: Closing | None = None
    gapped: dict[str, tuple[int, ...]] = {}
    surge: dict[str, int] = {}

    def moving(self, moves: dict[str, Move]) -> Desired:
        """The same, with these moves added."""
        return replace(self, moves=self.moves | moves) if moves else self

    def count(self, type_name: str) -> int:
        return self.counts.get(type_name, 0)

    def numbers(self, type_name: str) -> Sequence[int]:
        """The numbers of a type's regular slots, in ascending order."""
        return self.gapped.get(type_name) or range(1, self.counts.get(type_name, 0) + 1)

    def names(self, type_name: str) -> list[str]:
        """The names of its regular slots."""
        return [f"{type_name}.{number}" for number in self.numbers(type_name)]

    def role(self, type_name: str, number: int) -> Role:
        """The purpose of the slot with that number."""
        if number in self.numbers(type_name):
            return Role.REGULAR
        return Role.SURGE if self.surge.get(type_name) == number else Role.LEAVING

    def pending(self, type_name: str) -> int:
        """How many of its regular slots are still to be replaced in a rollout. Restarts that follow a dependency's are
        not counted: the dependency may never be back.
        """
        moves = (self.moves.get(name) for name in self.names(type_name))
        return sum(is_rolling(move) and move.why.code is not ReasonCode.FOLLOWED for move in moves)

    def numbered(self, type_name: str, numbers: Sequence[int]) -> Desired:
        """The same, with these numbers of a type, and no extra instance under any of them."""
        numbers = tuple(sorted(numbers))
        gapped = {t: held for t, held in self.gapped.items() if t != type_name}
        if numbers and numbers[-1] != len(numbers):
            gapped[type_name] = numbers
        surge = {t: number for t, number in self.surge.items() if t != type_name or number not in numbers}
        return replace(self, counts=self.counts | {type_name: len(numbers)}, gapped=gapped, surge=surge)


def first(plan: Plan) -> Desired:
    """What is desired at the start: every slot of the plan's counts, and one of each companion."""
    names = [f"{t}.{index}" for t, count in plan.counts.items() for index in range(1, count + 1)]
    names += [f"{t}.1" for t in plan.companions]
    return Desired(counts=dict(plan.counts), scaled=plan.kept, moves=dict.fromkeys(names, StartMove()))


def kept(plan: Plan, desired: Desired) -> dict[str, int]:
    """The counts that were set at run time, where they are to outlive procman."""
    return {name: desired.counts[name] for name in desired.scaled} if plan.keep_counts else {}
