"""One pass over what slots have yet to do: which of them may do it now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.core.desired import Closing, Desired, Move, RestartMove, StopMove
from procman.core.phases import AT_REST, UP, Instance, Ready, Waiting
from procman.core.rollout import Rollouts
from procman.core.slots import Slots
from procman.core.spec import Plan, ProcessSpec, is_companion
from procman.later import later

if TYPE_CHECKING:
    from procman.core import order
    from procman.core.policies import Dependency
else:
    order = later(__name__, "procman.core.order")


class Turn:
    """What is found out for a type is found out once a pass."""

    def __init__(self, plan: Plan, desired: Desired, slots: Slots, rollouts: Rollouts, now: float) -> None:
        self._plan = plan
        self._desired = desired
        self._slots = slots
        self._rollouts = rollouts
        self._now = now
        self._unmet: dict[str, tuple[Dependency, ...]] = {}
        self._budgets: dict[str, int] = {}
        self._stops: dict[str, bool] = {}
        self._needed_by: dict[str, list[str]] | None = None

    def waits_for(self, spec: ProcessSpec, i: Instance, move: Move) -> tuple[Dependency, ...]:
        """What this one has to wait for before it is started: only what stands still waits."""
        if not spec.depends_on or isinstance(move, StopMove) or not isinstance(i.phase, (*AT_REST, Waiting)):
            return ()
        if spec.type not in self._unmet:
            self._unmet[spec.type] = order.unmet(spec, self._desired, self._slots)
        return self._unmet[spec.type]

    def may_replace(self, spec: ProcessSpec, i: Instance, move: Move) -> bool:
        """Whether the rollout of its type lets this one go: at once where it is out of rotation anyway."""
        if not (isinstance(move, RestartMove) and move.rolling):
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
        return self._rollouts.budget(spec, regular, self._slots.at(spec.type, extra) if extra else None, self._now)

    def may_stop(self, i: Instance, closing: Closing | None, *, companions_last: bool) -> bool:
        """At the end of everything, whether nothing needs this one any more."""
        if closing is None or not isinstance(i.phase, UP):
            return True
        if self._now >= order.all_asked_at(closing.since, closing.grace):
            return True
        type_name = i.spec.type
        if is_companion(type_name):
            return not companions_last or not any(self._slots.is_busy(other) for other in self._slots)
        if type_name not in self._stops:
            self._needed_by = order.dependents(self._plan) if self._needed_by is None else self._needed_by
            self._stops[type_name] = order.may_stop(type_name, self._needed_by, self._slots)
        return self._stops[type_name]
