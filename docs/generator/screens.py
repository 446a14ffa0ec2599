"""A terminal's screen, as pyte has it, drawn as SVG: text in rows, on a dark or a light ground."""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyte
    from pyte.screens import Char

CELL, LINE, FONT, MARGIN = 8.4, 18, 14, 12
"""Pixels: the width of a character of a monospaced font is six tenths of its size."""


class Ground(NamedTuple):
    """What a terminal's owner has chosen: two colours, and what the eight names mean on them."""

    background: str
    foreground: str
    names: dict[str, str]


_NAMES = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")

DARK = Ground(
    "#111318",
    "#d6d9e0",
    dict(
        zip(
            _NAMES,
            ["#111318", "#e06c75", "#98c379", "#d19a66", "#61afef", "#c678dd", "#56b6c2", "#d6d9e0"],
            strict=True,
        )
    ),
)
LIGHT = Ground(
    "#ffffff",
    "#24292f",
    dict(
        zip(
            _NAMES,
            ["#24292f", "#cf222e", "#116329", "#9a6700", "#0969da", "#8250df", "#1b7c83", "#ffffff"],
            strict=True,
        )
    ),
)


def svg(screen: pyte.Screen, ground: Ground, title: str) -> str:
    """The whole screen; `title` is for those who cannot see it."""
    width, height = screen.columns * CELL + 2 * MARGIN, screen.lines * LINE + 2 * MARGIN
    drawn = "\n".join(part for row in range(screen.lines) for part in _row(screen, row, ground))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" font-size="{FONT}"
 font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace">
<title>{escape(title)}</title>
<rect width="100%" height="100%" rx="8" fill="{ground.background}"/>
{drawn}
</svg>
"""


def _row(screen: pyte.Screen, row: int, ground: Ground) -> list[str]:
    cells = [(column, screen.buffer[row][column]) for column in range(screen.columns)]
    parts = []
    for _, run in groupby(cells, key=lambda cell: cell[1]._replace(data="")):
        members = list(run)
        parts += _run(members[0][0], row, "".join(char.data for _, char in members), members[0][1], ground)
    return parts


def _run(column: int, row: int, text: str, style: Char, ground: Ground) -> list[str]:
    """Characters of one style: their ground where it is not the screen's, and they themselves where there are any."""
    front, back = _color(style.fg, ground.foreground, ground), _color(style.bg, ground.background, ground)
    if style.reverse:
        front, back = back, front
    x, y, width = MARGIN + column * CELL, MARGIN + row * LINE, len(text) * CELL
    parts = []
    if back != ground.background:
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{LINE}" fill="{back}"/>')
    if text.strip():
        looks = ' font-weight="bold"' * style.bold + ' text-decoration="underline"' * style.underscore
        parts.append(
            f'<text x="{x:.1f}" y="{y + FONT}" fill="{front}"{looks} textLength="{width:.1f}" xml:space="preserve">'
            f"{escape(text)}</text>"
        )
    return parts


def _color(name: str, default: str, ground: Ground) -> str:
    if name == "default":
        return default
    return ground.names.get(name.removeprefix("bright"), f"#{name}")
