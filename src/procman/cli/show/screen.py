"""Shows a text in place of the previous one, on a terminal. Knows nothing of its meaning.

Each picture is one write, without erasing first, so that nothing flickers. After each the terminal is in its normal
state, so that there is nothing to restore, however this ends.
"""

from __future__ import annotations

import os
import sys

import click

HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"
"""Sequences of ECMA-48 and DECAWM, which all terminals know. The terminal cuts a line that is too long."""


def can_redraw() -> bool:
    """Whether standard output is a terminal whose cursor can be moved."""
    return os.isatty(1) and os.environ.get("TERM", "dumb") != "dumb"


def width() -> int | None:
    """Columns of the terminal at standard output; None if it is not a terminal, or its size is unknown."""
    try:
        return os.get_terminal_size(1).columns or None
    except OSError:
        return None


class Screen:
    def __init__(self) -> None:
        self._drawn = False

    def draw(self, text: str) -> None:
        """Show the text. The last line counts the lines that do not fit."""
        height = os.get_terminal_size(sys.stdout.fileno()).lines or 24  # 0: the terminal's size is unknown
        before = "" if self._drawn else "\n" * height  # what was on the screen moves up and can be scrolled back to
        self._drawn = True
        click.echo(before + picture(text, height), nl=False)


def picture(text: str, height: int) -> str:
    """The bytes that draw the text on a screen of so many lines. The cursor ends on the line below, at most the last."""
    lines = text.splitlines()
    room = max(height - 1, 1)
    if len(lines) > room:
        hidden = len(lines) - room + 1
        lines[room - 1 :] = [f"… and {hidden} more"]
    body = "".join(f"{line}{REST_OF_LINE}\n" for line in lines)
    return f"{NO_WRAP}{HOME}{body}{REST_OF_SCREEN}{WRAP}"
