"""One pass over the moves of all slots: which of them can be made now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.core.desired import Closing, RegroupMove, RestartMove
from procman.core.events import StopTerms
from procman.core.phases import AT_REST, UP, Instance, Ready, Waiting
from procman.core.rollout import Rollouts
from procman.core.slots import World
from procman.core.spec import ProcessSpec, is_companion
from procman.later import later

if TYPE_CHECKING:
    from procman.core import followers, groups, order
else:
    followers = later(__name__, "procman.core.followers")
    groups = later(__name__, "procman.core.groups")
    order = later(__name__, "procman.core.order")


class Turn:
    """Answers for a type are found once in each pass."""

    def __init__(self, world: World, rollouts: Rollouts, grouped: groups.Groups | None, now: float) -> None:
        """The world is as it was before any of its moves is made."""
        self._world = world
        self._plan, self._desired, self._slots = world.plan, world.desired, world.slots
        self._rollouts, self._groups = rollouts, grouped
        self._now = now
        self._blockers: dict[str, order.Blockers] = {}
        self._budgets: dict[str, int] = {}
        self._stops: dict[str, bool] = {}
        self._needed_by: dict[str, list[str]] | None = None

    def waits_for(self, spec: ProcessSpec, i: Instance) -> order.Blockers | None:
        """What this instance waits for before it starts. Only instances at rest wait."""
        if not (spec.depends_on or self._groups) or not isinstance(i.phase, (*AT_REST, Waiting)):
            return None
        if spec.type not in self._blockers:
            self._blockers[spec.type] = order.blockers(spec, self._world, self._groups)
        found = self._blockers[spec.type]
        return found if found.on else None

    def regroup(self, i: Instance, move: RegroupMove, terms: StopTerms) -> groups.Halt | None:
        """The next step of an instance that is stopped with its group; None if it is to be started in its turn."""
        if self._groups is None:
            return groups.left_behind(i)
        return self._groups.halt(i, move, terms, self._world)

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
        return self._rollouts.budget(spec, self._world.regular(spec.type), self._world.surge(spec.type))

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
