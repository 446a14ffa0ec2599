"""Rows as columns of text, for a terminal. Knows nothing of their meaning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

NARROWEST = 20
"""Columns of a terminal below which nothing is wrapped: each word would be a line."""


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Pad every column to its widest cell, with two spaces between columns. The columns in `right` are aligned to the
    right (numbers).
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [c.rjust(w) if n in right else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def fitted(lines: str, width: int | None) -> str:
    """The lines, wrapped at spaces where a terminal of this width is too narrow for them. What continues a line stands
    below its last column, if there is room.
    """
    if width is None or width < NARROWEST:
        return lines
    return "\n".join(_wrapped(line, width) if len(line) > width else line for line in lines.split("\n"))


def _wrapped(line: str, width: int) -> str:
    import textwrap  # noqa: PLC0415  2 ms, where a line is too long

    columns_at = [match.end() for match in re.finditer(r"\S {2,}(?=\S)", line)]
    below = max((at for at in columns_at if at <= width // 2), default=len(line) - len(line.lstrip()) + 2)
    indent = " " * below
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
