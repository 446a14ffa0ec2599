"""Which instances a person means: by type, by name, or by a shell pattern."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase, translate
from functools import cached_property
from typing import TYPE_CHECKING

from procman.errors import nearest
from procman.text.words import LISTED, type_of

if TYPE_CHECKING:  # a client needs this, too, and nothing of how an instance is made: 3 ms of `ps`
    from procman.core.phases import Instance

Refusal = tuple[str, str]
"""Message and hint."""

_WILD = frozenset("*?[")

MOST_PATTERNS = 50
"""Most patterns of one request: each is compiled, and tested on every instance."""


def refuse_type(name: str, types: Collection[str]) -> Refusal | None:
    """The refusal of a name that is not a type; None if it is one."""
    return None if name in types else (f"cannot find a process type '{name}'", nearest(name, types))


def matching(names: Sequence[str], instances: Sequence[Instance], types: Collection[str]) -> list[Instance] | Refusal:
    """The named instances, in order; all of them without a name. A name that matches nothing is refused; a type with a
    count of 0 matches, and selects none.
    """
    if not names:
        return list(instances)
    chosen = Selector(names)
    return chosen.refuse(types, [i.name for i in instances]) or [i for i in instances if chosen.matches(i.name)]


class Selector:
    """The names of a request, to be tested on many instances: a plain name costs the same however many there are."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._exact = frozenset(names)
        self._patterns = [name for name in self._exact if is_pattern(name)]

    @cached_property
    def _wild(self) -> re.Pattern[str] | None:
        """All patterns in one, because fnmatch only caches 256 (3.11)."""
        return re.compile("|".join(map(translate, self._patterns))) if self._patterns else None

    def matches(self, name: str) -> bool:
        """Whether one of the names selects this instance."""
        kind = type_of(name)
        if name in self._exact or kind in self._exact:
            return True
        return self._wild is not None and bool(self._wild.match(name) or self._wild.match(kind))

    def refuse(self, types: Collection[str], instances: Collection[str]) -> Refusal | None:
        """The refusal of the first name that matches nothing, or of too many patterns for `matches` to test."""
        if len(self._patterns) > MOST_PATTERNS:
            return f"cannot use {len(self._patterns)} patterns at once", f"at most {MOST_PATTERNS}"
        known = {*types, *instances, *map(type_of, instances)}
        for name in self._names:
            if name not in known and not (is_pattern(name) and any(fnmatchcase(k, name) for k in known)):
                hint = nearest(name, dict.fromkeys([*types, *instances]))
                return f"cannot find an instance or process type '{name}'", hint
        return None


def is_pattern(name: str) -> bool:
    """Whether it is a pattern: matching costs much more than comparing (fnmatch)."""
    return not _WILD.isdisjoint(name)


def listed(instances: Iterable[Instance]) -> str:
    """`web.1, web.2 and 40 more`."""
    names = [i.name for i in instances]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
