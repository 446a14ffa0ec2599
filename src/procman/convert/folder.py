"""What a folder holds -> process types. Pure: the verb reads the files that `wanted` names.

Each language has a rule in a file of its own; this one knows what they share: the folder as a value, names that are
taken, and the advice of the known programs.
"""

from __future__ import annotations

import json
import re
from os.path import basename
from typing import Any

from msgspec import Struct

from procman.config.source import plain
from procman.convert.result import Builder, Draft
from procman.known.advice import Finding, TypeInput, advise

READ = re.compile(
    r"package\.json|pnpm-workspace\.yaml|pyproject\.toml|requirements[\w.-]*\.txt|Pipfile|Gemfile|mix\.exs|pom\.xml|"
    r"build\.gradle(\.kts)?|Cargo\.toml|composer\.json|manage\.py|main\.go|(dev|runtime)\.exs|(docker-)?compose\.ya?ml|Procfile(\.dev)?|"
    r"(main|app|wsgi|asgi|celery|celery_app|celeryconfig|tasks|worker|server|api|application|settings|base|__init__)\.py"
)
"""Names of files whose text is looked at."""

SKIP = frozenset({
    "node_modules", "vendor", "venv", "env", "target", "build", "dist", "deps", "_build", "__pycache__", "tmp", "log", "test",
    "tests", "spec", "static", "public", "docs", "migrations", "site-packages",
})  # fmt: skip
"""Folders that are not looked into, besides those that begin with a dot."""

MAX_DEPTH = 3
SETTABLE = ("restart", "stop", "stdin", "tty", "max", "ready")


class Folder(Struct, frozen=True):
    """A folder as far as it was looked at: the paths of its files, with `/`, and the texts of those that READ names."""

    paths: frozenset[str]
    texts: dict[str, str]

    def has(self, *paths: str) -> bool:
        return any(path in self.paths for path in paths)

    def text(self, path: str) -> str:
        return self.texts.get(path, "")

    def named(self, name: str) -> list[str]:
        """Every path with this last name, the nearest to the root first."""
        return sorted((path for path in self.paths if basename(path) == name), key=lambda path: (path.count("/"), path))

    def json(self, path: str) -> dict[str, Any]:
        """A JSON object, empty where it is absent or no JSON: a hint needs no error."""
        try:
            data = json.loads(self.text(path) or "{}")
        except (ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}


class Finds:
    """What the rules have found so far."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.builder = Builder()
        self.said: list[str] = []
        self.hints: list[str] = []
        self._names: set[str] = set()

    def say(self, what: str) -> None:
        """One thing that was found, with the file that told it: `Django (manage.py)`."""
        self.said.append(plain(what, 200))

    def hint(self, what: str) -> None:
        self.hints.append(plain(what, 200))

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str, command: str, *, serves: bool = False, otherwise: str = "") -> Draft:
        """A process type; under the name `otherwise` where an earlier rule has taken the first."""
        name = otherwise if name in self._names and otherwise else name
        draft = self.builder.draft(name, 0)
        self._names.add(name)
        draft.command = command
        if serves:
            draft.put("ready", "tcp")
        for finding in advise([TypeInput(name=name, command=command)], SETTABLE):
            _take(draft, finding)
        return draft


def _take(draft: Draft, finding: Finding) -> None:
    if not finding.key:
        return
    top = finding.key.partition(".")[0]
    if top == "ready" and "ready" in draft.settings:
        return
    draft.put(finding.key, finding.value)
    draft.notes.append(f"{finding.key}: {finding.why}.")


def module_of(path: str) -> str:
    """`app/main.py` -> `app.main`; `src/app/__init__.py` -> `app`."""
    path = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__")
    return path.replace("/", ".")
