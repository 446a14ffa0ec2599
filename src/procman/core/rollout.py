"""Replacing the instances of a type a few at a time: who may be restarted now, and when the old ones are to stay.

At most so many are away at once as the type's `rolling` says. The first that are replaced must stay ready for a moment
before the others follow, so that a version which becomes ready and dies is not rolled out. Where new ones keep failing the
rollout is aborted: what was touched is started again from the old spec, and that stays in force.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from procman.core.facts import Died
from procman.core.phases import AT_REST, Instance, Ready
from procman.core.spec import ProcessSpec
from procman.later import later

if TYPE_CHECKING:
    from procman.core import policies
else:
    policies = later(__name__, "procman.core.policies")

SETTLE = 3.0
"""Seconds that the first ones stay ready before the next are replaced."""

FAILURES = 3
"""Deaths of what was replaced that abort a rollout."""


class Rollout(Struct, frozen=True, kw_only=True):
    """One type's. `old` is the spec to go back to, `total` how many are replaced, `replaced` those whose new life has begun,
    `settled_at` when the first ones have stayed ready for long enough.
    """

    old: ProcessSpec
    total: int
    replaced: tuple[str, ...] = ()
    failures: int = 0
    settled_at: float | None = None
    back: bool = False


class RolloutsState(Struct, frozen=True):
    """Those under way by type, and why the last one of a type was aborted."""

    running: dict[str, Rollout] = {}
    aborted: dict[str, str] = {}


class Rollouts:
    def __init__(self, state: RolloutsState = RolloutsState()) -> None:  # noqa: B008  frozen
        self._running = dict(state.running)
        self._aborted = dict(state.aborted)

    def state(self) -> RolloutsState:
        return RolloutsState(dict(self._running), dict(self._aborted))

    def get(self, type_name: str) -> Rollout | None:
        return self._running.get(type_name)

    def begin(self, type_name: str, old: ProcessSpec, total: int, *, back: bool = False) -> None:
        """So many of a type are to be replaced. One that is under way goes back to where it began, should this fail."""
        before = self._running.get(type_name)
        if before is not None and not before.back and not back:
            old = before.old
        if not back:
            self._aborted.pop(type_name, None)
        self._running[type_name] = Rollout(old=old, total=total, back=back)

    def forget(self, type_name: str) -> None:
        """The type is gone, or its rollout is over."""
        self._running.pop(type_name, None)

    @property
    def running(self) -> tuple[str, ...]:
        return tuple(self._running)

    def clear(self) -> None:
        self._running.clear()

    def budget(self, spec: ProcessSpec, slots: list[Instance], now: float) -> int:
        """How many that are in rotation may be replaced at this moment."""
        rollout = self._running.get(spec.type)
        limit = (spec.rolling or policies.Rolling()).away(len(slots))
        free = limit - away(slots)
        if rollout is None or rollout.back or settled(rollout, now):
            return free
        return min(free, limit - len(rollout.replaced))

    def replaced(self, i: Instance) -> None:
        """One is replaced now."""
        rollout = self._running.get(i.spec.type)
        if rollout is not None and i.name not in rollout.replaced:
            self._running[i.spec.type] = replace(rollout, replaced=(*rollout.replaced, i.name))

    def ready(self, type_name: str, slots: list[Instance], now: float) -> float | None:
        """Somebody is ready: when the others may follow, if all that were replaced are so for the first time."""
        rollout = self._running.get(type_name)
        if rollout is None or rollout.settled_at is not None:
            return None
        new = {i.name for i in slots if isinstance(i.phase, Ready)}
        if not new.issuperset(rollout.replaced):
            return None
        self._running[type_name] = replace(rollout, settled_at=now + SETTLE)
        return now + SETTLE

    def died(self, i: Instance, died: Died) -> Rollout | None:
        """An instance has died: the rollout that is aborted by it."""
        rollout = self._running.get(i.spec.type)
        if rollout is None or rollout.back or i.name not in rollout.replaced:
            return None
        failures = rollout.failures + 1
        if failures < FAILURES and died.retried and not died.late:
            self._running[i.spec.type] = replace(rollout, failures=failures, settled_at=None)
            return None
        del self._running[i.spec.type]
        return rollout

    def abort(self, type_name: str, why: str) -> None:
        self._aborted[type_name] = why

    def shown(self, type_name: str, pending: int) -> str | None:
        """`2 of 4`, or `aborted: …`."""
        rollout, aborted = self._running.get(type_name), self._aborted.get(type_name)
        done = f"{rollout.total - pending} of {rollout.total}" if rollout is not None else None
        if aborted is None:
            return done
        return f"aborted: {aborted}" + (f"; back to the old settings: {done}" if done else "")


def away(slots: list[Instance]) -> int:
    """How many are wanted and not in rotation at the moment. What is stopped, done or failed is not waited for."""
    return sum(i.wanted and not isinstance(i.phase, (Ready, *AT_REST)) for i in slots)


def settled(rollout: Rollout, now: float) -> bool:
    """Whether the first ones have proved themselves."""
    return rollout.settled_at is not None and now >= rollout.settled_at
