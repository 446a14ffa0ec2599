"""The generated blocks of a page, and the pieces of Markdown that they are made of. Knows no source and no file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end: (?P=name) -->)", re.DOTALL)


def fill(text: str, blocks: Mapping[str, Callable[[], str]]) -> str | None:
    """The page with every block made anew; None where it has none. A block that nobody makes is a KeyError."""
    if not _BLOCK.search(text):
        return None
    return _BLOCK.sub(lambda match: f"{match[1]}\n{blocks[match['name']]().strip()}\n\n{match[3]}", text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def console(lines: Sequence[str]) -> str:
    return "\n".join(["```console", *(f"$ {line}" for line in lines), "```"])


def flat(text: str) -> str:
    """A docstring as one line."""
    return " ".join(text.split())
