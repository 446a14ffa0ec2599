"""Writes words of a command line as text for a shell. Pure."""

from __future__ import annotations

import re
import shlex

_REFERENCE = re.compile(r"\$(?:\$|\{[^{}]*\}|[A-Za-z_][A-Za-z0-9_]*)")
_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


def expanding(word: str) -> str:
    """A word in which the shell replaces `$NAME` and `${NAME}`, and `$$` means a `$`: the rules of Compose and systemd."""
    if "$" not in word:
        return shlex.quote(word)
    parts = []
    end = 0
    for match in _REFERENCE.finditer(word):
        parts += [_escaped(word[end : match.start()]), r"\$" if match[0] == "$$" else match[0]]
        end = match.end()
    parts.append(_escaped(word[end:]))
    text = "".join(parts)
    bare = re.sub(r"\$\{?[A-Za-z_][A-Za-z0-9_]*\}?", "", text)
    return text if bare == "" or _SAFE.fullmatch(bare) else f'"{text}"'


def _escaped(text: str) -> str:
    return re.sub(r'(["\\`$])', r"\\\1", text)


def split(text: str) -> list[str] | None:
    """The words of a line as a shell would split them, None if a quotation mark is missing."""
    try:
        return shlex.split(text)
    except ValueError:
        return None
