"""Makes a process type of a systemd unit (systemd.service(5), systemd.exec(5), systemd.kill(5))."""

from __future__ import annotations

import re
from os.path import basename

from msgspec import Struct

from procman.convert.result import Builder, Converted, Draft
from procman.convert.tree import fail, seconds
from procman.convert.words import expanding, split

_KILL = re.compile(r"-?(?:/usr)?(?:/bin/)?kill (?:-s |-)(?:SIG)?([A-Z0-9]+) \$\{?MAINPID\}?")
_MODES = {"control-group": "group", "mixed": "leader", "process": "leader"}
_RESTART = {"always": "always", "on-success": "always", "no": "never"}
_REASONS = {
    "user": "processes run as the user that starts procman",
    "group": "processes run as the user that starts procman",
    "environmentfile": "start with `procman start -e FILE`, or move it into .env",
    "execstop": "procman stops by signals",
    "execstoppost": "procman runs nothing after a stop",
    "execstartpost": "procman runs nothing after a start",
    "pidfile": "procman keeps what it runs in the foreground",
    "watchdogsec": "set `ready: notify`: a watchdog is part of it",
    "standardoutput": "start with `procman start --log-dir DIR`",
    "standarderror": "start with `procman start --log-dir DIR`",
    "after": "units of the system: depends_on knows the types of the Procfile only",
    "requires": "units of the system: depends_on knows the types of the Procfile only",
    "wants": "units of the system: depends_on knows the types of the Procfile only",
    "bindsto": "units of the system: depends_on knows the types of the Procfile only",
}
_SILENT = frozenset({"description", "documentation", "type", "syslogidentifier", "timeoutstartsec", "restartsec"})


class _Entry(Struct, frozen=True):
    section: str
    key: str
    value: str
    line: int
    text: str


def convert(text: str, file: str) -> Converted:
    """Raises ConfigError."""
    entries = _entries(text, file)
    service = [entry for entry in entries if entry.section == "service"]
    if not service:
        fail(file, 0, "cannot find a [Service] section in the file", "is it a systemd service unit?")
    builder = Builder()
    name = re.sub(r"@?\.service$", "", basename(file)) or "service"
    draft = builder.draft(name, service[0].line)
    description = next((entry.value for entry in entries if entry.key == "description"), "")
    if description not in ("", name):
        draft.notes.append(" ".join(description.split()))
    _Unit(draft, service).fill()
    for entry in entries:
        if entry.section == "unit" and entry.key not in _SILENT:
            draft.leave(entry.line, _shown(entry), _REASONS.get(entry.key, ""))
        elif entry.section not in ("unit", "service", "install"):
            draft.leave(entry.line, f"[{entry.section}] {_shown(entry)}")
    return builder.build()


def _shown(entry: _Entry) -> str:
    return entry.text if len(entry.text) <= 60 else entry.text[:59] + "…"


def _entries(text: str, file: str) -> list[_Entry]:
    """Every assignment. An empty one cancels those of its key before it."""
    found: list[_Entry] = []
    section, pending, start = "", "", 0
    for number, row in enumerate(text.splitlines(), 1):
        stripped = row.strip()
        if stripped.startswith(("#", ";")) or not (stripped or pending):
            continue
        start = start if pending else number
        if stripped.endswith("\\"):
            pending += stripped[:-1] + " "
            continue
        whole, pending = pending + stripped, ""
        if whole.startswith("[") and whole.endswith("]"):
            section = whole[1:-1].lower()
            continue
        key, sign, value = whole.partition("=")
        if not sign or not key.strip():
            fail(file, start, "cannot read the line: it has no '='", "write Key=value")
        if not section:
            fail(file, start, "cannot read the line: it is before any [Section]")
        entry = _Entry(section, key.strip().lower(), value.strip(), start, " ".join(whole.split()))
        if not entry.value:
            found = [one for one in found if (one.section, one.key) != (entry.section, entry.key)]
        else:
            found.append(entry)
    return found


class _Unit:
    """One pass over the [Service] section."""

    def __init__(self, draft: Draft, entries: list[_Entry]) -> None:
        self.draft = draft
        self.entries = entries
        self.taken: set[str] = set()

    def fill(self) -> None:
        self._command()
        self._kind()
        self._environment()
        self._restart_and_stop()
        self._stop()
        for entry in self.entries:
            if entry.key not in self.taken and entry.key not in _SILENT:
                hint = _REASONS.get(entry.key, "")
                if entry.key == "execreload":
                    sent = _KILL.fullmatch(entry.value)
                    hint = f"`procman signal {sent[1]} {self.draft.name} --leader`" if sent else "see `procman signal`"
                self.draft.leave(entry.line, _shown(entry), hint)

    def _all(self, key: str) -> list[_Entry]:
        self.taken.add(key)
        return [entry for entry in self.entries if entry.key == key]

    def _last(self, key: str) -> _Entry | None:
        return next(iter(reversed(self._all(key))), None)

    def _command(self) -> None:
        before = [self._line(entry, alone=False) for entry in (*self._all("execcondition"), *self._all("execstartpre"))]
        main = [self._line(entry, alone=True) for entry in self._all("execstart")]
        commands = [command for command in (*before, *main) if command]
        if before and main and len(main) == 1 and commands:
            commands[-1] = f"exec {commands[-1]}"
        self.draft.command = " && ".join(commands)

    def _line(self, entry: _Entry, *, alone: bool) -> str:
        """Systemd runs no shell: words are quoted for one, and `%` and `$` replaced by its rules."""
        line = entry.value.lstrip("@-:+!|")
        marks = entry.value.removesuffix(line)
        words = split(line.replace("%%", "\0"))
        if not words:
            self.draft.leave(entry.line, f"{entry.key}: its quotation marks do not match")
            return ""
        if "@" in marks and len(words) > 1:
            del words[1]
        if any("%" in word for word in words):
            self.draft.leave(entry.line, "a specifier (%…) in its command", "check the line of the Procfile")
        command = " ".join(expanding(word.replace("%h", "${HOME}").replace("\0", "%")) for word in words)
        return f"{{ {command} || true; }}" if "-" in marks and not alone else command

    def _kind(self) -> None:
        entry = self._last("type")
        kind = entry.value.lower() if entry is not None else "simple"
        if kind in ("notify", "notify-reload"):
            self.draft.put("ready", "notify")
        elif kind == "oneshot":
            self.draft.turn_on("oneshot")
        elif kind == "forking" and entry is not None:
            self.draft.leave(entry.line, "Type=forking", "start it in the foreground: without its daemon option")
        elif kind == "dbus" and entry is not None:
            self.draft.leave(entry.line, "Type=dbus", "say when it is ready: `ready: …`")

    def _environment(self) -> None:
        for entry in self._all("environment"):
            pairs = [pair.partition("=") for pair in split(entry.value) or []]
            self.draft.put_env(entry.line, {name: value.replace("%%", "%") for name, sign, value in pairs if sign})
        folder = self._last("workingdirectory")
        if folder is not None:
            path = folder.value.removeprefix("-")
            if path.startswith("/"):
                self.draft.put("cwd", path)
            else:
                self.draft.leave(folder.line, _shown(folder), "set cwd")

    def _restart_and_stop(self) -> None:
        entry = self._last("restart")
        policy = _RESTART.get(entry.value, "on-failure") if entry is not None else "on-failure"
        if policy != "on-failure":
            self.draft.put("restart.policy", policy)
        delay = self._last("restartsec")
        if delay is not None:
            self.draft.put_seconds("restart.delay", delay.line, seconds(delay.value))
        for key, path in (
            ("successexitstatus", "success_exit_codes"),
            ("restartpreventexitstatus", "restart.no_retry_exit_codes"),
        ):
            codes = [word for entry in self._all(key) for word in entry.value.split()]
            if codes:
                self.draft.put_codes(path, self.entries[0].line, codes)

    def _stop(self) -> None:
        signal = self._last("killsignal")
        if signal is not None:
            self.draft.put_signal(signal.line, signal.value)
        for entry in self.entries:
            sent = _KILL.fullmatch(entry.value) if entry.key == "execstop" else None
            if sent:
                self.taken.add("execstop")
                self.draft.put_signal(entry.line, sent[1])
        both = self._last("timeoutsec")
        grace = self._last("timeoutstopsec") or both
        if grace is not None:
            self.draft.put_seconds("stop.grace", grace.line, seconds(grace.value))
        mode = self._last("killmode")
        if mode is not None and mode.value in _MODES:
            self.draft.put("stop.mode", _MODES[mode.value])
        elif mode is not None:
            self.draft.leave(mode.line, _shown(mode))
