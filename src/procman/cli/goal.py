"""What `--wait` waits for, judged on a view of the fleet alone: pure, and no event can be missed that the view shows.

`left(view)` names what is still to come, as people read it; it raises HopelessError where it never will.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from procman.errors import ProcmanError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procman.control.messages import Accepted
    from procman.core.view import FleetView, InstanceView

UP = ("ready", "done")


class HopelessError(ProcmanError):
    """What is waited for cannot come any more."""


class StoppingError(HopelessError):
    """procman itself is about to end."""


class Up(Struct, frozen=True):
    """Every instance of `after` is ready, or done, in a life later than that number; types have as many slots as said.

    `restarts` are the counts of automatic restarts when the waiting began: a type in a crash loop is given up once an
    awaited instance has died since.
    """

    after: dict[str, int]
    slots: dict[str, int] = {}
    restarts: dict[str, int] = {}

    def left(self, view: FleetView) -> list[str]:
        if view.stopping:
            raise StoppingError("cannot go on waiting: procman is stopping")
        rows = {i.name: i for i in view.instances}
        late = [told for name, life in self.after.items() if (told := self._left_of(name, rows.get(name), life))]
        leaving = [i for i in view.instances if i.type in self.slots and _number(i.name) > self.slots[i.type]]
        return late + [f"{i.name} ({i.reason or i.phase})" for i in leaving]

    def _left_of(self, name: str, i: InstanceView | None, life: int) -> str:
        if i is None:
            raise HopelessError(f"cannot go on waiting for {name}: it is no longer there")
        if i.phase in ("failed", "stopped"):
            why = f": {i.reason}" if i.reason else ""
            raise HopelessError(
                f"cannot go on waiting for {name}: it is {i.phase}{why}", f"`procman restart {name}` starts it"
            )
        if i.crash_loop and (i.phase == "backoff" or i.restarts > self.restarts.get(name, i.restarts)):
            why = i.reason or f"last {i.last_exit}"
            raise HopelessError(f"cannot go on waiting for {name}: {why}", f"see `procman logs {name}`")
        if i.phase in UP and i.generation > life:
            return ""
        return f"{name} ({i.phase}: {i.reason})" if i.reason else f"{name} ({i.phase})"


class Down(Struct, frozen=True):
    """None of these instances runs."""

    names: tuple[str, ...]

    def left(self, view: FleetView) -> list[str]:
        left = [i for i in view.instances if i.name in self.names and i.phase != "stopped"]
        for i in left:
            if i.reason and i.reason.startswith("unkillable"):
                raise HopelessError(f"cannot stop {i.name}: {i.reason}", f"see pid {i.pid}")
            if i.phase == "ready":
                raise HopelessError(f"cannot go on waiting for {i.name}: it was started again")
        return [f"{i.name} ({i.reason or i.phase})" for i in left]


def scaled(answer: Accepted, types: Iterable[str], view: FleetView) -> Up:
    """These types have exactly as many instances as was accepted, all up."""
    slots = {name: answer.formation[name] for name in types}
    after = {f"{name}.{number}": 0 for name, count in slots.items() for number in range(1, count + 1)}
    return Up(after, slots, restarts(view))


def renewed(answer: Accepted, before: FleetView, view: FleetView) -> Up:
    """Every instance that was touched lives anew, or is gone where the formation has no place for it."""
    lives = {i.name: i.generation for i in before.instances}
    slots = {_type(name): answer.formation.get(_type(name), 0) for name in answer.instances}
    stay = [name for name in answer.instances if _number(name) <= slots[_type(name)]]
    return Up({name: lives.get(name, 0) for name in stay}, slots, restarts(view))


def restarts(view: FleetView) -> dict[str, int]:
    return {i.name: i.restarts for i in view.instances}


def _type(name: str) -> str:
    return name.rpartition(".")[0]


def _number(name: str) -> int:
    return int(name.rpartition(".")[2])
