"""Every slot, by type and number, and the generations and tokens of removed slots.

Companions have slots here, too, which iteration over the formation leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from msgspec import Struct

from procman.core.desired import Desired, Role
from procman.core.phases import AT_REST, Instance
from procman.core.spec import Plan, ProcessSpec, is_companion


class SlotsState(Struct, frozen=True):
    """The slots as a value: types in order, instances by number, and the generations and tokens of removed ones."""

    types: tuple[str, ...]
    instances: tuple[Instance, ...] = ()
    past: dict[str, tuple[int, int]] = {}


class Slots:
    """The instances. As an instance is a value, `put()` records each step."""

    def __init__(self, state: SlotsState) -> None:
        self._by_type: dict[str, list[Instance | None]] = {name: [] for name in state.types}  # by index - 1
        self._past = dict(state.past)  # name -> last generation and token of a removed slot
        self._busy: set[str] = set()  # names; updated at each step, as each end would look at all others otherwise
        for i in state.instances:
            self.put(i)

    def state(self) -> SlotsState:
        return SlotsState(tuple(self._by_type), tuple(self.everyone()), dict(self._past))

    def __iter__(self) -> Iterator[Instance]:
        """In the Procfile's order, then by number."""
        types = self._by_type.items()
        return (i for name, slots in types if not is_companion(name) for i in slots if i is not None)

    def everyone(self) -> Iterator[Instance]:
        """Every slot, including companions."""
        return (i for slots in self._by_type.values() for i in slots if i is not None)

    def companions(self) -> list[Instance]:
        types = self._by_type.items()
        return [i for name, slots in types if is_companion(name) for i in slots if i is not None]

    @property
    def settled(self) -> bool:
        """Whether no instance is about to start, and nothing is left of any except what KILL did not remove."""
        return not self._busy

    @property
    def any_busy(self) -> bool:
        """Whether something of an instance exists or is about to, companions aside."""
        return not all(map(is_companion, self._busy))

    def of(self, type_name: str) -> list[Instance]:
        return [i for i in self._by_type.get(type_name, ()) if i is not None]

    def any_alive(self, type_name: str) -> bool:
        """Whether a leader of this type lives. First and last are asked first: a scaling leaves the first, and in a stop of
        a thousand the last ones end last.
        """
        slots = self._by_type.get(type_name, [])
        for i in chain(slots[:1], reversed(slots)):  # noqa: SIM110  a generator is slower, at each end
            if i is not None and i.alive:
                return True
        return False

    def taken(self, spec: ProcessSpec) -> set[int]:
        """The numbers that a type's slots have, and those whose port a slot of another type has."""
        numbers = {i.index for i in self.of(spec.type)}
        if spec.port is not None:
            ports = [i.spec.port_of(i.index) for i in self if i.spec.type != spec.type]
            numbers |= {port - spec.port + 1 for port in ports if port is not None}
        return numbers

    def get(self, name: str) -> Instance | None:
        type_name, _, index = name.rpartition(".")
        slots = self._by_type.get(type_name)
        if not slots or not index.isdecimal():
            return None
        place = int(index) - 1
        return slots[place] if 0 <= place < len(slots) else None

    def is_busy(self, i: Instance) -> bool:
        """Whether something of it exists or is about to."""
        return i.name in self._busy

    def new(self, name: str, spec: ProcessSpec, index: int, now: float) -> Instance:
        """A new slot. Generations and tokens continue those of an earlier one, whose timers may still fire."""
        generation, token = self._past.pop(name, (0, 0))
        return Instance(name=name, index=index, spec=spec, generation=generation, token=token, phase_since=now)

    def put(self, i: Instance) -> None:
        slots = self._by_type.get(i.spec.type)
        if not slots:
            slots = self._by_type[i.spec.type] = [None] * i.index  # of exactly that size: most types have one instance
        elif i.index > len(slots):
            slots += [None] * (i.index - len(slots))
        slots[i.index - 1] = i
        if isinstance(i.phase, AT_REST) or i.unkillable:
            self._busy.discard(i.name)
        else:
            self._busy.add(i.name)

    def remove(self, i: Instance) -> None:
        slots = self._by_type[i.spec.type]
        slots[i.index - 1] = None
        while slots and slots[-1] is None:
            slots.pop()
        self._busy.discard(i.name)
        self._past[i.name] = i.generation, i.token

    def arrange(self, types: Iterable[str]) -> None:
        """These are the types from now on, in this order; what is left of removed ones follows."""
        wanted = {name: self._by_type.get(name, []) for name in types}
        leftover = {name: slots for name, slots in self._by_type.items() if name not in wanted and slots}
        self._by_type = wanted | leftover


class World(Struct, frozen=True):
    """What decisions about several slots are based on."""

    plan: Plan
    desired: Desired
    slots: Slots

    def standing(self) -> list[Instance]:
        """The regular slots of the formation, without those that are leaving and the extra ones of rollouts."""
        return [i for i in self.slots if self.desired.role(i.spec.type, i.index) is Role.REGULAR]

    def regular(self, type_name: str) -> list[Instance]:
        """The regular slots of one type."""
        numbers = self.desired.numbers(type_name)
        return [i for i in self.slots.of(type_name) if i.index in numbers]

    def surge(self, type_name: str) -> Instance | None:
        """The extra instance of its rollout."""
        number = self.desired.surge.get(type_name)
        return None if number is None else self.slots.get(f"{type_name}.{number}")

    def extras(self) -> list[Instance]:
        return [i for i in map(self.surge, self.desired.surge) if i is not None]
