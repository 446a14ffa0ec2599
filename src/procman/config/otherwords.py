"""Hints for keys and values of procman.yml that are refused and that people know from another tool's file. Pure."""

from __future__ import annotations

import re

from procman.text.signals import KNOWN

COUNTS = "the count is set under `formation: {{{name}: 3}}`"
COMMAND = "the command is in the Procfile"
GRACE = "write `stop: {{grace: 30}}`"
SIGNAL = "write `stop: {{signal: INT}}`"
RESTART = "write `restart: {{policy: always}}`, or `max_restarts` in it"
LOGS = "`procman start --log-dir DIR` writes a file for each instance"
USER = "procman does not change users: put `setpriv` or `su` into the command"
TYPES = "did you mean 'processes'?"

OF_A_TYPE = {
    **dict.fromkeys(("replicas", "instances", "count", "numprocs", "scale", "concurrency", "number"), COUNTS),
    **dict.fromkeys(("command", "cmd", "exec", "run", "script", "entrypoint", "args"), COMMAND),
    **dict.fromkeys(("environment", "environ", "envs", "vars"), "did you mean 'env'?"),
    **dict.fromkeys(
        ("env_file", "envfile"), "the variables of all types are in .env, or in FILE of `procman start -e FILE`"
    ),
    **dict.fromkeys(
        ("directory", "dir", "working_dir", "workdir", "working_directory", "chdir", "root"), "did you mean 'cwd'?"
    ),
    **dict.fromkeys(("depends", "requires", "after", "needs", "wait_for"), "did you mean 'depends_on'?"),
    **dict.fromkeys(("healthcheck", "health_check", "liveness", "liveness_probe"), "did you mean 'health'?"),
    **dict.fromkeys(("readiness", "readiness_probe", "startsecs"), "did you mean 'ready'?"),
    **dict.fromkeys(("stopsignal", "stop_signal", "kill_signal", "signal"), SIGNAL),
    **dict.fromkeys(("stopwaitsecs", "stop_grace_period", "stop_timeout", "kill_timeout", "grace", "timeout"), GRACE),
    **dict.fromkeys(("autorestart", "restart_policy", "startretries", "max_restarts", "availability"), RESTART),
    **dict.fromkeys(("ports", "expose"), "did you mean 'port'?"),
    **dict.fromkeys(("log", "logs", "logfile", "log_file", "stdout_logfile", "stderr_logfile"), LOGS),
    **dict.fromkeys(("user", "group", "uid", "gid"), USER),
}
AT_THE_TOP = {
    **dict.fromkeys(("services", "programs", "program", "apps", "types", "process", "procs", "jobs", "workers"), TYPES),
    **dict.fromkeys(("counts", "scale", "replicas", "concurrency"), "did you mean 'formation'?"),
    **dict.fromkeys(
        ("env", "environment"), "the variables of all types are in .env, those of one type under its `env`"
    ),
    "version": "leave it out",
}

SECTIONS = {
    "": "write a section and its keys, such as `formation: {web: 2}`",
    "formation": "write `formation: {web: 2}`",
    "processes": "write the type and its settings: `processes: {web: {tty: true}}`",
    "groups": "write `groups: {backend: {members: [web, worker]}}`",
    "env": "write `env: {NAME: value}`",
    "restart": "write `restart: {policy: always}`",
    "stop": "write `stop: {grace: 30}`",
    "drain": "write `drain: {seconds: 5}`",
    "ready": "write `ready: {http: /}`",
    "health": "write `health: {http: /}`",
    "rolling": "write `rolling: {surge: 1}`",
    "recycle": "write `recycle: {memory: 512MB}`",
    "autoscale": "write `autoscale: 1..4`",
    "depends_on": "write `depends_on: [redis]`",
}
"""An example of each section, by its key ("": the whole file), for a value that is not a section."""

UNTIL = {"healthy": "ready", "running": "started", "completed": "done", "completed_successfully": "done"}
"""Conditions of Docker Compose and process-compose, without their prefix."""


def of_section(path: str) -> str:
    """An example of the section at this path, for a value that is not a section; "" if there is none."""
    head, _, key = path.rpartition(".")
    if head == "processes":
        return f"write its settings: `{key}: {{tty: true}}`; {COMMAND}"
    if head == "groups":
        return f"write `{key}: {{members: [web, worker]}}`"
    return SECTIONS.get(key, "")


def of_key(path: str, key: str) -> str:
    """The hint for a key that is not known at this path; "" if there is none."""
    word = key.lower().replace("-", "_")
    head, _, name = path.rpartition(".")
    if head == "processes":
        return OF_A_TYPE.get(word, "").format(name=name)
    return "" if path else AT_THE_TOP.get(word, "")


def of_value(path: str, text: str) -> str:
    """The hint for a word where a mapping, or another word, is expected; "" if there is none."""
    head, _, key = path.rpartition(".")
    match key:
        case _ if (key in SECTIONS or head == "processes") and re.match(r"[\w-]+:[^\s/]", text):
            return f"write a space after the ':': `{text.replace(':', ': ', 1)}`"
        case "restart" if text in ("always", "never", "on-failure"):
            return f"write `restart: {{policy: {text}}}`"
        case "restart" if text in ("no", "false", "unless-stopped", "true", "yes"):
            return f"write `restart: {{policy: {'never' if text in ('no', 'false') else 'always'}}}`"
        case "policy" if text in ("unless-stopped", "true", "unexpected", "no", "false"):
            return (
                f"write `policy: { {'unexpected': 'on-failure', 'no': 'never', 'false': 'never'}.get(text, 'always') }`"
            )
        case "stop" if text.upper().removeprefix("SIG") in KNOWN:
            return f"write `stop: {{signal: {text}}}`"
        case "stop" if text.rstrip("s").isdigit():
            return f"write `stop: {{grace: {text}}}`"
        case "ready" | "health" if text.startswith(("/", "http")):
            return f"write `{key}: {{http: {text if '/' in text else '/health'}}}`"
        case "ready" | "health" if text.isdecimal():
            return f"write `{key}: {{tcp: {text}}}`"
        case "port" if re.fullmatch(r"[\d.:]*:\d+", text):
            return f"write `port: {text.rpartition(':')[2]}`: a process opens its port itself"
        case "depends_on":
            return f"write `depends_on: [{text}]`" if text else ""
        case _ if ".depends_on." in path and (
            until := UNTIL.get(text.removeprefix("service_").removeprefix("process_"))
        ):
            return f"write `{key}: {until}`"
        case "formation" if re.fullmatch(r"[\w-]+=\d+(,[\w-]+=\d+)*", text):
            return f"write `formation: {{{text.replace('=', ': ').replace(',', ', ')}}}`"
        case _:
            return ""
