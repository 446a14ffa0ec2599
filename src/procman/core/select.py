"""Which instances a person means: by type, by name, or by a shell pattern."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from procman.core.state import Instance
from procman.errors import nearest

Refusal = tuple[str, str]
"""Message and hint."""

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
    for name in names:
        if not fits_type(name, types) and not any(fits(name, i.name) for i in instances):
            known = [*types, *(i.name for i in instances)]
            return f"cannot find an instance or process type '{name}'", nearest(name, known)
    return [i for i in instances if any(fits(name, i.name) for name in names)]


def fits(pattern: str, name: str) -> bool:
    """Whether a type, an instance or a shell pattern means the instance of this name."""
    type_name = name.rpartition(".")[0]
    return pattern in (type_name, name) or fnmatchcase(name, pattern) or fnmatchcase(type_name, pattern)


def fits_type(pattern: str, types: Iterable[str]) -> bool:
    """Whether it means a type, also one without an instance."""
    return any(name == pattern or fnmatchcase(name, pattern) for name in types)


def listed(instances: Iterable[Instance]) -> str:
    """`web.1, web.2 and 40 more`."""
    names = [i.name for i in instances]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
