"""What was read -> Plan: counts, ports, one ProcessSpec a type, and all that does not fit together.

It looks at the file system in one place (is a `cwd` a folder?) and opens nothing. Precedence: the command line, then
procman.yml, then the defaults.
"""

from __future__ import annotations

import os
import signal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType, structs

from procman.config.formation import Asked, choose_counts, parse_formation
from procman.config.procfile import ALL, Entry
from procman.config.sections import YEAR, Document, ProcessSection, RestartSection, StopSection
from procman.config.source import absolute, brief, plain
from procman.core.spec import DEFAULT_GRACE, OnEnd, Plan, ProcessSpec, RestartPolicy, StopPolicy, When, refuse_count
from procman.errors import Fault, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from procman.config.envfile import Assignment
    from procman.config.options import Options

INIT_GRACE = 25.0
"""As PID 1: Kubernetes and Heroku send KILL to a container 30 s after TERM; this leaves 5 s to tell who was killed."""

DEFAULT_PORT = 5000
DEFAULT_STEP = 100
LAST_PORT = 65535

_OURS = frozenset({"PS", "PROCMAN_TYPE", "PROCMAN_INDEX", "PROCMAN_INSTANCE", "PROCMAN_SOCKET"})


class Inputs(Struct, frozen=True, kw_only=True):
    """All that was read. `entries` by name; `claimed` are names that the Procfile has, if only on faulty lines.

    `env` is the merged environment without PORT, `port` what it said there ("" for nothing) and where that was set.
    """

    root: str
    procfile: str
    entries: dict[str, Entry]
    claimed: frozenset[str]
    env: dict[str, str]
    port: Assignment
    document: Document


def build_plan(inputs: Inputs, options: Options, positions: Mapping[str, int]) -> tuple[Plan, list[Fault]]:
    """The plan, of worth only where there is no fault. `positions` are those of the types known so far."""
    base_port, faults = _base_port(inputs.port, options)
    faults += refuse_config(inputs)
    placed = place_types(inputs.entries, positions)
    specs = {}
    for name in inputs.entries:
        port = base_port + _step(options) * placed[name]
        specs[name], more = build_spec(inputs, options, name, None if options.no_port else port)
        faults += more
    formation, more = parse_formation(options.formation)
    faults += more + _refuse_asked(inputs, options, formation, positions)
    asked = Asked(
        types=options.types,
        leave_out=options.leave_out,
        formation=formation,
        configured=inputs.document.settings.formation,
    )
    plan = Plan(
        root=inputs.root,
        types=specs,
        counts=choose_counts(specs, asked),
        positions=placed,
        port_step=_step(options),
        procfile=inputs.procfile,
        watch={name: process.watch for name, process in _processes(inputs) if process.watch is not UNSET},
    )
    bad_numbers = _refuse_options(options)  # with a step of 0 every count would be refused as well
    return plan, faults + (bad_numbers or _refuse_counts(inputs, plan, formation))


def _processes(inputs: Inputs) -> list[tuple[str, ProcessSection]]:
    """What procman.yml says of the types that there are."""
    return [(name, p) for name, p in inputs.document.settings.processes.items() if name in inputs.entries]


def place_types(names: Iterable[str], positions: Mapping[str, int]) -> dict[str, int]:
    """Known types keep their position, new ones follow behind all that ever were."""
    placed = dict(positions)
    following = max(placed.values(), default=-1) + 1
    for name in names:
        if name not in placed:
            placed[name] = following
            following += 1
    return placed


def build_spec(inputs: Inputs, options: Options, name: str, port: int | None) -> tuple[ProcessSpec, list[Fault]]:
    """How a type is run, and what is wrong with its settings. `port` is its place's, None where nobody gets one."""
    process = inputs.document.settings.processes.get(name, ProcessSection())
    defaults = inputs.document.settings.defaults
    given: dict[str, Any] = {
        "on_end": OnEnd.EXIT if options.no_restart or name in options.exit_on else process.on_end,
        "stdin": process.stdin,
        "tty": _tty(process, options),
        "max": process.max,
        "shell": UNSET if options.shell is None else options.shell,
    }
    spec = ProcessSpec(
        type=name,
        command=inputs.entries[name].command,
        cwd=inputs.root if process.cwd is UNSET else absolute(process.cwd, inputs.root),
        env={**inputs.env, **process.env} if process.env else inputs.env,
        port=port if port is None or process.port is UNSET else process.port,
        restart=_restart(process.restart, defaults.restart, options),
        stop=_stop(process.stop, defaults.stop, options),
        success_exit_codes=_successes(process.success_exit_codes),
        **_written(given),
    )
    return spec, _refuse_settings(inputs, name, process, spec)


def _written(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not UNSET}


def _tty(process: ProcessSection, options: Options) -> bool:
    """A terminal is one stream: who asks for two gets pipes."""
    if options.split_streams:
        return False
    if options.tty is not None:
        return options.tty
    return options.terminal if process.tty is UNSET else process.tty


# Cached, so that types for which the same is said share one value: a type would take 184 bytes more.


@lru_cache
def _successes(listed: tuple[int, ...] | UnsetType) -> tuple[int, ...]:
    """0 always is one; in order, so that another way to write the same codes is no change."""
    return tuple(sorted({0, *(() if listed is UNSET else listed)}))


@lru_cache
def _restart(own: RestartSection, defaults: RestartSection, options: Options) -> RestartPolicy:
    values = _written(structs.asdict(defaults)) | _written(structs.asdict(own))
    if options.max_restarts is not None:
        values["max_restarts"] = options.max_restarts
    if options.no_restart:
        values["policy"] = When.NEVER
    return RestartPolicy(**values)


@lru_cache
def _stop(own: StopSection, defaults: StopSection, options: Options) -> StopPolicy:
    values: dict[str, Any] = {"grace": INIT_GRACE if options.init else DEFAULT_GRACE}
    values |= _written(structs.asdict(defaults)) | _written(structs.asdict(own))
    if options.timeout is not None:
        values["grace"] = options.timeout
    number = _signal_number(values.get("signal", "TERM"))
    if number:
        values["signal"] = number.name.removeprefix("SIG")
        values["exit_code"] = 128 + number
    return StopPolicy(**values)


def _signal_number(name: str) -> signal.Signals | None:
    return signal.Signals.__members__.get("SIG" + name.removeprefix("SIG"))


def _step(options: Options) -> int:
    return DEFAULT_STEP if options.port_step is None else options.port_step


def _base_port(port: Assignment, options: Options) -> tuple[int, list[Fault]]:
    """The first type's port: --port, else PORT of the environment (an empty one is none, as in a shell's ${PORT:-5000})."""
    if options.no_port or not port.value:
        return DEFAULT_PORT, []
    digits = port.value.strip()
    if digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= LAST_PORT:
        return int(digits), []
    message = f"cannot use PORT={plain(port.value)} as the first port: expected 1 to {LAST_PORT}"
    if not port.file:
        message = message.replace("PORT=", "--port " if options.port is not None else "the environment's PORT=")
    return DEFAULT_PORT, [Fault(port.file, port.line, message, "--port N sets another, --no-port none")]


def _refuse_options(options: Options) -> list[Fault]:
    """Numbers out of their range (whoever read the command line has seen to it that they are numbers), and what excludes each other."""
    faults = []
    if options.port_step is not None and options.port_step < 1:
        faults.append(
            Fault("", 0, f"cannot use --port-step {options.port_step}: expected 1 or more", "the default is 100")
        )
    if options.timeout is not None and not 0 <= options.timeout <= YEAR:
        faults.append(Fault("", 0, f"cannot use --timeout {options.timeout:g}: expected seconds, 0 to {YEAR}"))
    if options.tty and options.split_streams:
        message = "cannot use --tty with --split-streams: a terminal is one stream"
        faults.append(Fault("", 0, message, "leave one of them out"))
    if options.max_restarts is not None and options.max_restarts < 0:
        faults.append(Fault("", 0, f"cannot use --max-restarts {options.max_restarts}: expected 0 or more"))
    return faults


def refuse_config(inputs: Inputs) -> list[Fault]:
    """Process types that procman.yml names and that do not exist, and what is wrong with its `defaults`."""
    settings = inputs.document.settings
    sections = (("formation", settings.formation), ("processes", settings.processes))
    faults = [
        inputs.document.fault(f"{section}.{plain(name)}", *_no_type(inputs, name))
        for section, names in sections
        for name in _unknown(inputs, names)
    ]
    return faults + _refuse_signal(inputs, "defaults.stop.signal", settings.defaults.stop.signal)


def _refuse_asked(
    inputs: Inputs, options: Options, formation: Mapping[str, int], positions: Mapping[str, int]
) -> list[Fault]:
    """Process types that the command line names and that do not exist. One that was there before may go by a reload."""
    faults: dict[str, Fault] = {}  # each name is told once
    named = {
        "": options.types,
        " (--except)": options.leave_out,
        " (--exit-on)": options.exit_on,
        " (--formation)": [name for name in formation if name != ALL],
    }
    for origin, names in named.items():
        for name in _unknown(inputs, names):
            message, hint = _no_type(inputs, name)
            if name not in positions and name not in faults:
                faults[name] = Fault("", 0, message + origin, _formation_hint(name, inputs) or hint)
    return list(faults.values())


def _formation_hint(name: str, inputs: Inputs) -> str:
    """`start web=2` is meant as `start -m web=2`."""
    type_name, equals, _ = name.partition("=")
    return f"counts are given by -m {name}" if equals and type_name in inputs.entries else ""


def _unknown(inputs: Inputs, names: Iterable[str]) -> list[str]:
    """Each once. None where the Procfile has no entry at all, or has the name on a faulty line: it has its own faults."""
    known = inputs.claimed.union(inputs.entries)
    return [name for name in dict.fromkeys(names) if name not in known] if inputs.entries else []


def _no_type(inputs: Inputs, name: str) -> tuple[str, str]:
    message = f"cannot find the process type {brief(name)} in {inputs.procfile}"
    return message, nearest(name, inputs.entries)


def _refuse_settings(inputs: Inputs, name: str, process: ProcessSection, spec: ProcessSpec) -> list[Fault]:
    """What is wrong with a type's values although each is of the right type."""
    faults = []
    path = f"processes.{name}"
    for variable in process.env:
        refused = _refuse_variable(variable)
        if refused:
            faults.append(inputs.document.fault(f"{path}.env.{plain(variable)}", *refused))
    if process.cwd is not UNSET and not os.path.isdir(spec.cwd):
        hint = f"it is relative to {inputs.root}"
        faults.append(inputs.document.fault(f"{path}.cwd", f"cannot use {brief(process.cwd)}: no such folder", hint))
    for number, pattern in enumerate(() if process.watch is UNSET else process.watch):
        if os.path.isabs(pattern):
            message = f"cannot use {brief(pattern)}: it begins with a '/'"
            faults.append(
                inputs.document.fault(f"{path}.watch[{number}]", message, "patterns are relative to the root")
            )
    return faults + _refuse_signal(inputs, f"{path}.stop.signal", process.stop.signal)


def _refuse_signal(inputs: Inputs, path: str, name: str | UnsetType) -> list[Fault]:
    """A stop signal that this system does not have, as a fault at `path` of procman.yml."""
    if name is UNSET or _signal_number(name):
        return []
    known = [member.removeprefix("SIG") for member in signal.Signals.__members__]
    return [inputs.document.fault(path, f"cannot use {brief(name)}: no such signal", nearest(name, known))]


def _refuse_variable(name: str) -> tuple[str, str] | None:
    if name == "PORT":
        return "cannot set PORT: each instance has its own", "use 'port:' beside 'env:' for the first one's"
    if is_ours(name):
        return f"cannot set {name}: procman does", ""
    if not name or "=" in name:
        return f"cannot use {brief(name)} as the name of a variable", ""
    return None


def is_ours(name: str) -> bool:
    """A variable that procman gives to its children, so that one of an outer procman must not get through."""
    return name in _OURS or name.startswith("PROCMAN_PORT_")


def _refuse_counts(inputs: Inputs, plan: Plan, formation: Mapping[str, int]) -> list[Fault]:
    faults = []
    for name, count in plan.counts.items():
        refused = refuse_count(plan, name, count)
        if refused and count == inputs.document.settings.formation.get(name) and name not in formation:
            faults.append(inputs.document.fault(f"formation.{name}", *refused))
        elif refused:
            faults.append(Fault("", 0, *refused))
    return faults or _refuse_overlap(inputs, plan)


def _refuse_overlap(inputs: Inputs, plan: Plan) -> list[Fault]:
    """Instances of two types would get the same port: possible only where one has a `port:` of its own."""
    faults = []
    ranges = {
        name: range(spec.port, spec.port + plan.counts[name])
        for name, spec in plan.types.items()
        if spec.port is not None and plan.counts[name]
    }
    for name, process in inputs.document.settings.processes.items():
        own = ranges.get(name, range(0)) if process.port is not UNSET else range(0)
        for other, taken in ranges.items():
            both = range(max(own.start, taken.start), min(own.stop, taken.stop))
            if other != name and own and both:
                message = f"cannot give {name} port {both.start}: {other} has it"
                faults.append(inputs.document.fault(f"processes.{name}.port", message, "choose another port"))
    return faults
