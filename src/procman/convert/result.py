"""The result of a conversion, and the builder that every format fills. Pure; knows no format.

The builder has what all formats share: names that the Procfile accepts, commands of one line, PORT as `port:`, and
variables that procman.yml cannot contain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from shlex import quote
from typing import Any

from msgspec import Struct, field

from procman.config.procfile import ALL, is_name
from procman.config.source import plain
from procman.convert.words import expanding

LAST_PORT = 65535
MAX_COUNT = 1000
_LONGEST = 200
YEAR = 365 * 86400
_OURS = re.compile(r"PS|PROCMAN_.*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = re.compile(r"[;&|]")
VARIES = re.compile(r"\$[A-Za-z_{]|\{\{")
"""A variable or a template, whose value is only known when the program is started."""
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class ProcessType(Struct, frozen=True, kw_only=True):
    """A process type to write. `settings` are keys of procman.yml below `processes.NAME`, `notes` comments above them.

    `count` may also be words of the formation: `cpus`, `cpus-1`.
    """

    name: str
    command: str
    count: int | str = 1
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class NotCarried(Struct, frozen=True):
    """Something that could not be carried over: the line of the source (0: none in particular), what it is, what to do.

    `file` is a file that the source includes ("": the source itself).
    """

    line: int
    what: str
    hint: str = ""
    file: str = ""


class Converted(Struct, frozen=True, kw_only=True):
    """The result. `env` belongs into .env; `scripts` are further files, by name: commands of more than one line."""

    types: tuple[ProcessType, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    left: tuple[NotCarried, ...] = ()


class Draft:
    """One process type being built. A format sets what it knows, in any order."""

    def __init__(self, builder: Builder, name: str, line: int, file: str = "") -> None:
        self.name = name
        self.line = line
        self.file = file
        self.command = ""
        self.count: int | str = 1
        self.settings: dict[str, Any] = {}
        self.depends: dict[str, str] = {}
        self.notes: list[str] = []
        self.in_front: dict[str, str] = {}
        self._builder = builder

    def leave(self, line: int, what: str, hint: str = "") -> None:
        """Record that something of this type was not carried over."""
        self._builder.leave(line, f"{self.name}: {what}", hint, self.file)

    def put(self, path: str, value: object) -> None:
        """Set a key of procman.yml: `stop.signal`."""
        *parents, key = path.split(".")
        target = self.settings
        for parent in parents:
            target = target.setdefault(parent, {})
        target[key] = value

    def turn_on(self, path: str) -> None:
        """Set a key to true."""
        self.put(path, True)  # noqa: FBT003  a value, not a switch

    def put_folder(self, line: int, folder: str) -> None:
        """Set the working directory. procman.yml has no variables, and a shell's command does."""
        if VARIES.search(folder):
            self.leave(line, f"its folder {folder}, which names a variable", "write `cd DIR &&` before its command")
        else:
            self.put("cwd", folder)

    def put_signal(self, line: int, name: str) -> None:
        """Set the stop signal. TERM is the default."""
        word = name.strip().upper().removeprefix("SIG")
        if not re.fullmatch(r"[A-Z0-9+-]{2,12}", word) or word.isdigit():
            self.leave(line, f"the stop signal {name!r}", "name it, as in stop: {signal: INT}")
        elif word != "TERM":
            self.put("stop.signal", word)

    def put_seconds(self, path: str, line: int, seconds: float | None) -> None:
        if seconds is None or not 0 <= seconds <= YEAR:
            self.leave(line, f"the time for {path}", f"set {path} in seconds")
        else:
            self.put(path, int(seconds) if seconds == int(seconds) else round(seconds, 3))

    def put_count(self, line: int, count: int) -> None:
        if 0 <= count <= MAX_COUNT:
            self.count = count
        else:
            self.leave(line, f"a count of {count}", f"procman takes 0 to {MAX_COUNT}")

    def put_codes(self, path: str, line: int, words: Iterable[str]) -> None:
        codes = sorted(
            {int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 4 and int(word) <= 255}
        )
        if codes and codes != [0]:
            self.put(path, codes)
        elif not codes:
            self.leave(line, f"exit codes for {path}", "name numbers from 0 to 255")

    def put_env(self, line: int, variables: Mapping[str, str], *, expand: bool = False) -> None:
        """Set variables of the type. PORT becomes `port:`.

        With `expand` the source replaces `${NAME}` in values; `env:` is literal, so such a variable is set in the
        command.
        """
        for name, value in variables.items():
            if name == "PORT":
                self._put_port(line, value)
            elif not _VARIABLE.fullmatch(name) or _OURS.fullmatch(name) or _CONTROL.search(value.replace("\n", "")):
                self.leave(line, f"the variable {name!r}", "procman cannot set it")
            elif expand and "$" in value.replace("$$", ""):
                self.in_front[name] = value
            else:
                self.settings.setdefault("env", {})[name] = value.replace("$$", "$") if expand else value

    def _put_port(self, line: int, value: str) -> None:
        if value.isascii() and value.isdigit() and len(value) <= 5 and 1 <= int(value) <= LAST_PORT:
            self.put("port", int(value))
            self.settings.setdefault("ready", "tcp")
        else:
            self.leave(line, f"PORT={value!r}", "procman gives each instance a port of its own: see `port:`")


class Builder:
    """Collects drafts and notes, and makes them fit the Procfile's rules."""

    def __init__(self) -> None:
        self._drafts: list[Draft] = []
        self._left: list[NotCarried] = []
        self.env: dict[str, str] = {}

    def draft(self, name: str, line: int, file: str = "") -> Draft:
        """Start a process type, under its name in the source or in a file that this includes."""
        draft = Draft(self, name, line, file)
        self._drafts.append(draft)
        return draft

    def leave(self, line: int, what: str, hint: str = "", file: str = "") -> None:
        self._left.append(NotCarried(line, plain(what, _LONGEST), plain(hint, _LONGEST), file))

    def put_env(self, line: int, variables: Mapping[str, str]) -> None:
        """Set variables for every type, which go into .env."""
        for name, value in variables.items():
            if _VARIABLE.fullmatch(name) and not _OURS.fullmatch(name) and not _CONTROL.search(value):
                self.env[name] = value
            else:
                self.leave(line, f"the variable {name!r}", "procman cannot set it")

    def build(self) -> Converted:
        """The result. A type without a command is left out, with a note. A type that others need done is a one-off."""
        finished = {name for draft in self._drafts for name, until in draft.depends.items() if until == "done"}
        for draft in self._drafts:
            if draft.name in finished:
                draft.turn_on("oneshot")
                draft.settings.get("restart", {}).pop("policy", None)  # it runs to its end, and need not run twice
                if not draft.settings.get("restart", True):
                    del draft.settings["restart"]
        named: list[tuple[Draft, str]] = []
        for draft in self._drafts:
            if draft.command.strip():
                named.append((draft, self._named(draft, {name for _, name in named})))
            else:
                draft.leave(draft.line, "it has no command", "write one into the Procfile")
        names = {draft.name: name for draft, name in reversed(named)}
        scripts: dict[str, str] = {}
        types = tuple(self._typed(draft, name, names, scripts) for draft, name in named)
        left = sorted(self._left, key=lambda item: (item.file, item.line))
        return Converted(types=types, env=self.env, scripts=scripts, left=tuple(left))

    def _named(self, draft: Draft, taken: set[str]) -> str:
        """The source's name where the Procfile accepts it, else the nearest that it accepts."""
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", draft.name).strip("-")[:60] or "process"
        if base == ALL:
            base = "all-1"
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base[:58]}-{number}"
        assert is_name(name)
        if name != draft.name:
            self.leave(draft.line, f"the name {draft.name!r}", f"it is {name} in the Procfile", draft.file)
        return name

    def _typed(self, draft: Draft, name: str, names: Mapping[str, str], scripts: dict[str, str]) -> ProcessType:
        command = re.sub(r"\\\r?\n[ \t]*", "", draft.command).strip()
        lines = [line.strip() for line in command.splitlines() if line.strip() and not line.strip().startswith("#")]
        if len(lines) > 1:
            file = f"procman-{name}.sh"
            scripts[file] = command.rstrip() + "\n"
            command = f"exec sh ./{file}" if "cwd" not in draft.settings else f"exec sh {quote(file)}"
            if "cwd" in draft.settings:
                draft.leave(draft.line, f"{file} is in the root, and its type has a cwd", "move it there")
        else:
            command = lines[0] if lines else command
        if draft.in_front:
            front = " ".join(f"{variable}={expanding(value)}" for variable, value in draft.in_front.items())
            command = f"export {front}; {command}" if _OPERATORS.search(command) else f"{front} {command}"
        if _CONTROL.search(command):
            draft.leave(draft.line, "control characters in its command", "they were taken out")
            command = _CONTROL.sub(" ", command).strip() or "true"
        return ProcessType(
            name=name,
            command=command,
            count=draft.count,
            settings=draft.settings | self._order(draft, name, names),
            notes=tuple(plain(note, _LONGEST) for note in draft.notes),
        )

    def _order(self, draft: Draft, own: str, names: Mapping[str, str]) -> dict[str, object]:
        """The dependencies, under their names in the Procfile."""
        for name in draft.depends:
            if name not in names:
                draft.leave(draft.line, f"it depends on {name!r}, which is not carried over")
        wanted = {names[name]: until for name, until in draft.depends.items() if names.get(name, own) != own}
        if not wanted:
            return {}
        return {"depends_on": list(wanted) if set(wanted.values()) == {"ready"} else wanted}
