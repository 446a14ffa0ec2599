"""Makes process types of a supervisord.conf (supervisord.org/configuration.html)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from shlex import quote

from msgspec import Struct, field
from msgspec.structs import replace

from procman.convert.result import Builder, Converted, Draft
from procman.convert.tree import fail
from procman.convert.words import expanding, split

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_SECTION = re.compile(r"\[([^\]]*)\]\s*(?:;.*)?")
_FORMAT = re.compile(r"%%|%\((\w+)\)0*([0-9]*)[sd]")
_NUMBER = re.compile(r"\$\{process_num:(\d*):(\d+)\}")
"""Stands for `process_num` until the command is complete: its width, and the number of the first process."""
_PAIR = re.compile(r"""\s*([A-Za-z_][\w]*)\s*=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^,]*?)\s*(?:,|$)""")
_REASONS = {
    "user": "processes run as the user that starts procman",
    "umask": "set it before procman is started",
    "priority": "order is set by depends_on",
    "autostart": "give the count with `procman start -m NAME=0`",
    "minfds": "raise it before procman is started: `ulimit -n`, or LimitNOFILE= of the unit",
    "minprocs": "raise it before procman is started: `ulimit -u`, or LimitNPROC= of the unit",
    "stdout_events_enabled": "`procman logs -f --json` prints each line as an object",
    "stderr_events_enabled": "`procman logs -f --json` prints each line as an object",
    "serverurl": "procman gives each process PROCMAN_SOCKET",
}
_USUAL = {"minfds": "1024", "minprocs": "200"}
"""Supervisor's defaults, as in the file that `echo_supervisord_conf` prints."""
_LOGS = re.compile(r"(stdout|stderr)_(?!events_enabled).*")
_SILENT = frozenset({"process_name", "redirect_stderr", "killasgroup", "numprocs_start"})
_OWN = {
    "supervisorctl": "procman's verbs find it by the folder",
    "unix_http_server": "procman has a control socket of its own",
    "inet_http_server": "procman has a control socket of its own, for its own user only",
    "include": "none of these files can be read here: convert them, too",
    "group": "a verb takes several names, as in `procman restart web worker`; `groups:` restarts types together",
    "eventlistener": "`procman events --json` prints every change",
    "fcgi-program": "write its command into the Procfile, and `socket:` into procman.yml",
}


class _Value(Struct, frozen=True):
    text: str
    line: int


class _Section(Struct, frozen=True):
    name: str
    line: int
    values: dict[str, _Value] = field(default_factory=dict)


def included(text: str, file: str) -> list[str]:
    """The files that it includes, as shell patterns. Raises ConfigError."""
    named = [section.values.get("files") for section in _sections(text, file) if section.name == "include"]
    return [pattern.replace("%(here)s/", "") for one in named if one is not None for pattern in one.text.split()]


def convert(text: str, file: str, beside: Mapping[str, str] = {}) -> Converted:
    """`beside` are the texts of the `included` files that exist. Raises ConfigError."""
    builder = Builder()
    found = [("", section) for section in _sections(text, file)]
    found += [(name, section) for name, more in beside.items() for section in _sections(more, name)]
    for source, section in found:
        kind, _, name = section.name.partition(":")
        if kind == "program" and name:
            _program(builder.draft(name, section.line, source), section)
        elif kind == "supervisord":
            _daemon(builder, section)
        elif kind != "rpcinterface" and not (kind == "include" and beside):
            builder.leave(section.line, f"[{section.name}]", _OWN.get(kind, ""), source)
    if not any(section.name.startswith("program:") for _, section in found):
        including = any(section.name == "include" for _, section in found)
        hint = "none of the files that it includes can be read here" if including else "is it a supervisord.conf?"
        fail(file, 0, "cannot find a [program:NAME] section in the file", hint)
    made = builder.build()
    return replace(made, types=tuple(replace(one, command=_NUMBER.sub(_numbered, one.command)) for one in made.types))


def _sections(text: str, file: str) -> list[_Section]:
    """The sections as Supervisor's parser reads them: `;` after a space starts a comment, an indented line continues."""
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
            name, sign, value = bare.partition("=" if "=" in bare else ":")
            if not sign or not name.strip():
                fail(file, number, "cannot read the line: it has no '='", "write key=value")
            key = name.strip().lower()
            found[-1].values[key] = _Value(value.strip(), number)
    return found


def _daemon(builder: Builder, section: _Section) -> None:
    for key, value in section.values.items():
        if key == "environment":
            builder.put_env(value.line, _environment(value.text))
        elif key in ("user", "umask", "minfds", "minprocs") and value.text != _USUAL.get(key):
            builder.leave(value.line, key, _REASONS[key])


def _environment(text: str) -> dict[str, str]:
    """`A="1",B=2`"""
    found = {}
    for name, value in _PAIR.findall(text.replace("\n", " ")):
        within = re.fullmatch(r"""(["'])(.*)\1""", value)
        found[name] = (within[2] if within else value).replace("%%", "%")
    return found


def _program(draft: Draft, section: _Section) -> None:
    values = dict(section.values)
    start = values.get("numprocs_start")
    first = int(start.text[:9]) if start is not None and start.text.isascii() and start.text.isdigit() else 0
    command = values.pop("command", None)
    if command is not None:
        draft.command = _command(draft, command, first)
    variables = values.pop("environment", None)
    if variables is not None:
        _variables(draft, variables, first)
    for key, value in values.items():
        if _set(draft, key, value) or key in _SILENT:
            continue
        if not _LOGS.fullmatch(key):
            draft.leave(value.line, key, _REASONS.get(key, ""))
        elif not value.text.startswith(("/dev/std", "/dev/fd/", "0", "/dev/null", "NONE", "AUTO")):
            draft.leave(value.line, key, "start with `procman start --log-dir DIR`")


def _variables(draft: Draft, value: _Value, first: int) -> None:
    """The variables of a program. A PORT that counts up with its processes is the port of the first one."""
    variables = {name: _formatted(one.replace("$", "$$"), first) for name, one in _environment(value.text).items()}
    port = variables.get("PORT", "")
    ports = [_NUMBER.sub(partial(_counted, number=first + index), port) for index in (0, 1)]
    if all(port.isascii() and port.isdigit() for port in ports) and int(ports[1]) == int(ports[0]) + 1:
        variables["PORT"] = ports[0]
    draft.put_env(value.line, variables, expand=True)


def _set(draft: Draft, key: str, value: _Value) -> bool:
    """Carry one key over; False if procman has nothing like it."""
    text, line = value.text, value.line
    if key == "directory":
        draft.put_folder(line, _formatted(text.replace("%(here)s", ".")))
    elif key == "autostart":
        if "%(" in text:
            return False
        draft.count = 0 if text.lower() in _FALSE else draft.count
    elif key == "autorestart":
        if text.lower() in (*_TRUE, *_FALSE):
            draft.put("restart.policy", "always" if text.lower() in _TRUE else "never")
    elif key == "startretries" and text.isascii() and text.isdigit():
        draft.put("restart.max_restarts", int(text[:9]))
    elif key == "exitcodes":
        draft.put_codes("success_exit_codes", line, re.split(r"[,\s]+", text))
    elif key == "stopsignal":
        draft.put_signal(line, text)
    elif key == "startsecs":
        if re.fullmatch(r"0*[1-9]\d{0,8}", text):  # a start that lasts so long has succeeded
            draft.put("restart.reset_after", int(text))
    elif key == "stopwaitsecs":
        draft.put_seconds("stop.grace", line, float(text) if re.fullmatch(r"\d{1,9}", text) else None)
    elif key == "stopasgroup":
        if text.lower() in _TRUE:
            draft.put("stop.mode", "group")
    elif key == "numprocs":
        if text.isascii() and text.isdigit() and draft.count:
            draft.put_count(line, int(text[:9]))
    else:
        return False
    return True


def _command(draft: Draft, value: _Value, first: int) -> str:
    """Supervisor runs no shell: each word is quoted for the shell that may be needed; `%(…)s` becomes a variable."""
    words = split(value.text.replace("\n", " "))
    if words is None:
        draft.leave(value.line, "its command: the quotation marks do not match")
        return ""
    known = [_formatted(word.replace("$", "$$"), first) for word in words]
    if any("%(" in word for word in known):
        draft.leave(value.line, "a %(…)s in its command", "check the line of the Procfile")
    return " ".join(expanding(made) if "%" in word else quote(word) for word, made in zip(words, known, strict=True))


def _formatted(text: str, first: int = 0) -> str:
    """The text with variables of a shell for `%(…)s`. `first` is the number of the first process."""

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "%"
        if name.startswith("ENV_"):
            return "${" + name[4:] + "}"
        if name == "process_num":
            return (
                "${PROCMAN_INDEX}" if (match[2] or "1", first) == ("1", 1) else f"${{process_num:{match[2]}:{first}}}"
            )
        return {"here": ".", "program_name": "${PROCMAN_TYPE}"}.get(name, match[0])

    return _FORMAT.sub(replaced, text)


def _counted(match: re.Match[str], number: int) -> str:
    return str(number).zfill(int(match[1] or 0))


def _numbered(match: re.Match[str]) -> str:
    """The number of a process in a shell. Supervisor counts from `numprocs_start`, which is 0 unless it is set."""
    width, first = int(match[1] or 1), int(match[2])
    number = "$PROCMAN_INDEX" if first == 1 else f"$((PROCMAN_INDEX{first - 1:+d}))"
    return f"$(printf %0{width}d {number})" if width > 1 else number
