"""A procman.yml that was read: its settings, and where each of them stands. Light: a start without one loads no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from procman.errors import Fault

if TYPE_CHECKING:
    from procman.config.keys import ProcessSection, ProcmanYml


class Document(Struct, frozen=True):
    """Its settings (None: there is no file), and the line of each value by its path (`processes.web.stop.grace`)."""

    settings: ProcmanYml | None = None
    lines: dict[str, int] = {}
    file: str = ""
    faulty: frozenset[str] = frozenset()
    """Paths at which something was left out because it cannot be used, and of all that they are in."""

    @property
    def formation(self) -> dict[str, int]:
        return self.settings.formation if self.settings is not None else {}

    @property
    def processes(self) -> dict[str, ProcessSection]:
        return self.settings.processes if self.settings is not None else {}

    @property
    def named(self) -> set[str]:
        """Every process type that it speaks of."""
        return {*self.formation, *self.processes}

    def fault(self, path: str, message: str, hint: str = "") -> Fault:
        return Fault(self.file, self.lines.get(path, 0), f"{path}: {message}", hint)
