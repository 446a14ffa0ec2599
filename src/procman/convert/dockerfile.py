"""Reads from a Dockerfile what its image runs (Dockerfile reference: CMD, ENTRYPOINT, ENV, EXPOSE, WORKDIR,
STOPSIGNAL). Pure.

Nothing is built, so the results of RUN and COPY are unknown here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from posixpath import basename
from shlex import join

from msgspec import Struct
from msgspec.structs import replace

from procman.convert.words import split

Started = tuple[str, ...] | str
"""The words of a program, or a line for a shell."""

_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+as\s+(\S+))?", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
_REFERENCE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^{}]*))?\})")
_INITS = frozenset({"tini", "dumb-init", "docker-init", "catatonit", "s6-svscan", "init"})
_OF_THE_IMAGE = re.compile(r"[\w.-]*entrypoint[\w.-]*")


class ImageStart(Struct, frozen=True, kw_only=True):
    """What an image runs, and the line that says so. `port` is the first EXPOSE or 0; `variables` are those of ENV."""

    entrypoint: Started = ()
    command: Started = ()
    number: int = 0
    folder: str = ""
    port: int = 0
    signal: str = ""
    variables: dict[str, str] = {}

    def line(self, given: str) -> tuple[str, str]:
        """The command line, and the entry point that was left out because it only exists in the image. `given` replaces
        the image's command, "" for none.
        """
        if isinstance(self.entrypoint, str):
            return self._here(self.entrypoint), ""
        first, left = _own(self.entrypoint)
        if given:
            return f"{join(self._words(first))} {given}".strip(), left
        if not isinstance(self.command, str):
            return join(self._words((*first, *self.command))), left
        text = self._here(self.command)
        return (join([*self._words(first), "sh", "-c", text]) if first else text), left

    def _words(self, words: tuple[str, ...]) -> list[str]:
        """Paths in the image's folder become paths in ours; a program elsewhere in the image becomes one in PATH."""
        moved = [self._here(word) for word in words]
        if moved and moved[0].startswith("/"):
            moved[0] = basename(moved[0])
        elif moved and moved[0] != words[0] and "/" not in moved[0]:
            moved[0] = f"./{moved[0]}"
        return moved

    def _here(self, text: str) -> str:
        if self.folder.strip("/") == "":
            return text
        return re.sub(rf"(?<![\w/.$}}]){re.escape(self.folder.rstrip('/'))}/(?=[\w.])", "", text)


def _own(entrypoint: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The entry point without an init, whose work procman does, and the script in it that only exists in the image."""
    words = entrypoint
    if words and basename(words[0]) in _INITS:
        words = (
            words[words.index("--") + 1 :] if "--" in words else tuple(w for w in words[1:] if not w.startswith("-"))
        )
    if words and _OF_THE_IMAGE.fullmatch(basename(words[0])) and words[0].count("/") == words[0].startswith("/"):
        return (), words[0]
    return words, ""


def image_start(text: str, target: str = "") -> ImageStart:
    """The start of the last stage, or of the one of that name."""
    stages: dict[str, ImageStart] = {}
    name, made = "", ImageStart()
    arguments: dict[str, str] = {}
    for number, word, rest in _instructions(text):
        if word == "FROM":
            if name and name == target.lower():
                break
            match = _FROM.match(rest)
            made = stages.get(match[1].lower(), ImageStart()) if match else ImageStart()
            name = (match[2] or "").lower() if match else ""
        elif word == "ARG":
            key, _, value = rest.partition("=")
            arguments[key.strip()] = value.strip("\"'")
        else:
            made = _after(made, word, rest, number, arguments)
        if name:
            stages[name] = made
    return made


def _after(made: ImageStart, word: str, rest: str, number: int, arguments: dict[str, str]) -> ImageStart:
    known = arguments | made.variables
    match word:
        case "CMD":
            return replace(made, command=_started(rest), number=number)
        case "ENTRYPOINT":
            return replace(made, entrypoint=_started(rest), command=(), number=number)
        case "WORKDIR":
            folder = _expanded(rest.strip("\"'"), known)
            return replace(made, folder=folder if folder.startswith("/") else f"{made.folder}/{folder}")
        case "ENV":
            return replace(made, variables=made.variables | {k: _expanded(v, known) for k, v in _pairs(rest)})
        case "EXPOSE":
            port = re.match(r"(\d{1,5})(?:/tcp)?(?:\s|$)", _expanded(rest, known))
            return replace(made, port=made.port or (int(port[1]) if port else 0))
        case "STOPSIGNAL":
            return replace(made, signal=rest)
        case _:
            return made


def _started(text: str) -> Started:
    """The command of an instruction: brackets hold words; anything else is for a shell."""
    if text.startswith("["):
        try:
            words = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return tuple(words)
    return text


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """The variables of `A=1 B="x y"`, or of the old form `A the rest`."""
    words = split(text) or []
    if words and "=" not in words[0]:
        yield words[0], text.partition(words[0])[2].strip()
        return
    for word in words:
        name, sign, value = word.partition("=")
        if sign:
            yield name, value


def _expanded(text: str, known: dict[str, str]) -> str:
    return _REFERENCE.sub(lambda match: known.get(match[1] or match[2], match[3] or ""), text)


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """First line number, name and rest of each instruction. Continued lines are joined, here documents are left out."""
    lines = iter(enumerate(text.splitlines(), 1))
    for number, row in lines:
        said = row.strip()
        if not said or said.startswith("#"):
            continue
        while said.endswith("\\"):
            more = _next(lines)
            said = said[:-1].rstrip()
            if more is None:
                break
            said = f"{said} \\" if not more or more.startswith("#") else f"{said} {more}"
        word, _, rest = said.partition(" ")
        word = word.upper()
        for end in _HEREDOC.findall(rest) if word in ("RUN", "COPY", "ADD") else []:
            while _next(lines) not in (end, None):
                pass
        yield number, word, rest.strip()


def _next(lines: Iterator[tuple[int, str]]) -> str | None:
    """The next line without spaces around it; None at the end."""
    following = next(lines, None)
    return None if following is None else following[1].strip()
