"""supervisord.conf (supervisord.org/configuration.html) -> process types."""

from __future__ import annotations

import re

from msgspec import Struct, field

from procman.convert.result import Builder, Converted, Draft
from procman.convert.tree import fail
from procman.convert.words import expanding, quoted, split

_SECTION = re.compile(r"\[([^\]]*)\]\s*(?:;.*)?")
_FORMAT = re.compile(r"%%|%\((\w+)\)([0-9]*)[sd]")
_PAIR = re.compile(r"""\s*([A-Za-z_][\w]*)\s*=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^,]*?)\s*(?:,|$)""")
_REASONS = {
    "user": "processes run as the user that starts procman",
    "umask": "set it before procman is started",
    "priority": "order is set by depends_on",
    "autostart": "give the count with `procman start -m NAME=0`",
    "startsecs": "say when it is ready: `ready: tcp`",
    "numprocs_start": "PROCMAN_INDEX counts from 1",
    "serverurl": "procman gives each process PROCMAN_SOCKET",
}
_LOGS = re.compile(r"(stdout|stderr)_.*")
_SILENT = frozenset({"process_name", "redirect_stderr", "killasgroup", "startsecs"})
_OWN = {
    "supervisorctl": "procman's verbs find it by the folder",
    "unix_http_server": "procman has a control socket of its own",
    "inet_http_server": "procman has a control socket of its own, for its own user only",
    "include": "convert each of these files, too",
}


class _Value(Struct, frozen=True):
    text: str
    line: int


class _Section(Struct, frozen=True):
    name: str
    line: int
    values: dict[str, _Value] = field(default_factory=dict)


def convert(text: str, file: str) -> Converted:
    """Raises ConfigError."""
    builder = Builder()
    sections = _sections(text, file)
    for section in sections:
        kind, _, name = section.name.partition(":")
        if kind == "program" and name:
            _program(builder.draft(name, section.line), section)
        elif kind == "supervisord":
            _daemon(builder, section)
        elif kind != "rpcinterface":
            builder.leave(section.line, f"[{section.name}]", _OWN.get(kind, ""))
    if not any(section.name.startswith("program:") for section in sections):
        fail(file, 0, "cannot find a [program:NAME] section in the file", "is it a supervisord.conf?")
    return builder.build()


def _sections(text: str, file: str) -> list[_Section]:
    """The sections as Supervisor's parser reads them: `;` after a blank starts a comment, an indented line continues."""
    found: list[_Section] = []
    key = ""
    for number, row in enumerate(text.splitlines(), 1):
        bare = re.sub(r"(?:^|\s);.*", "", row).rstrip()
        if not bare.strip() or bare.lstrip().startswith(("#", ";")):
            continue
        header = _SECTION.fullmatch(bare.strip())
        if header and not row[:1].isspace():
            found.append(_Section(header[1].strip(), number))
            key = ""
        elif not found:
            fail(file, number, "cannot read the line: it is before any [section]")
        elif row[:1].isspace() and key:
            before = found[-1].values[key]
            found[-1].values[key] = _Value(f"{before.text}\n{bare.strip()}", before.line)
        else:
            name, sign, value = bare.partition("=")
            if not sign:
                name, sign, value = bare.partition(":")
            if not sign or not name.strip():
                fail(file, number, "cannot read the line: it has no '='", "write key=value")
            key = name.strip().lower()
            found[-1].values[key] = _Value(value.strip(), number)
    return found


def _daemon(builder: Builder, section: _Section) -> None:
    for key, value in section.values.items():
        if key == "environment":
            builder.put_env(value.line, _environment(value.text))
        elif key in ("user", "umask"):
            builder.leave(value.line, key, _REASONS[key])


def _environment(text: str) -> dict[str, str]:
    """`A="1",B=2`"""
    found = {}
    for match in _PAIR.finditer(text.replace("\n", " ")):
        value = match[2]
        found[match[1]] = (
            value[1:-1] if value[:1] in ('"', "'") and value[-1:] == value[:1] and len(value) > 1 else value
        )
    return {name: value.replace("%%", "%") for name, value in found.items()}


def _program(draft: Draft, section: _Section) -> None:
    values = dict(section.values)
    command = values.pop("command", None)
    if command is not None:
        draft.command = _command(draft, command)
    for key, value in values.items():
        if not _set(draft, key, value) and key not in _SILENT:
            hint = "start with `procman start --log-dir DIR`" if _LOGS.fullmatch(key) else _REASONS.get(key, "")
            if not (_LOGS.fullmatch(key) and value.text.startswith(("/dev/std", "/dev/fd/", "0", "/dev/null"))):
                draft.leave(value.line, key, hint)


def _set(draft: Draft, key: str, value: _Value) -> bool:
    """Carry one key over; False where procman has nothing like it."""
    text, line = value.text, value.line
    if key == "directory":
        draft.put_folder(line, _formatted(text.replace("%(here)s", ".")))
    elif key == "environment":
        expanded = {name: _formatted(one) for name, one in _environment(text).items()}
        draft.put_env(line, expanded, expand=any("%(ENV_" in one for one in _environment(text).values()))
    elif key == "autostart":
        if "%(" in text:
            return False
        draft.count = 0 if text.lower() in ("false", "no", "off", "0") else draft.count
    elif key == "autorestart":
        if text.lower() in ("true", "yes", "on", "1"):
            draft.put("restart.policy", "always")
        elif text.lower() in ("false", "no", "off", "0"):
            draft.put("restart.policy", "never")
    elif key == "startretries" and text.isascii() and text.isdigit():
        draft.put("restart.max_restarts", int(text[:9]))
    elif key == "exitcodes":
        draft.put_codes("success_exit_codes", line, re.split(r"[,\s]+", text))
    elif key == "stopsignal":
        draft.put_signal(line, text)
    elif key == "stopwaitsecs":
        draft.put_seconds("stop.grace", line, float(text) if re.fullmatch(r"\d{1,9}", text) else None)
    elif key == "stopasgroup":
        if text.lower() in ("true", "yes", "on", "1"):
            draft.put("stop.mode", "group")
    elif key == "numprocs":
        if text.isascii() and text.isdigit() and draft.count:
            draft.put_count(line, int(text[:9]))
    else:
        return False
    return True


def _command(draft: Draft, value: _Value) -> str:
    """Supervisor runs no shell: each word is quoted for the shell that procman may need, and `%(…)s` becomes a
    variable.
    """
    words = split(value.text.replace("\n", " "))
    if words is None:
        draft.leave(value.line, "its command: the quotation marks do not fit")
        return ""
    if any("%(" in word and "ENV_" not in word for word in words):
        draft.leave(value.line, "a %(…)s in its command", "check the line of the Procfile")
    return " ".join(expanding(_formatted(word.replace("$", "$$"))) if "%" in word else quoted(word) for word in words)


def _formatted(text: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "%"
        if name.startswith("ENV_"):
            return "${" + name[4:] + "}"
        return {"here": ".", "process_num": "${PROCMAN_INDEX}", "program_name": "${PROCMAN_TYPE}"}.get(name, match[0])

    return _FORMAT.sub(replaced, text)
