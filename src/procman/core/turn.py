"""One pass over the moves of all slots: which of them can be made now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from procman.core.desired import Closing, Desired, RegroupMove, RestartMove
from procman.core.events import StopTerms
from procman.core.phases import AT_REST, UP, Instance, Ready, Waiting
from procman.core.rollout import Rollouts
from procman.core.slots import Slots
from procman.core.spec import Plan, ProcessSpec, is_companion
from procman.later import later

if TYPE_CHECKING:
    from procman.core import blockers, followers, groups, order
    from procman.core.blockers import Blockers
else:
    blockers = later(__name__, "procman.core.blockers")
    followers = later(__name__, "procman.core.followers")
    groups = later(__name__, "procman.core.groups")
    order = later(__name__, "procman.core.order")


class Pacers(Struct, frozen=True):
    """What else delays moves."""

    rollouts: Rollouts
    groups: groups.Groups | None


class Turn:
    """Answers for a type are found once in each pass."""

    def __init__(self, plan: Plan, desired: Desired, slots: Slots, pacers: Pacers, now: float) -> None:
        """`desired` is the value before any of its moves is made."""
        self._plan = plan
        self._desired = desired
        self._slots = slots
        self._rollouts, self._groups = pacers.rollouts, pacers.groups
        self._now = now
        self._blockers: dict[str, Blockers] = {}
        self._budgets: dict[str, int] = {}
        self._stops: dict[str, bool] = {}
        self._needed_by: dict[str, list[str]] | None = None

    def waits_for(self, spec: ProcessSpec, i: Instance) -> Blockers | None:
        """What this instance waits for before it starts. Only instances at rest wait."""
        if not (spec.depends_on or self._groups) or not isinstance(i.phase, (*AT_REST, Waiting)):
            return None
        if spec.type not in self._blockers:
            world = groups.GroupWorld(self._plan, self._slots, self._desired.moves)
            self._blockers[spec.type] = blockers.of(spec, self._desired, world, self._groups)
        found = self._blockers[spec.type]
        return found if found.on else None

    def regroup(self, i: Instance, move: RegroupMove, terms: StopTerms) -> groups.Halt | None:
        """The next step of an instance that is stopped with its group; None where it is to be started in its turn."""
        if self._groups is None:
            return groups.left_behind(i)
        return self._groups.halt(i, move, terms, groups.GroupWorld(self._plan, self._slots, self._desired.moves))

    def is_moot(self, i: Instance, move: RestartMove) -> bool:
        """Whether a restart that is due is not needed any more."""
        return bool(move.after) and followers.is_moot(i, move, self._desired, self._slots)

    def may_replace(self, spec: ProcessSpec, i: Instance, move: RestartMove) -> bool:
        """Whether the rollout of its type allows its restart: at once if it is out of rotation anyway."""
        gated = move.after and not isinstance(i.phase, Waiting)
        if gated and followers.is_held(move, self._desired, self._slots):
            return False
        if not move.rolling:
            return True
        if isinstance(i.phase, Ready):
            if spec.type not in self._budgets:
                self._budgets[spec.type] = self._budget(spec)
            if self._budgets[spec.type] <= 0:
                return False
            self._budgets[spec.type] -= 1
        self._rollouts.replaced(i)
        return True

    def _budget(self, spec: ProcessSpec) -> int:
        numbers, extra = self._desired.numbers(spec.type), self._desired.surge.get(spec.type)
        regular = [i for i in self._slots.of(spec.type) if i.index in numbers]
        return self._rollouts.budget(spec, regular, self._slots.at(spec.type, extra) if extra else None)

    def may_stop(self, i: Instance, closing: Closing | None, *, companions_last: bool) -> bool:
        """At the end of everything, whether nothing needs this one any more."""
        if closing is None or not isinstance(i.phase, UP):
            return True
        type_name = i.spec.type
        if type_name not in self._stops:
            self._stops[type_name] = self._may_stop(type_name, closing, companions_last=companions_last)
        return self._stops[type_name]

    def _may_stop(self, type_name: str, closing: Closing, *, companions_last: bool) -> bool:
        is_last = is_companion(type_name)
        if not (is_last or self._plan.has_order):
            return True
        if self._now >= order.all_asked_at(closing.since, closing.grace):
            return True
        if is_last:
            return not companions_last or not any(self._slots.is_busy(other) for other in self._slots)
        self._needed_by = order.dependents(self._plan) if self._needed_by is None else self._needed_by
        return order.may_stop(type_name, self._needed_by, self._slots)
