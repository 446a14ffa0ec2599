"""Dialogs of the live screen: a question before a stop, and the list of keys."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

if TYPE_CHECKING:
    from typing import ClassVar

    from textual.app import ComposeResult
    from textual.binding import BindingType


class Question(ModalScreen[bool]):
    """A yes-or-no question."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y,enter", "dismiss(True)", "Yes"),
        ("n,escape,q", "dismiss(False)", "No"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._text, markup=False)
            yield Static("\ny, Enter: yes    n, Esc: no", markup=False)


class Keys(ModalScreen[None]):
    """Every key and what it does. Any key closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,enter,question_mark", "dismiss", "Close")]

    def __init__(self, rows: list[tuple[str, str]]) -> None:
        super().__init__()
        self._rows = rows

    def compose(self) -> ComposeResult:
        width = max(len(key) for key, _ in self._rows) + 2
        room = max(self.app.size.width * 9 // 10 - 6 - width, 20)  # without the dialog's border and padding
        lines = [
            f"{key if number == 0 else '':<{width}}{line}"
            for key, what in self._rows
            for number, line in enumerate(textwrap.wrap(what, room))
        ]
        with Vertical(classes="dialog"):
            yield Static("\n".join(lines), markup=False)
            yield Static("\nEsc: close", markup=False)
