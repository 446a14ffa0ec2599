"""Makes process types of the files of a folder. Pure: the verb reads the files that `wanted` names.

Each language has a rule in a file of its own. This file has what they share: the folder as a value, names that are
taken, and the advice for known programs.
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
    r"(.*/)?(package\.json|pnpm-workspace\.yaml|deno\.jsonc?|pyproject\.toml|requirements[\w.-]*\.txt|Pipfile|Gemfile|mix\.exs|"
    r"pom\.xml|build\.gradle(\.kts)?|Cargo\.toml|composer\.json|manage\.py|main\.go|go\.mod|(dev|runtime)\.exs|"
    r"(docker-)?compose\.ya?ml|Procfile(\.dev)?|requirements/[\w.-]+\.txt|"
    r"(main|app|wsgi|asgi|celery|celery_app|celeryconfig|tasks|worker|server|api|application|settings|base|__init__)\.py)"
)
"""Paths of files whose text is read."""

SKIP = frozenset({
    "node_modules", "vendor", "venv", "env", "target", "build", "dist", "deps", "_build", "__pycache__", "tmp", "log", "test",
    "tests", "spec", "static", "public", "docs", "migrations", "site-packages",
})  # fmt: skip
"""Folders that are not searched, besides those that start with a dot."""

_SOURCES = frozenset({"src", "app"})
"""Folders whose name says nothing about their content."""

MAX_DEPTH = 3
SETTABLE = ("restart", "stop", "stdin", "tty", "max", "ready", "depends_on")


class Folder(Struct, frozen=True):
    """The part of a folder that was read: the paths of its files, with `/`, and the texts of those that READ names."""

    paths: frozenset[str]
    texts: dict[str, str]

    def has(self, *paths: str) -> bool:
        return any(path in self.paths for path in paths)

    def text(self, path: str) -> str:
        return self.texts.get(path, "")

    def named(self, name: str) -> list[str]:
        """Every path with this last name, the nearest to the root first."""
        return sorted((path for path in self.paths if basename(path) == name), key=lambda path: (path.count("/"), path))

    def below(self, place: str) -> Folder:
        """The inner folder of this name, as a folder of its own."""
        front = f"{place}/"
        paths = frozenset(path.removeprefix(front) for path in self.paths if path.startswith(front))
        texts = {path.removeprefix(front): text for path, text in self.texts.items() if path.startswith(front)}
        return Folder(paths, texts)

    def places(self) -> list[str]:
        """The folders in it."""
        return sorted({path.partition("/")[0] for path in self.paths if "/" in path})

    def json(self, path: str) -> dict[str, Any]:
        """A JSON object, empty if it is absent or invalid: a hint needs no error."""
        try:
            data = json.loads(self.text(path) or "{}")
        except (ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}


class Finds:
    """What the rules have found so far in `folder`, which is inside the user's folder if `place` is its name."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.place = ""
        self.builder = Builder()
        self.said: list[str] = []
        self.hints: list[str] = []
        self._names: set[str] = set()
        self._here: set[str] = set()

    def enter(self, folder: Folder, place: str) -> None:
        """Search this inner folder from now on."""
        self.folder, self.place = folder, place
        self._here = set()

    def say(self, what: str) -> None:
        """Record one finding, with its file: `Django (manage.py)`."""
        self.said.append(plain(f"{what} in {self.place}/" if self.place else what, 200))

    def hint(self, what: str) -> None:
        self.hints.append(plain(what, 200))

    def __contains__(self, name: str) -> bool:
        """Whether a rule has used this type name in this folder."""
        return name in self._here

    def add(self, name: str, command: str, *, serves: bool = False, otherwise: str = "", script: str = "") -> Draft:
        """Add a process type; under the name `otherwise` where an earlier rule has taken the first. `script` is what the
        command runs in the end, where that is known.
        """
        name = otherwise if name in self._here and otherwise else name
        self._here.add(name)
        name = self._placed(name)
        draft = self.builder.draft(name, 0)
        self._names.add(name)
        draft.command = command
        if serves:
            draft.put("ready", "tcp")
        for finding in advise([TypeInput(name=name, command=script or command)], SETTABLE):
            _take(draft, finding)
        if self.place:
            self.put_folder(draft, "")
        return draft

    def put_folder(self, draft: Draft, inside: str) -> None:
        """Set where it runs, by the path from the folder that is searched."""
        draft.put("cwd", "/".join(part for part in (self.place, inside) if part))

    def _placed(self, name: str) -> str:
        """The server of `backend/` is `backend`, its worker `backend-worker`; in `src/` they are web and worker."""
        if not self.place or name == "release" or (self.place in _SOURCES and name not in self._names):
            return name
        own = name in ("web", "frontend")
        return self.place if own and self.place not in self._names else f"{self.place}-{name}"


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
