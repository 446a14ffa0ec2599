"""The script of a package.json behind `npm run NAME` and the same of Yarn, pnpm and Bun. Pure: the scripts are given."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from os.path import basename
from typing import Any

from msgspec import Struct

from procman.known.recognise import recognise, split, tells, unwrapped

Scripts = Callable[[str, str], Mapping[str, str]]
"""The scripts of a package by their names: of a folder, and of the workspace in it with this name or path ("": its own)."""

TOOLS = frozenset({"npm", "yarn", "pnpm", "bun"})
_RUN = frozenset({"run", "run-script"})
_BY_NAME = {"npm": frozenset({"start", "restart", "test"})}
"""npm's scripts that need no `run`; the other tools need it for none."""
_FOLDER = frozenset({"--prefix", "-C", "--cwd", "--dir"})
_WORKSPACE = frozenset({"-w", "--workspace", "-F", "--filter"})
_DEEPEST = 4
"""Scripts that call one another: nobody writes more, and they may go round in a circle."""


def scripts_of(package: Mapping[str, Any]) -> dict[str, str]:
    """The scripts of a package.json by their names, without those that are no text."""
    found = package.get("scripts")
    return {str(name): text for name, text in found.items() if isinstance(text, str)} if isinstance(found, dict) else {}


class _Call(Struct, frozen=True):
    """A call of a script, with its package and what the script is given."""

    script: str
    arguments: tuple[str, ...]
    folder: str
    workspace: str


def behind(command: str, scripts: Scripts) -> str:
    """What a call of a script runs, if that is a known program with anything to say; else the command itself."""
    shown = command
    for _ in range(_DEEPEST):
        shown = _behind(shown, scripts)
        if not shown:
            break
        known = recognise(shown)
        if known is not None and tells(known.program) and not _calls(known.words):
            return shown
    return command


def _behind(command: str, scripts: Scripts) -> str:
    """The script in place of its call, "" if the command calls none."""
    folder, commands = "", split(command)
    if len(commands) == 2 and commands[0][:1] == ("cd",) and len(commands[0]) == 2:
        folder, commands = commands[0][1], commands[1:]
    if len(commands) != 1:
        return ""
    env, stages = unwrapped(commands[0])
    words = next((stage for stage in stages if _calls(stage)), ())
    call = _call(words, folder) if words else None
    text = scripts(call.folder, call.workspace).get(call.script, "") if call is not None else ""
    if not text or call is None:
        return ""
    set_before = [f"{name}={shlex.quote(value)}" for name, value in env.items()]
    return " ".join([*set_before, text, *(shlex.quote(word) for word in call.arguments)])


def _calls(words: tuple[str, ...]) -> bool:
    return basename(words[0]) in TOOLS


def _call(words: tuple[str, ...], folder: str) -> _Call | None:
    """The call in `npm --prefix client run dev -- --port 3000`."""
    tool, rest = basename(words[0]), list(words[1:])
    script, workspace, ran = "", "", False
    while rest:
        word = rest.pop(0)
        name, sign, value = word.partition("=")
        if word == "--":
            break
        if name in _FOLDER or name in _WORKSPACE:
            value = value if sign else "".join(rest[:1])
            del rest[: 0 if sign else 1]
            folder, workspace = (value, workspace) if name in _FOLDER else (folder, value)
        elif word == "workspace" and tool == "yarn":
            workspace = "".join(rest[:1])
            del rest[:1]
        elif word.startswith("-") or script:
            continue
        elif word in _RUN and not ran:
            ran = True
        elif tool == "npm" and not ran and word not in _BY_NAME[tool]:
            return None  # a verb of npm itself, such as `exec`
        else:
            script = word
            if tool != "npm":  # they give the script all that follows
                break
    return _Call(script, tuple(word for word in rest if word != "--"), folder, workspace) if script else None
