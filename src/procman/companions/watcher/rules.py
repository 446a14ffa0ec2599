"""What a change of files means: which types it concerns, and which of their instances are restarted. Pure.

Paths and patterns are relative to the root, with `/`. A pattern is matched name by name: `*`, `?` and `[…]` as in a
shell, `**` for any number of folders, including none; a leading dot must be written. A last name without a wildcard may
be a folder, and includes everything in it.
"""

from __future__ import annotations

import os.path
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from procman.core.view import FleetView

DEEP = "**"

IGNORED = (
    "__pycache__",
    "node_modules",
    "venv",
    "*.egg-info",
    "*.py[co]",
    "*~",
    "4913",  # a file that vim creates to test whether it can write
    "*.tmp",
    "*.log",
    "*.pid",
    "*.sock",
    "*.db",
    "*.db-*",
    "*.sqlite*",
    "Procfile",  # `procman reload` reads these two, a restart does not
    "procman.yml",
)
"""Names of files and folders that are never sources. Names with a leading dot are excluded by the rule above."""

IGNORED_AT_THE_TOP = ("build", "coverage", "dist", "log", "logs", "target", "tmp")
"""Folders in the root that programs write to. Further down, a folder of that name may contain sources."""

NOT_RESTARTED = ("stopped", "stopping")
"""Phases in which an instance is not restarted: one that a person stopped stays so, and one that is about to start will
see the change.
"""


class Rule(Struct, frozen=True):
    """The files that concern a type."""

    type: str
    pattern: str

    @classmethod
    def of(cls, type_name: str, pattern: str) -> Rule:
        """The rule of a pattern in procman.yml."""
        return cls(type_name, os.path.normpath(pattern))

    def concerns(self, path: str) -> bool:
        names = self.pattern.split("/")
        if not _wild(names[-1]):
            names.append(DEEP)
        return _matches(path.split("/"), names)

    def leads_to(self, folder: str) -> bool:
        """Whether it can match something in this folder."""
        return _matches(folder.split("/"), [*self.pattern.split("/"), DEEP], begun=True)

    def base(self) -> str:
        """The folder above everything that it can match."""
        names = self.pattern.split("/")[:-1]
        wild = next((n for n, name in enumerate(names) if _wild(name)), len(names))
        return "/".join(names[:wild]) or "."


def concerned(rules: Iterable[Rule], paths: Iterable[str]) -> dict[str, list[str]]:
    """The types that these changes concern, each with the changed paths."""
    sources = [path for path in sorted(paths) if not is_ignored(path)]
    found: dict[str, list[str]] = {}
    for rule in rules:
        for path in sources:
            if rule.concerns(path) and path not in found.setdefault(rule.type, []):
                found[rule.type].append(path)
    return {type_name: of_type for type_name, of_type in found.items() if of_type}


def instances(view: FleetView, type_name: str) -> tuple[str, ...]:
    """The instances of a type to restart."""
    return tuple(i.name for i in view.instances if i.type == type_name and i.phase not in NOT_RESTARTED)


def is_ignored(path: str) -> bool:
    names = path.split("/")
    if names[0] in IGNORED_AT_THE_TOP and len(names) > 1:
        return True
    return any(fnmatchcase(name, pattern) for name in names for pattern in IGNORED)


def _wild(name: str) -> bool:
    return any(character in name for character in "*?[")


def _matches(names: Sequence[str], pattern: Sequence[str], *, begun: bool = False) -> bool:
    """Whether the pattern matches these names, or, where they are only `begun`, them with others after them."""
    if not names and (begun or not pattern):
        return True
    if not pattern:
        return False
    shown = bool(names) and (names[0][:1] != "." or pattern[0][:1] == ".")
    if pattern[0] == DEEP:
        return _matches(names, pattern[1:], begun=begun) or (shown and _matches(names[1:], pattern, begun=begun))
    return shown and fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:], begun=begun)
