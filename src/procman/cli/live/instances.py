"""The table of instances on the live screen. It keeps the cursor on its instance while rows appear, disappear and
change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.binding import Binding
from textual.message import Message
from textual.widgets import DataTable

from procman.cli.show.instances import HEAD, NUMBERS, cells

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar

    from textual.binding import BindingType

    from procman.observe.listing import Row

CALM, BUSY, BAD, IDLE = "color(28)", "color(166)", "color(160)", "dim"
PHASES = {
    "ready": CALM,
    "done": CALM,
    "waiting": IDLE,
    "starting": BUSY,
    "unhealthy": BAD,
    "draining": BUSY,
    "stopping": BUSY,
    "backoff": BAD,
    "failed": BAD,
    "stopped": IDLE,
}
"""Colours of the 256-colour table that are readable on black and on white (see text/colour.PALETTE)."""


class Instances(DataTable[Text]):
    """Rows by name. The cursor stays on its instance; if that disappears, on the one in its place."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", show=False),
        Binding("k", "cursor_up", show=False),
        Binding("g", "scroll_top", show=False),
        Binding("G", "scroll_bottom", show=False),
    ]

    class Chosen(Message):
        """Another instance is chosen; None if there is none."""

        def __init__(self, row: Row | None) -> None:
            super().__init__()
            self.row = row

    def __init__(self) -> None:
        super().__init__(cursor_type="row", cursor_foreground_priority="renderable", cell_padding=1)
        self._rows: list[Row] = []
        self._announced: str | None = None

    def on_mount(self) -> None:
        self._columns = self.add_columns(*HEAD)

    @property
    def chosen(self) -> Row | None:
        """The instance under the cursor."""
        return self._rows[self.cursor_row] if 0 <= self.cursor_row < len(self._rows) else None

    def show(self, rows: Sequence[Row]) -> None:
        """Show these instances."""
        with self.prevent(DataTable.RowHighlighted):
            if [row.name for row in rows] != [row.name for row in self._rows]:
                self._replace(rows)
            else:
                self._renew(rows)
        self._rows = list(rows)
        self._announce()

    def on_data_table_row_highlighted(self) -> None:
        self._announce()

    def _announce(self) -> None:
        row = self.chosen
        name = row.name if row is not None else None
        if name != self._announced:
            self._announced = name
            self.post_message(self.Chosen(row))

    def _replace(self, rows: Sequence[Row]) -> None:
        at, before = self.cursor_row, self.chosen
        names = [row.name for row in rows]
        if before is not None and before.name in names:
            at = names.index(before.name)
        self.clear()
        for row in rows:
            self.add_row(*_texts(row), key=row.name)
        self.move_cursor(row=min(at, max(len(rows) - 1, 0)))

    def _renew(self, rows: Sequence[Row]) -> None:
        for old, new in zip(self._rows, rows, strict=True):
            for column, was, now in zip(self._columns, _texts(old), _texts(new), strict=True):
                if was != now:
                    self.update_cell(new.name, column, now, update_width=True)


def _texts(row: Row) -> list[Text]:
    styles = {1: PHASES.get(row.phase, "")} | ({8: BAD} if row.crash_loop else {})
    return [
        Text(cell, style=styles.get(n, ""), justify="right" if n in NUMBERS else "left", no_wrap=True)
        for n, cell in enumerate(cells(row))
    ]
