"""What keeps an instance from starting: types that it depends on, and earlier members of its group. The same value
decides and explains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from procman.core import order
from procman.core.slots import Slots
from procman.core.spec import ProcessSpec
from procman.later import later

if TYPE_CHECKING:
    from procman.core import groups
    from procman.core.desired import Desired
    from procman.core.policies import Dependency
else:
    groups = later(__name__, "procman.core.groups")


class Blockers(Struct, frozen=True):
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
            texts.setdefault(needed.type, order.explain(needed, slots, now))
        for ahead in self.ahead:
            texts.setdefault(ahead.type, groups.explain(ahead, slots, now))
        return "; ".join(texts.values())

    def to_start(self, slots: Slots) -> str | None:
        """An instance that a person has to start before the needs are met."""
        ended = (order.ended_for_good(one, slots) for one in self.dependencies)
        return next((i.name for i in ended if i is not None), None) or self.hopeless(slots)

    def hopeless(self, slots: Slots) -> str | None:
        """A failed instance because of which the needs cannot be met any more without a person's help."""
        return order.hopeless(self.dependencies, slots) or next((one.failed for one in self.ahead if one.failed), None)


def of(spec: ProcessSpec, desired: Desired, world: groups.GroupWorld, grouped: groups.Groups | None) -> Blockers:
    """What instances of this type wait for now."""
    unmet = order.unmet(spec, desired, world.slots) if spec.depends_on else ()
    return Blockers(unmet, grouped.ahead(spec.type, world) if grouped is not None else ())
