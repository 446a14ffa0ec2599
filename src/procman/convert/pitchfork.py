"""Makes process types of a pitchfork.toml (pitchfork.jdx.dev/reference/configuration)."""

from __future__ import annotations

from procman.convert.result import LAST_PORT, Builder, Converted, Draft
from procman.convert.tree import Item, Section, fail, read_toml

_REASONS = {
    "auto": "start and stop it yourself: `procman start`, `procman shutdown`",
    "boot_start": "let the system start procman",
    "ready_delay": "say when it is ready: `ready: tcp`",
    "hooks": "follow `procman events --json`",
    "cron": "let cron(8) call `procman run`",
    "memory_limit": "procman has no limit of its own: see systemd.resource-control(5)",
    "cpu_limit": "procman has no limit of its own: see systemd.resource-control(5)",
    "user": "processes run as the user that starts procman",
    "auto_bump_port": "the ports of procman are fixed: --port sets the first",
    "port_bump_attempts": "the ports of procman are fixed: --port sets the first",
}
_PROBES = {"ready_output": "log", "ready_http": "http", "ready_port": "tcp", "ready_cmd": "exec"}
_KINDS = {
    "output": ("log", "pattern"),
    "http": ("http", "url"),
    "port": ("tcp", "port"),
    "tcp": ("tcp", "port"),
    "cmd": ("exec", "command"),
}


def convert(text: str, file: str) -> Converted:
    """Raises ConfigError."""
    whole = Section(file, read_toml(text, file), "")
    daemons = whole.section("daemons")
    if daemons is None:
        fail(file, 0, "cannot find a [daemons.NAME] table in the file", "is it a pitchfork.toml?")
    builder = Builder()
    for name, daemon in daemons.sections():
        _daemon(builder.draft(name, daemons.line_of(name)), daemon)
    for key, number in whole.rest():
        if key not in ("namespace", "settings"):
            builder.leave(number, key)
    return builder.build()


def _daemon(draft: Draft, daemon: Section) -> None:
    draft.command = daemon.text("run")
    if daemon.flag("mise"):
        draft.command = f"mise exec -- {draft.command}"
    folder = daemon.text("dir")
    if folder:
        draft.put("cwd", folder)
    _port(draft, daemon)
    draft.put_env(daemon.line_of("env"), daemon.variables("env"))
    _retry(draft, daemon)
    _ready(draft, daemon)
    _stop(draft, daemon)
    for name in daemon.texts("depends") or []:
        draft.depends[name.rpartition("/")[2]] = "ready"
    watched = daemon.texts("watch")
    if watched:
        draft.put("watch", watched)
    for key, number in daemon.rest():
        draft.leave(number, key, _REASONS.get(key, ""))


def _port(draft: Draft, daemon: Section) -> None:
    for key in ("port", "expected_port"):
        item = daemon.take(key)
        if item is None:
            continue
        numbers = [one.value for one in item.value] if isinstance(item.value, list) else [item.value]
        if numbers and isinstance(numbers[0], int) and 1 <= numbers[0] <= LAST_PORT:
            draft.put("port", numbers[0])
        else:
            draft.leave(item.line, key, "set `port:`")
        if len(numbers) > 1:
            draft.leave(item.line, "further ports", "a type has one PORT")


def _retry(draft: Draft, daemon: Section) -> None:
    item = daemon.take("retry")
    if item is None or item.value is True:
        return
    if item.value is False or item.value == 0:
        draft.put("restart.policy", "never")
    elif isinstance(item.value, int) and item.value > 0:
        draft.put("restart.max_restarts", item.value)
    else:
        draft.leave(item.line, "retry", "set restart.max_restarts")


def _ready(draft: Draft, daemon: Section) -> None:
    for key, kind in _PROBES.items():
        item = daemon.take(key)
        if item is not None:
            _probe(draft, kind, item)
    item = daemon.take("ready")
    if item is not None and isinstance(item.value, dict):
        given = Section(daemon.file, item, f"{daemon.what}.ready")
        kind, key = _KINDS.get(given.text("type"), ("", ""))
        value = given.take(key) if key else None
        if value is None:
            draft.leave(item.line, "ready", "set `ready:` in procman.yml")
        else:
            _probe(draft, kind, value)


def _probe(draft: Draft, kind: str, item: Item) -> None:
    value = item.value
    if isinstance(value, dict):
        value = next((value[key].value for key in ("url", "command", "pattern", "port") if key in value), None)
    if kind == "tcp" and isinstance(value, int) and 1 <= value <= LAST_PORT:
        draft.put("ready", {"tcp": value})
    elif kind != "tcp" and isinstance(value, str) and value.strip():
        draft.put("ready", {kind: value})
    else:
        draft.leave(item.line, f"its readiness ({kind})", "set `ready:` in procman.yml")


def _stop(draft: Draft, daemon: Section) -> None:
    item = daemon.take("stop_signal")
    if item is None:
        return
    word = item.value.get("signal", Item("", item.line)).value if isinstance(item.value, dict) else item.value
    draft.put_signal(item.line, str(word))
