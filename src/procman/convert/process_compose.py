"""Makes process types of a process-compose.yaml (github.com/F1bonacc1/process-compose)."""

from __future__ import annotations

import re

from procman.convert.result import VARIES, Builder, Converted, Draft
from procman.convert.tree import Section, fail, read_yaml
from procman.convert.words import expanding

_UNTIL = {
    "process_started": "started",
    "process_healthy": "ready",
    "process_log_ready": "ready",
    "process_completed": "done",
    "process_completed_successfully": "done",
}
_SIGNALS = {1: "HUP", 2: "INT", 3: "QUIT", 9: "KILL", 10: "USR1", 12: "USR2", 15: "TERM"}
_REASONS = {
    "is_daemon": "procman keeps what it runs in the foreground: start it without its daemon option",
    "log_location": "start with `procman start --log-dir DIR`",
    "log_configuration": "start with `procman start --log-dir DIR`",
    "namespace": "start a part with `procman start TYPE…`",
    "schedule": "let cron(8) call `procman run`",
    "vars": "write the values into the command",
    "is_elevated": "processes run as the user that starts procman",
    "env_file": "start with `procman start -e FILE`",
}
_TOP_REASONS = {
    "shell": "start with `procman start --shell PATH`",
    "log_location": _REASONS["log_location"],
    "vars": _REASONS["vars"],
    "env_file": _REASONS["env_file"],
    "extends": "convert the file that it extends, too",
}
_SILENT = frozenset(
    {"version", "log_level", "log_length", "is_tui_disabled", "disable_ansi_colors", "description", "is_strict"}
)


def convert(text: str, file: str) -> Converted:
    """Raises ConfigError."""
    whole = Section(file, read_yaml(text, file), "")
    processes = whole.section("processes")
    if processes is None:
        fail(file, whole.line, "cannot find 'processes' in the file", "is it a process-compose file?")
    builder = Builder()
    builder.put_env(whole.line_of("environment"), whole.variables("environment"))
    for name, process in processes.sections():
        _process(builder.draft(name, processes.line_of(name)), process)
    for key, number in whole.rest():
        if key not in _SILENT:
            builder.leave(number, key, _TOP_REASONS.get(key, ""))
    return builder.build()


def _process(draft: Draft, process: Section) -> None:
    entry = process.texts("entrypoint") or []
    draft.command = process.text("command").replace("$$", "$") or " ".join(map(expanding, entry))
    if "{{" in draft.command:
        draft.leave(process.line_of("command"), "the template in its command", _REASONS["vars"])
    description = process.text("description")
    if description:
        draft.notes.append(" ".join(description.split()))
    folder = process.text("working_dir")
    if folder:
        draft.put_folder(process.line_of("working_dir"), folder)
    variables = process.variables("environment")
    draft.put_env(process.line_of("environment"), variables, expand=True)
    for name in [name for name, value in variables.items() if "{{" in value]:
        draft.leave(process.line_of("environment"), f"the template in {name}", _REASONS["vars"])
    if process.flag("is_tty") or process.flag("is_interactive"):
        draft.turn_on("tty")
    if process.flag("disabled") or process.flag("is_foreground"):
        draft.count = 0
    replicas = process.number("replicas")
    if replicas is not None and draft.count:
        draft.put_count(process.line_of("replicas"), int(replicas))
    codes = process.texts("success_exit_codes")
    if codes:
        draft.put_codes("success_exit_codes", process.line_of("success_exit_codes"), codes)
    _availability(draft, process.section("availability"))
    _probes(draft, process)
    _shutdown(draft, process.section("shutdown"))
    order = process.section("depends_on")
    for name, wanted in order.sections() if order is not None else ():
        draft.depends[name] = _UNTIL.get(wanted.word("condition"), "started")
    for key, number in process.rest():
        if key not in _SILENT:
            draft.leave(number, key, _REASONS.get(key, ""))


def _availability(draft: Draft, given: Section | None) -> None:
    if given is None:
        return
    policy = given.word("restart")
    if policy == "always":
        draft.put("restart.policy", "always")
    elif policy == "no":
        draft.put("restart.policy", "never")
    elif policy == "exit_on_failure":
        draft.put("restart.policy", "never")
        draft.put("on_end", "exit")
        draft.leave(given.line_of("restart"), "exit_on_failure", "on_end: exit ends everything after a success, too")
    backoff, limit = given.number("backoff_seconds"), given.number("max_restarts")
    if backoff is not None:
        draft.put_seconds("restart.delay", given.line_of("backoff_seconds"), backoff)
    if limit:
        draft.put("restart.max_restarts", max(0, int(limit)))
    if given.flag("exit_on_end"):
        draft.put("on_end", "exit")
    for key, number in given.rest():
        draft.leave(number, f"availability.{key}")


def _probes(draft: Draft, process: Section) -> None:
    logged = process.text("ready_log_line")
    if logged:
        draft.put("ready", {"log": re.escape(logged).replace("\\ ", " ")})
    ready, alive = process.section("readiness_probe"), process.section("liveness_probe")
    if ready is not None:
        asked = _probe(draft, ready)
        if asked:
            draft.put("ready", asked)
    if alive is not None:
        asked = _probe(draft, alive)
        if asked:
            draft.put("health", {**asked, **_times(draft, alive)})


def _probe(draft: Draft, probe: Section) -> dict[str, object]:
    """`{exec: …}` or `{http: …}`, empty for anything else."""
    executed, asked = probe.section("exec"), probe.section("http_get")
    if executed is not None:
        command = " ".join(executed.text("command").replace("$$", "$").split())
        if executed.text("working_dir"):
            draft.leave(executed.line_of("working_dir"), "the folder of its probe", "put `cd DIR &&` in front of it")
        return {"exec": command} if command else {}
    if asked is not None:
        host = asked.text("host") or "127.0.0.1"
        port = f":{asked.text('port')}" if asked.text("port") else ""
        found: dict[str, object] = {
            "http": f"{asked.text('scheme').lower() or 'http'}://{host}{port}{asked.text('path') or '/'}"
        }
        if VARIES.search(str(found["http"])):
            draft.leave(
                asked.line_of("port"), f"its probe of {found['http']}, which names a variable", "write the port"
            )
            return {}
        status = asked.number("status_code")
        if status is not None:
            found["status"] = int(status)
        for key, number in asked.rest():
            draft.leave(number, f"http_get.{key}")
        return found
    return {}


def _times(draft: Draft, probe: Section) -> dict[str, object]:
    found: dict[str, object] = {}
    for source, key in (
        ("period_seconds", "interval"),
        ("timeout_seconds", "timeout"),
        ("failure_threshold", "failures"),
    ):
        number = probe.number(source)
        if number is not None and number >= 1:
            found[key] = int(number)
    for key in ("initial_delay_seconds", "success_threshold"):
        if (probe.number(key) or 0) > 1:
            draft.leave(probe.line_of(key), key)
    return found


def _shutdown(draft: Draft, given: Section | None) -> None:
    if given is None:
        return
    number = given.number("signal")
    if number is not None:
        draft.put_signal(given.line_of("signal"), _SIGNALS.get(int(number), str(int(number))))
    grace = given.number("timeout_seconds")
    if grace is not None:
        draft.put_seconds("stop.grace", given.line_of("timeout_seconds"), grace)
    if given.flag("parent_only"):
        draft.put("stop.mode", "leader")
    if given.text("command"):
        draft.leave(given.line_of("command"), "its shutdown command", "procman stops by signals")
