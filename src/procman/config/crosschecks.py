"""Finds values of procman.yml that do not go together although each is right by itself, and faults in its `defaults`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import UnsetType

from procman.config.keys import rows
from procman.config.policies import SpecContext
from procman.config.sections import DefaultsSection
from procman.config.source import brief, plain
from procman.core.spec import DEFAULT_GRACE
from procman.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from procman.config.specs import Document
    from procman.errors import Fault


def default_faults(document: Document) -> Iterator[Fault]:
    """Faults in the values of `defaults`, found by the same checks as in a process."""
    assert document.settings is not None
    defaults = document.settings.defaults
    context = SpecContext("", defaults, (), frozenset(), DEFAULT_GRACE)
    for key in DefaultsSection.__struct_fields__:
        check = rows()[key].check
        for where, *texts in check(getattr(defaults, key), context) if check is not None else ():
            yield document.fault(f"defaults.{key}{where}", *texts)


def group_faults(document: Document, types: Collection[str]) -> Iterator[Fault]:
    """Faults of groups: unknown members, and members of two groups."""
    assert document.settings is not None
    grouped: dict[str, str] = {}
    for group, section in document.settings.groups.items():
        path = f"groups.{plain(group)}.members"
        if not section.members:
            yield document.fault(path, "cannot use a list without members")
        for number, name in enumerate(section.members):
            where = f"{path}[{number}]"
            if name not in types:
                yield document.fault(where, f"cannot find the process type {brief(name)}", nearest(name, types))
            elif name in section.members[:number]:
                yield document.fault(where, f"cannot name {brief(name)} twice", "leave one of them out")
            elif name in grouped:
                yield document.fault(where, f"cannot put {name} into two groups: {grouped[name]} has it")
        grouped |= dict.fromkeys(section.members, group)


def order_faults(document: Document) -> Iterator[Fault]:
    """Refuse types that wait for one another, as none of them could ever start."""
    assert document.settings is not None
    needs = {
        name: tuple(section.depends_on)
        for name, section in document.processes.items()
        if not isinstance(section.depends_on, UnsetType)
    }
    with_groups = dict(needs)  # each member of a group waits for the one before it, too
    for group in document.settings.groups.values():
        for before, member in pairwise(group.members):
            with_groups[member] = (*with_groups.get(member, ()), before)
    hint = "leave one of these out"
    circle = _circle(needs)
    if not circle:
        hint = "members of a group start in their order: change it, or leave this out"
        circle = _circle(with_groups)
    # reported if one of them has such a key: the order of a group alone is no circle, but a type in two groups, or twice
    # in one, which is a fault of its own
    first = next((n for n, (a, b) in enumerate(pairwise(circle)) if b in needs.get(a, ())), None)
    if first is not None:
        ring = [*circle[first:-1], *circle[: first + 1]]
        message = f"cannot start any of them: {' waits for '.join(ring)}"
        yield document.fault(f"processes.{plain(ring[0])}.depends_on", message, hint)


def _circle(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Types that wait for one another in this order, with the first one repeated at the end; empty if all can start."""
    if not needs:
        return []
    from graphlib import CycleError, TopologicalSorter  # noqa: PLC0415  only where a type waits for another

    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return []
