"""Which instances a person means: by type, by name, or by a shell pattern."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase, translate

from procman.core.state import Instance
from procman.errors import nearest

Refusal = tuple[str, str]
"""Message and hint."""

_WILD = frozenset("*?[")

LISTED = 8
"""Names that one line lists before it counts the rest."""


def refuse_type(name: str, types: Collection[str]) -> Refusal | None:
    """The refusal of a name that is no type; None where it is one."""
    return None if name in types else (f"cannot find a process type '{name}'", nearest(name, types))


def matching(names: Sequence[str], instances: Sequence[Instance], types: Collection[str]) -> list[Instance] | Refusal:
    """The instances that are named, in their order; all of them where no name is given.

    A name that fits nothing is refused; a type at count 0 fits, and means none.
    """
    if not names:
        return list(instances)
    chosen = Chosen(names)
    return chosen.refuse(types, [i.name for i in instances]) or [i for i in instances if chosen.means(i.name)]


class Chosen:
    """What a person names, to be asked of many instances: a name costs the same however many others there are."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._exact = frozenset(names)
        patterns = [translate(name) for name in self._exact if is_pattern(name)]
        # compiled as one, as fnmatch keeps only its last 256 (3.11)
        self._wild = re.compile("|".join(patterns)).match if patterns else None

    def means(self, name: str) -> bool:
        """Whether one of them means the instance of this name."""
        kind = type_of(name)
        if name in self._exact or kind in self._exact:
            return True
        return self._wild is not None and bool(self._wild(name) or self._wild(kind))

    def refuse(self, types: Collection[str], instances: Collection[str]) -> Refusal | None:
        """The refusal of the first that means no type, also one without an instance, and none of these instances."""
        known = {*types, *instances, *map(type_of, instances)}
        for name in self._names:
            if name not in known and not (is_pattern(name) and any(fnmatchcase(k, name) for k in known)):
                hint = nearest(name, dict.fromkeys([*types, *instances]))
                return f"cannot find an instance or process type '{name}'", hint
        return None


def type_of(instance: str) -> str:
    """The type in the name of an instance; "" where it has none, such as `system`."""
    return instance.rpartition(".")[0]


def is_pattern(name: str) -> bool:
    """Whether it may mean more than itself: matching costs much more than comparing (fnmatch)."""
    return not _WILD.isdisjoint(name)


def listed(instances: Iterable[Instance]) -> str:
    """`web.1, web.2 and 40 more`."""
    names = [i.name for i in instances]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
