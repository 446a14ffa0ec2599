"""A text that is shown in place of the one before: on a terminal. Knows nothing of what it says.

Each picture is one write, without erasing first, so that nothing flickers; and after each the terminal is as it was
before, so that there is nothing to restore, however this ends.
"""

from __future__ import annotations

import os
import sys

import click

HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"
"""ECMA-48 and DECAWM: what every terminal of the last thirty years knows. A line too long is cut by the terminal."""


def can_redraw() -> bool:
    """Whether standard output is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def width() -> int | None:
    """Columns of the terminal that standard output is; None where it is none, or nobody has told it its size."""
    try:
        return os.get_terminal_size(1).columns or None
    except OSError:
        return None


class Screen:
    def __init__(self) -> None:
        self._drawn = False

    def draw(self, text: str) -> None:
        """Show the text; what does not fit is counted in the last line."""
        height = os.get_terminal_size(sys.stdout.fileno()).lines or 24  # 0: nobody has told the terminal its size
        before = "" if self._drawn else "\n" * height  # what was on the screen goes up and can be scrolled back to
        self._drawn = True
        click.echo(before + picture(text, height), nl=False)


def picture(text: str, height: int) -> str:
    """What draws the text on a screen of so many lines; the cursor ends on the line below, at most the last."""
    lines = text.splitlines()
    room = max(height - 1, 1)
    if len(lines) > room:
        hidden = len(lines) - room + 1
        lines[room - 1 :] = [f"… and {hidden} more"]
    body = "".join(f"{line}{REST_OF_LINE}\n" for line in lines)
    return f"{NO_WRAP}{HOME}{body}{REST_OF_SCREEN}{WRAP}"
