"""Relative links of the Markdown pages: each must lead to a file that is there and to a heading that it has."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\((?P<target>[^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *#*$", re.MULTILINE)
_ABROAD = re.compile(r"[a-z][a-z0-9+.-]*:")


def pages(root: Path) -> list[Path]:
    """Every Markdown page of the project."""
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def broken(root: Path) -> list[str]:
    """A line for each link that leads nowhere."""
    return [f"{page.relative_to(root)}: the link {link} leads nowhere" for page in pages(root) for link in _bad(page)]


def _bad(page: Path) -> Iterator[str]:
    for match in _LINK.finditer(_CODE.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))):
        link = match["target"]
        if _ABROAD.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@cache
def anchors(page: Path) -> frozenset[str]:
    """The names of a page's headings, made as GitHub makes them: a name that comes again gets a number."""
    names: list[str] = []
    for match in _HEADING.finditer(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        name = re.sub(r"[^\w\- ]", "", match["text"].lower()).replace(" ", "-")
        count = sum(1 for other in names if other == name)
        names.append(name)
        if count:
            names.append(f"{name}-{count}")
    return frozenset(names)
