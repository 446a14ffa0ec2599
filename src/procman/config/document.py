"""A procman.yml that has been read: its settings, and the line of each. A start without such a file loads only this
module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct

from procman.errors import Fault

if TYPE_CHECKING:
    from procman.config.keys import ProcessSection, ProcmanYml


class Document(Struct, frozen=True):
    """The settings (None: there is no file), and the line of each value by its path (`processes.web.stop.grace`)."""

    settings: ProcmanYml | None = None
    lines: dict[str, int] = {}
    file: str = ""
    faulty: frozenset[str] = frozenset()
    """The paths at which something unusable was left out, and the paths of everything that contains it."""

    @property
    def formation(self) -> dict[str, int]:
        return self.settings.formation if self.settings is not None else {}

    @property
    def processes(self) -> dict[str, ProcessSection]:
        return self.settings.processes if self.settings is not None else {}

    @property
    def named(self) -> set[str]:
        """Every process type that is named in it."""
        if self.settings is None:
            return set()
        needed = [section.depends_on for section in self.processes.values() if section.depends_on is not UNSET]
        members = [section.members for section in self.settings.groups.values()]
        return {*self.formation, *self.processes}.union(*needed, *members)

    def fault(self, path: str, message: str, hint: str = "") -> Fault:
        return Fault(self.file, self.lines.get(path, 0), f"{path}: {message}", hint)
