"""What stands in the documentation: its pages, their fenced blocks, and the commands that those show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from generator import links

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`((?:\w+=\S+ )*procman [a-z][^`]*)`")
_PLACEHOLDER = re.compile(r"…|\\|\[|\bVERB\b")
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")
_OPERATORS = {"|", "&&", "||", ";", "&", ">"}


class Block(NamedTuple):
    page: str
    language: str
    text: str


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks() -> list[Block]:
    """Every fenced block of every page."""
    return [
        Block(str(path.relative_to(ROOT)), match["language"], match["text"])
        for path in links.pages(ROOT)
        for match in _FENCE.finditer(path.read_text(encoding="utf-8"))
    ]


def typed(block: Block) -> list[str]:
    """The lines of a console or shell block that a person types."""
    lines = block.text.splitlines()
    if block.language == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return lines if block.language == "sh" else []


def inline() -> list[tuple[str, str]]:
    """Commands of procman within the text, by page: those that are whole, without a placeholder in them."""
    found = []
    for path in links.pages(ROOT):
        text = _FENCE.sub("", path.read_text(encoding="utf-8"))
        name = str(path.relative_to(ROOT))
        lines = [" ".join(match[1].split()) for match in _INLINE.finditer(text)]
        found += [(name, line) for line in lines if not _PLACEHOLDER.search(line)]
    return found


def calls(line: str) -> list[list[str]]:
    """The arguments of every call of procman in a line, the name itself left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = []
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _OPERATORS:
            words.append(word)
            continue
        while words and _ASSIGNMENT.fullmatch(words[0]):
            words.pop(0)
        if words[:2] == ["docker", "exec"]:
            words = words[3:]
        if words and words[0] == "procman":
            found.append(words[1:])
        words = []
    return found
