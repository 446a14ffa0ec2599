"""Makes process types of PM2's ecosystem.config.js, .cjs or .json
(pm2.keymetrics.io/docs/usage/application-declaration).

A .js file is a program: `node` prints what it exports as JSON, which is read here together with the source, for line
numbers.
"""

from __future__ import annotations

import json
import re
from os.path import splitext
from shlex import join, quote

from procman.convert.result import Builder, Converted, Draft
from procman.convert.tree import Item, Section, fail, read_yaml, with_lines
from procman.convert.words import split

PRINT = "JSON.stringify(require(require('path').resolve(process.argv[1])))"
"""The argument of `node -p`, followed by the file's name."""

_INTERPRETERS = {
    ".js": "node", ".cjs": "node", ".mjs": "node", ".ts": "node", ".py": "python3", ".rb": "ruby", ".sh": "bash",
    ".php": "php", ".pl": "perl",
}  # fmt: skip
_REASONS = {
    "cron_restart": "let cron(8) call `procman restart NAME`",
    "ignore_watch": "list the patterns under `watch`",
    "wait_ready": "say when it is ready: `ready: tcp`, or `ready: {log: …}`",
    "listen_timeout": "say when it is ready: `ready: tcp`",
    "increment_var": "each instance has its own PORT",
    "instance_var": "each instance has PROCMAN_INDEX, from 1",
    **dict.fromkeys(("uid", "gid", "user"), "processes run as the user that starts procman"),
    "post_update": "run it in the script that deploys",
    "log_date_format": "start with `procman start --timestamps`",
}
_LOGS = frozenset({
    "output", "error", "out_file", "error_file", "log_file", "log", "out", "pid_file", "pid", "combine_logs", "merge_logs",
    "log_type", "out_type", "time", "disable_logs",
})  # fmt: skip
_SILENT = frozenset({
    "source_map_support", "namespace", "vizion", "automation", "pmx", "force", "shutdown_with_message", "filter_env",
    "treekill", "autostart", "description", "version", "author", "log_date_format", "exec_mode", "wait_ready", "listen_timeout",
})  # fmt: skip


def convert(text: str, file: str) -> Converted:
    """Convert a .json file, which PM2 reads with comments, unquoted names and trailing commas. Raises ConfigError."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = _plain(read_yaml(_JSON_PIECES.sub(_kept, text), file))
    return _converted(data, text, file)


def convert_printed(printed: str, source: str, file: str) -> Converted:
    """Convert what node printed of a .js file, with the source for line numbers. Raises ConfigError."""
    try:
        data = json.loads(printed)
    except (ValueError, RecursionError):
        fail(file, 0, "cannot use what node printed of the file: it is not JSON", "does it export an object?")
    return _converted(data, source, file)


_JSON_PIECES = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|//[^\n]*|/\*.*?\*/|\t""", re.DOTALL)


def _kept(match: re.Match[str]) -> str:
    """A string unchanged, and only the line ends of a comment."""
    return match[1] or "\n" * match[0].count("\n") or " "


def _plain(item: Item) -> object:
    if isinstance(item.value, dict):
        return {key: _plain(one) for key, one in item.value.items()}
    return [_plain(one) for one in item.value] if isinstance(item.value, list) else item.value


def _converted(data: object, source: str, file: str) -> Converted:
    apps = data.get("apps", data.get("pm2", data)) if isinstance(data, dict) else data
    apps = [apps] if isinstance(apps, dict) else apps
    if not isinstance(apps, list) or not all(
        isinstance(app, dict) and ("script" in app or "cmd" in app) for app in apps
    ):
        fail(file, 0, "cannot find 'apps', each with a 'script', in the file", "is it an ecosystem file of PM2?")
    builder = Builder()
    after = 0
    for number, given in enumerate(apps):
        app = _simple(given)
        lines, after = _lines(source, app, number, after)
        section = Section(file, with_lines(app, lines, ("apps", str(number)), 1), f"apps[{number}]")
        name = str(app.get("name") or app["script"])
        _app(builder.draft(name, section.line), section)
    if isinstance(data, dict) and "deploy" in data:
        builder.leave(_find(source.splitlines(), "deploy", 0), "deploy", "procman runs processes and deploys nothing")
    return builder.build()


def _simple(app: dict[str, object]) -> dict[str, object]:
    """Arguments as one text: `cmd` is another name of `script`; in `env` PM2 writes lists and mappings as JSON."""
    env = app.get("env")
    if isinstance(env, dict):
        env = {key: json.dumps(value) if isinstance(value, (dict, list)) else value for key, value in env.items()}
        app = {**app, "env": env}
    return {**app, "script": app.get("script") or app.get("cmd") or ""}


def _lines(source: str, app: dict[str, object], number: int, after: int) -> tuple[dict[tuple[str, ...], int], int]:
    """The lines of an app's keys in the source, as far as the text shows, and where to search for the next app."""
    rows = source.splitlines()
    name = re.escape(str(app.get("name") or app.get("script") or ""))
    start = next((n for n in range(after, len(rows)) if re.search(rf"['\"`]{name}['\"`]", rows[n])), after)
    path: tuple[str, ...] = ("apps", str(number))
    lines = {path: start + 1}
    end = next((n for n in range(start + 1, len(rows)) if re.search(r"\bname\s*['\"]?\s*:", rows[n])), len(rows))
    for key in app:
        lines[*path, key] = _find(rows[:end], key, start) or start + 1
    return lines, start + 1


def _find(rows: list[str], key: str, start: int) -> int:
    pattern = re.compile(rf"(?<![\w$])['\"]?{re.escape(key)}['\"]?\s*:")
    return next((n + 1 for n in range(start, len(rows)) if pattern.search(rows[n])), 0)


def _app(draft: Draft, app: Section) -> None:
    draft.command = _command(draft, app)
    for key in ("name", "cmd"):
        app.take(key)
    folder = app.text("cwd")
    if folder not in ("", ".", "./"):
        draft.put("cwd", folder)
    draft.put_env(app.line_of("env"), app.variables("env"))
    _count(draft, app)
    _restart_and_stop(draft, app)
    _watch(draft, app)
    for key, number in app.rest():
        if key.startswith("env_"):
            draft.leave(number, key, "put it into a file and start with `procman start -e FILE`")
        elif key in _LOGS:
            if key in ("output", "error", "out_file", "error_file", "log_file"):
                draft.leave(number, key, "start with `procman start --log-dir DIR`")
        elif key not in _SILENT:
            draft.leave(number, key, _REASONS.get(key, ""))
    for key in ("wait_ready", "listen_timeout"):
        if key in app and app.text(key) not in ("", "false"):
            draft.leave(app.line_of(key), key, _REASONS[key])


def _command(draft: Draft, app: Section) -> str:
    script = app.text("script")
    given = _words(draft, app, app.take("args"))
    options = _words(draft, app, app.take("node_args") or app.take("interpreter_args"))
    interpreter = app.text("interpreter") or app.text("exec_interpreter")
    if not interpreter:
        interpreter = _INTERPRETERS.get(splitext(script)[1].lower(), "none")
    if not script:
        return ""
    if interpreter == "none":
        return join([*(split(script) or [script] if " " in script else [script]), *given])
    return join([interpreter, *options, script, *given])


def _words(draft: Draft, app: Section, item: Item | None) -> list[str]:
    if item is None:
        return []
    if isinstance(item.value, list):
        return [app.as_text(one, "args") for one in item.value]
    words = split(app.as_text(item, "args"))
    if words is None:
        draft.leave(item.line, "args: the quotation marks do not match")
    return words or []


def _count(draft: Draft, app: Section) -> None:
    text = app.text("instances")
    if re.fullmatch(r"[1-9]\d{0,5}", text):
        draft.put_count(app.line_of("instances"), int(text))
    elif text in ("max", "0"):
        draft.count = "cpus"
    elif re.fullmatch(r"-[1-9]\d?", text):
        draft.count = f"cpus{text}"
    elif text:
        draft.leave(
            app.line_of("instances"),
            f"instances: {quote(text)}",
            "set its count in `formation`: one for each processor",
        )
    if app.text("exec_mode").startswith("cluster"):
        draft.leave(
            app.line_of("exec_mode"),
            "exec_mode: cluster",
            "its instances shared one port; here each has a PORT of its own, for a balancer in front",
        )


def _memory(draft: Draft, app: Section) -> None:
    """PM2's `max_memory_restart` is a number of bytes, or one with K, M or G."""
    size = re.fullmatch(r"(\d{1,12})([KMG]?)B?", app.text("max_memory_restart").upper())
    if size is not None and int(size[1]):
        draft.put("recycle.memory", f"{size[1]}{size[2]}" if size[2] else int(size[1]))
    elif "max_memory_restart" in app:
        draft.leave(app.line_of("max_memory_restart"), "max_memory_restart", "set recycle: {memory: 500M}")


def _restart_and_stop(draft: Draft, app: Section) -> None:
    """The settings of restart and stop: PM2 restarts whatever ends, and stops with INT."""
    _memory(draft, app)
    kept = "autorestart" not in app or app.flag("autorestart")
    draft.put("restart.policy", "always" if kept else "never")
    limit = app.number("max_restarts")
    if limit is not None and limit >= 0:
        draft.put("restart.max_restarts", int(limit))
    for key, path in (
        ("restart_delay", "restart.delay"),
        ("exp_backoff_restart_delay", "restart.delay"),
        ("min_uptime", "restart.reset_after"),
        ("kill_timeout", "stop.grace"),
    ):
        if app.take(key) is not None:
            draft.put_seconds(path, app.line_of(key), _milliseconds(app.text(key)))
    item = app.take("stop_exit_codes")
    if item is not None:
        codes = app.texts("stop_exit_codes") if isinstance(item.value, list) else [app.as_text(item, "stop_exit_codes")]
        draft.put_codes("success_exit_codes", item.line, codes or [])
    draft.put("stop.signal", "INT")


def _milliseconds(text: str) -> float | None:
    match = re.fullmatch(r"(\d{1,10})(ms|s|m|h)?", text)
    units = {"": 0.001, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    return int(match[1]) * units[match[2] or ""] if match else None


def _watch(draft: Draft, app: Section) -> None:
    item = app.take("watch")
    if item is None:
        return
    if isinstance(item.value, (list, str)):
        texts = app.texts("watch") if isinstance(item.value, list) else [item.value]
        patterns = [pattern for pattern in texts or [] if pattern and not pattern.startswith("/")]
        if patterns:
            draft.put("watch", patterns)
    elif item.value is True:
        draft.leave(item.line, "watch", "start with `procman start --watch`")
