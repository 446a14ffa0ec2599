"""Reads the package.json files behind the calls of scripts in a Procfile. Decides nothing (known/scripts.py does)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from procman.config.source import read
from procman.errors import Fault
from procman.known.scripts import TOOLS, Scripts, behind, scripts_of

_SKIP = "node_modules"
_DEPTH = 2
"""How deep the packages of a monorepo are: `apps/web`."""


def command_of(command: str, cwd: str) -> str:
    """What the command runs in this folder: the script that npm, Yarn, pnpm or Bun is to run, if it says more."""
    return behind(command, _scripts_in(cwd)) if any(tool in command for tool in TOOLS) else command


def _scripts_in(cwd: str) -> Scripts:
    def scripts(folder: str, workspace: str) -> Mapping[str, str]:
        path = os.path.join(cwd, folder)
        return scripts_of(_workspace(path, workspace) if workspace else _package(path))

    return scripts


def _workspace(folder: str, workspace: str) -> dict[str, Any]:
    """The package of a workspace that is named by its path or its name; empty if there is none."""
    named = _package(os.path.join(folder, workspace))
    if named:
        return named
    packages = (_package(inner) for inner in _folders(folder, _DEPTH))
    return next((package for package in packages if package.get("name") == workspace), {})


def _folders(folder: str, depth: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            inner = sorted(
                one.path for one in entries if one.is_dir() and one.name != _SKIP and not one.name.startswith(".")
            )
    except OSError:  # a folder that cannot be read is left out
        return
    for path in inner:
        yield path
        if depth > 1:
            yield from _folders(path, depth - 1)


def _package(folder: str) -> dict[str, Any]:
    """A package.json, empty if it is absent or invalid: advice needs no error."""
    data = read(os.path.join(folder, "package.json"), "package.json")
    try:
        package = {} if isinstance(data, Fault) else json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return package if isinstance(package, dict) else {}
