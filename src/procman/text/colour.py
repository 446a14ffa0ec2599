"""Colours: which exist, and when they are used. Pure: the caller passes the environment and whether there is a
terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PALETTE = (33, 166, 28, 129, 101, 199, 30, 94, 61, 100, 164, 67, 134, 27, 96, 162)
"""Foregrounds of the 256-colour table, one per type. Each has a contrast of 3.5 or more to black and to white alike
(WCAG 2's formula; 3 is its minimum for large text); the order puts the most different ones first. None is red, which is
kept for what went wrong."""

BOLD = b"\x1b[1m"
BOLD_RED = b"\x1b[1;38;5;196m"
RESET = b"\x1b[0m"

OFF = ("0", "false", "no", "off")
"""Values of FORCE_COLOR that ask for none: the first two are what Node.js programs take for no."""


def color_of(position: int) -> bytes:
    """The sequence that starts the colour of a type, by the type's `position` (from 0)."""
    return b"\x1b[38;5;%dm" % PALETTE[position % len(PALETTE)]


def system_color(*, trouble: bool = False) -> bytes:
    """Procman's own lines are bold, which no type's colour is, and also red where something went wrong."""
    return BOLD_RED if trouble else BOLD


def wants_color(environ: Mapping[str, str], *, terminal: bool, choice: str = "auto") -> bool:
    """Whether to use colours. Every verb follows this rule: `--color`, then NO_COLOR (no-color.org), then FORCE_COLOR
    (force-color.org), then whether the output is a terminal that shows colours. An empty variable counts as unset.
    """
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    forced = environ.get("FORCE_COLOR")
    if forced:
        return forced.lower() not in OFF
    return terminal and (environ.get("TERM") or "dumb") != "dumb"
