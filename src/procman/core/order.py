"""The order of types: at the start they wait for their dependencies and for earlier members of their group, and at the
end a type that others depend on stops last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.core.desired import Desired
from procman.core.phases import UP, Done, Down, Failed, Instance, Ready
from procman.core.slots import Slots, World
from procman.core.spec import Plan, ProcessSpec
from procman.later import later
from procman.text.words import duration

if TYPE_CHECKING:
    from procman.core import groups, policies
    from procman.core.policies import Dependency, Until
else:
    groups = later(__name__, "procman.core.groups")
    policies = later(__name__, "procman.core.policies")

STOP_LEAD = 2.0
"""Seconds before the end of the whole stop, at most half of it, at which all that still wait are asked to end."""


# ---- up


def unmet(spec: ProcessSpec, desired: Desired, slots: Slots) -> tuple[Dependency, ...]:
    """Dependencies that it cannot start without yet. A type that is scaled to 0 is not waited for."""
    return tuple(
        one for one in spec.depends_on if desired.count(one.type) > 0 and not _met(one, slots.of(one.type), desired)
    )


def _met(one: Dependency, slots: list[Instance], desired: Desired) -> bool:
    numbers = desired.numbers(one.type)
    reached = [i for i in slots if i.index in numbers and _has_reached(i, one.until)]
    return len(reached) >= (len(numbers) if one.every else 1)


def _has_reached(i: Instance, until: Until) -> bool:
    match until:
        case policies.Until.STARTED:
            return isinstance(i.phase, (*UP, Done))
        case policies.Until.READY:
            return isinstance(i.phase, Ready | Done)
        case policies.Until.DONE:
            return isinstance(i.phase, Done)


def explain(one: Dependency, slots: Slots, now: float) -> str:
    """`redis: not ready, 4 s`."""
    ended = ended_for_good(one, slots)
    if ended is not None and isinstance(ended.phase, Failed):
        return f"{one.type}: {ended.name} failed: {ended.phase.why.text}"
    if ended is not None and isinstance(ended.phase, Down) and ended.phase.why is not None:
        return f"{one.type}: {ended.name} is {ended.phase.why.text}"
    since = min((_began(i, one.until) for i in slots.of(one.type)), default=now)
    return f"{one.type}: not {one.until.value}, {duration(now - since)}"


def _began(i: Instance, until: Until) -> float:
    """Since when it has been on its way. One that has to be done counts from its start."""
    return i.leader.started_at if until is policies.Until.DONE and i.leader is not None else i.phase_since


def ended_for_good(one: Dependency, slots: Slots) -> Instance | None:
    """The instance that a person has to start before this dependency is met: one that failed, else one that was stopped.
    None if another one is running, or is about to.
    """
    standing = slots.of(one.type)
    if not all(isinstance(i.phase, (Failed, Down)) for i in standing):
        return None
    return next((i for i in standing if isinstance(i.phase, Failed)), next(iter(standing), None))


def hopeless(dependencies: tuple[Dependency, ...], slots: Slots) -> str | None:
    """The failed instance because of which one of them cannot be met any more without a person's help."""
    for one in dependencies:
        standing = slots.of(one.type)
        if standing and all(isinstance(i.phase, Failed) for i in standing):
            return standing[0].name
    return None


class Blockers(Struct, frozen=True):
    """What keeps an instance from starting: dependencies, and earlier members of its group. It decides and explains."""

    dependencies: tuple[Dependency, ...] = ()
    ahead: tuple[groups.Ahead, ...] = ()

    @property
    def on(self) -> tuple[str, ...]:
        """The types that it waits for."""
        types = [one.type for one in self.dependencies] + [one.type for one in self.ahead]
        return tuple(dict.fromkeys(types))

    def needs(self) -> list[str]:
        """`redis is ready`."""
        needed = [f"{one.type} is {one.until.value}" for one in self.dependencies]
        return needed + [f"{one.type} is {one.until}" for one in self.ahead]

    def explain(self, slots: Slots, now: float) -> str:
        """`redis: not ready, 4 s`."""
        texts: dict[str, str] = {}  # one for each type: what is to be stopped first is not ready then, either
        for needed in self.dependencies:
            texts.setdefault(needed.type, explain(needed, slots, now))
        for ahead in self.ahead:
            texts.setdefault(ahead.type, groups.explain(ahead, slots, now))
        return "; ".join(texts.values())

    def to_start(self, slots: Slots) -> str | None:
        """An instance that a person has to start before the needs are met."""
        ended = (ended_for_good(one, slots) for one in self.dependencies)
        return next((i.name for i in ended if i is not None), None) or self.hopeless(slots)

    def hopeless(self, slots: Slots) -> str | None:
        """A failed instance because of which the needs cannot be met any more without a person's help."""
        return hopeless(self.dependencies, slots) or next((one.failed for one in self.ahead if one.failed), None)


def blockers(spec: ProcessSpec, world: World, grouped: groups.Groups | None) -> Blockers:
    """What instances of this type wait for now."""
    ahead = grouped.ahead(spec.type, world) if grouped is not None else ()
    return Blockers(unmet(spec, world.desired, world.slots), ahead)


# ---- down


def dependents(plan: Plan) -> dict[str, list[str]]:
    """By type, the types that need it, and later members of its group. One pass over the plan serves a whole stop."""
    found: dict[str, list[str]] = {}
    for t, spec in plan.types.items():
        for one in spec.depends_on:
            found.setdefault(one.type, []).append(t)
    for group in plan.groups:
        for position, member in enumerate(group.members):
            found.setdefault(member, []).extend(group.members[position + 1 :])
    return found


def may_stop(type_name: str, needed_by: Mapping[str, list[str]], slots: Slots) -> bool:
    """Whether nothing is left of the types that need it."""
    return needed_until_its_end(type_name, needed_by, slots) is None


def needed_until_its_end(type_name: str, needed_by: Mapping[str, list[str]], slots: Slots) -> Instance | None:
    """An instance that needs this type and has not ended. In a circle, which no plan has, a type does not need itself."""
    seen, left = {type_name}, [*needed_by.get(type_name, ())]
    while left:
        other = left.pop()
        if other in seen:
            continue
        seen.add(other)
        busy = next((i for i in slots.of(other) if slots.is_busy(i)), None)
        if busy is not None:
            return busy
        left += needed_by.get(other, ())
    return None


def all_asked_at(since: float, grace: float) -> float:
    """When instances that still wait for their turn are asked to end."""
    return since + grace - min(STOP_LEAD, grace / 2)
