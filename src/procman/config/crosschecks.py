"""Finds values of procman.yml that do not go together although each is right by itself, and faults in its `defaults`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import UnsetType

from procman.config import checks, policies
from procman.config.keys import rows
from procman.config.sections import DefaultsSection
from procman.config.source import plain
from procman.core.spec import DEFAULT_GRACE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from procman.config.document import Document
    from procman.errors import Fault


def default_faults(document: Document) -> list[Fault]:
    """Faults in the values of `defaults`, found by the same checks as in a process."""
    assert document.settings is not None
    defaults = document.settings.defaults
    context = policies.SpecContext("", defaults, frozenset(), frozenset(), DEFAULT_GRACE)
    return [
        document.fault(f"defaults.{key}{where}", message, hint)
        for key in DefaultsSection.__struct_fields__
        if (check := rows()[key].check) is not None
        for where, message, hint in check(getattr(defaults, key), context)
    ]


def group_faults(document: Document, types: Collection[str]) -> list[Fault]:
    """Faults of groups: unknown members, and members of two groups."""
    assert document.settings is not None
    grouped: dict[str, str] = {}
    faults = []
    for name, section in document.settings.groups.items():
        path = f"groups.{plain(name)}"
        faults += [document.fault(path + where, *texts) for where, *texts in checks.group(section, types, grouped)]
        grouped |= dict.fromkeys(section.members, name)
    return faults


def order_faults(document: Document) -> list[Fault]:
    """Refuse types that wait for one another, as none of them could ever start."""
    needs = {
        name: tuple(section.depends_on)
        for name, section in document.processes.items()
        if not isinstance(section.depends_on, UnsetType)
    }
    circle = checks.cycle(needs)
    grouped = circle or checks.cycle(_with_groups(document, needs))
    if not grouped:
        return []
    # reported if one of them has such a key: the order of a group alone is no circle
    first = next((n for n, (a, b) in enumerate(pairwise(grouped)) if b in needs.get(a, ())), None)
    if first is None:  # a type in two groups, or twice in one, which is a fault of its own
        return []
    ring = [*grouped[first:-1], *grouped[: first + 1]]
    hint = (
        "leave one of these out" if circle else "members of a group start in their order: change it, or leave this out"
    )
    message = f"cannot start any of them: {' waits for '.join(ring)}"
    return [document.fault(f"processes.{plain(ring[0])}.depends_on", message, hint)]


def _with_groups(document: Document, needs: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The same, where each member of a group waits for the one before it, too."""
    assert document.settings is not None
    both = dict(needs)
    for section in document.settings.groups.values():
        for before, member in pairwise(section.members):
            both[member] = (*both.get(member, ()), before)
    return both
