"""The only module that opens the inputs: it makes a Plan of Procfile, environment files and procman.yml, or reports
every fault at once.

A reload calls it again with the options and the environment of the start.
"""

from __future__ import annotations

import os
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from procman.config.environment import PORT_VARIABLE, Assignment, inherited, is_ours
from procman.config.location import PROCFILE, SETTINGS, STDIN, Location, is_handle, locate, pipe_of
from procman.config.options import Options
from procman.config.plan import build_plan, build_specs, refuse_config
from procman.config.ports import DEFAULT_PORT, base_port, place_types
from procman.config.procfile import Entry, claimed_names, is_name, parse_procfile
from procman.config.source import absolute, read
from procman.config.specs import Document, Inputs, SpecBuilder
from procman.core.spec import BaseEnvironment, port_variables
from procman.errors import ConfigError, Fault
from procman.later import later

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from procman.config import envfile
    from procman.core.spec import Plan, ProcessSpec
else:
    envfile = later(__name__, "procman.config.envfile")

__all__ = ["Kept", "OneOffInputs", "Options", "load", "load_one_off"]

Kept = dict[str, bytes]
"""The content of inputs that can be read only once, by absolute path (`-` for standard input). A reload takes it from
here.
"""

_NO_POSITIONS: Mapping[str, int] = MappingProxyType({})
_NOTHING: Mapping[str, str] = MappingProxyType({})
_STDIN_HINT = "/dev/stdin names standard input"


class OneOffInputs(Struct, frozen=True):
    """What `procman run` needs: how the type is run (None: unknown type), the environment of all types, and the root.

    `ports` are the variables by which the command finds the others, as the instances do.
    """

    spec: ProcessSpec | None
    env: dict[str, str]
    root: str
    ports: dict[str, str] = {}


def load(
    options: Options, environ: Mapping[str, str], positions: Mapping[str, int] = _NO_POSITIONS, kept: Kept | None = None
) -> Plan:
    """Read all inputs. `positions` are those of the types known so far; inputs that can be read only once are taken
    from `kept` and added to it. Raises ConfigError with every fault of every input.
    """
    files = _Files(options, locate(options, environ), {} if kept is None else kept, running=bool(positions))
    inputs = files.inputs(environ)
    plan, faults = build_plan(inputs, options, positions)
    if files.name_ports and not (files.faults or faults):
        plan, faults = build_plan(files.knowing_ports(inputs, environ, plan.port_variables()), options, positions)
    faults += _refuse_shell(options.shell, inputs, plan.types.values())
    if files.faults or faults:
        raise ConfigError(files.faults + faults)
    return plan


def load_one_off(options: Options, environ: Mapping[str, str], name: str) -> OneOffInputs:
    """The inputs of `procman run`. Formation and ports are ignored, and neither environment has a PORT.

    The Procfile may be missing unless the user named it: the command may need none.
    """
    location = locate(options, environ)
    files = _Files(options, location, {})
    absent = options.procfile is None and not os.path.lexists(location.procfile)
    inputs = files.inputs(environ, procfile=not absent)
    faults = files.faults + refuse_config(inputs)
    ports: dict[str, str] = {}
    if not faults:
        base, wrong = base_port(inputs.port, options)
        specs, more = build_specs(inputs, options, place_types(inputs, _NO_POSITIONS), base)
        ports = {} if wrong or more else port_variables(specs)
        if running := _ports_of_formation(environ, ports):
            ports |= running
            environ = {**environ, "PORT": next(iter(ports.values()))}
        if running or files.name_ports:
            inputs = files.knowing_ports(inputs, environ, ports)
    spec = None
    if name in inputs.entries:
        spec, more = SpecBuilder(inputs, options).build(name, None)
        faults += more
    faults += _refuse_shell(options.shell, inputs, [spec] if spec is not None else [])
    if faults:
        raise ConfigError(faults)
    return OneOffInputs(spec, {**inputs.base.inherited, **inputs.base.files}, inputs.root, ports)


def _ports_of_formation(environ: Mapping[str, str], known: Iterable[str]) -> dict[str, str]:
    """The ports of the formation that this process belongs to, as far as its types are known here. PORT is only that of
    its own instance.
    """
    return {variable: port for variable in known if (port := environ.get(variable, "")).isdecimal()}


def _refuse_shell(shell: str | None, inputs: Inputs, specs: Iterable[ProcessSpec]) -> list[Fault]:
    """Refuse a shell that is not there: every type that needs one would fail, again and again. One that only a type's own
    PATH leads to is there for that type.
    """
    if shell is None:
        return []
    import shutil  # noqa: PLC0415  3 ms, only where a shell is named

    paths = [{**inputs.base.inherited, **inputs.base.files}.get("PATH", os.defpath)]
    paths += [spec.env["PATH"] for spec in specs if "PATH" in spec.env]
    full = os.path.join(inputs.root, shell)
    if any(shutil.which(full if "/" in shell else shell, path=path) for path in paths):
        return []
    if "/" not in shell:
        return [
            Fault("", 0, f"cannot use --shell {shell}: not found in PATH", "name its whole path, such as /bin/bash")
        ]
    why = "is a directory" if os.path.isdir(full) else "not executable" if os.path.exists(full) else "no such file"
    return [Fault("", 0, f"cannot use --shell {shell}: {why}")]


class _Files:
    """Opens each input once, and collects faults in `faults`, in the order of the inputs. A procman that is `running` waits
    for no pipe.
    """

    def __init__(self, options: Options, location: Location, kept: Kept, *, running: bool = False) -> None:
        self.faults: list[Fault] = []
        self._options = options
        self._location = location
        self._kept = kept
        self._running = running
        self._pipes: dict[str, str] = {}  # the option that reads each
        self._named = {
            "-f": options.procfile is not None,
            "-e": bool(options.env_files),
            "--config": options.config is not None,
        }

    def inputs(self, environ: Mapping[str, str], *, procfile: bool = True) -> Inputs:
        """Everything that the files say. Without `procfile` there are no types."""
        entries, claimed = self._procfile() if procfile else ([], frozenset())
        base, port = self._environment(environ)
        document = self._document()
        known = claimed.union(entry.name for entry in entries)
        return Inputs(
            root=self._location.root,
            procfile=self._location.procfile_name,
            entries={entry.name: entry for entry in entries},
            claimed=claimed,
            elsewhere=self._elsewhere() if not known.issuperset(document.named) else frozenset(),
            base=base,
            port=port,
            document=document,
        )

    @property
    def name_ports(self) -> bool:
        """Whether an environment file refers to the port of a type, which is known only when all is read."""
        return any(not one.literal and PORT_VARIABLE in one.value for one in self._assignments)

    def knowing_ports(self, inputs: Inputs, environ: Mapping[str, str], ports: Mapping[str, str]) -> Inputs:
        """The inputs with such references replaced."""
        return replace(inputs, base=self._environment(environ, ports)[0])

    def _read(self, path: str, name: str, option: str, hint: str = "") -> bytes | Fault:
        """Read an input that the user named with `option`, or that is at its usual place.

        An input that can be read only once is kept: the next read would find it empty, which is valid and wrong. A pipe
        is read where it was named.
        """
        if path in self._kept:
            return self._kept[path]
        once = self._named[option] and is_handle(path) and not self._running
        other = self._pipes.setdefault(pipe_of(path), option) if once else option
        if other != option:
            why = f"{other} has read the same pipe, and a pipe can be read once"
            return Fault("", 0, f"cannot read {name} for {option}: {why}", "give one of them a file")
        data = read(0 if path == STDIN else path, name, hint, option=option, pipes=once)
        if once and isinstance(data, bytes):
            self._kept[path] = data
        return data

    def _procfile(self) -> tuple[list[Entry], frozenset[str]]:
        """The entries, and the names on faulty lines."""
        location = self._location
        if self._options.procfile == STDIN:
            data = self._read(STDIN, location.procfile_name, "-f")
        else:
            hint = "run procman in the project's folder or say -f FILE; `procman init` writes a Procfile"
            if self._options.procfile is not None:
                hint = "-f names a Procfile; a line of it looks like 'web: python app.py'"
            elif other := _similar_file(location.procfile):
                beside = os.path.join(os.path.dirname(location.procfile_name), other)
                hint = f"{other} exists: name it with `-f {beside}`"
            data = self._read(location.procfile, location.procfile, "-f", hint)
        if isinstance(data, Fault):
            self.faults.append(data)
            return [], frozenset()
        entries, faults = parse_procfile(data, location.procfile_name)
        self.faults += faults
        return entries, frozenset(claimed_names(data) if faults else ())

    def _elsewhere(self) -> frozenset[str]:
        """The types of every other Procfile of the folder. Faults in those are reported when they are run."""
        folder = os.path.dirname(self._location.config)
        try:
            names = [name for name in os.listdir(folder) if name == PROCFILE or name.startswith(f"{PROCFILE}.")]
        except OSError:  # it may be entered and not listed: then the types of this Procfile are all that are known
            return frozenset()
        read_ones = [read(os.path.join(folder, name), name) for name in names]
        claimed = set[str]().union(*(claimed_names(data) for data in read_ones if isinstance(data, bytes)))
        return frozenset(filter(is_name, claimed))  # and not what comments and blank lines begin with

    def _environment(
        self, environ: Mapping[str, str], ports: Mapping[str, str] = _NOTHING
    ) -> tuple[BaseEnvironment, Assignment]:
        """The environment of all types without PORT, and the value of PORT with the place where it was set.

        References to PORT (`URL=http://localhost:${PORT}`) get the first type's port, even if that is the default;
        those to `ports` get the port of another type.
        """
        options = self._options
        decided = options.no_port or options.port is not None
        base = {name: value for name, value in inherited(environ).items() if not is_ours(name)}
        assignments = [assignment for assignment in self._assignments if not is_ours(assignment.name)]
        if decided or not base.get("PORT"):  # an empty one counts as unset
            base.pop("PORT", None)
        if decided:
            assignments = [assignment for assignment in assignments if assignment.name != "PORT"]
        if not options.no_port and not any(assignment.name == "PORT" for assignment in assignments):
            base.setdefault("PORT", str(DEFAULT_PORT if options.port is None else options.port))
        layer: dict[str, str] = {}
        if assignments:
            layer, faults = envfile.layer_over(assignments, {**base, **ports}, override=options.env_overrides)
            self.faults += faults
        inherited_port = base.pop("PORT", "")
        port = Assignment("PORT", layer.pop("PORT", inherited_port), "", 0)
        for assignment in assignments:
            if assignment.name == "PORT" and (options.env_overrides or not inherited_port):
                port = replace(port, file=assignment.file, line=assignment.line)
        return BaseEnvironment(inherited=base, files=layer), port

    @cached_property
    def _assignments(self) -> list[Assignment]:
        """The assignments of all environment files, in order; read once."""
        found: list[Assignment] = []
        for path, name in self._env_files():
            data = self._read(path, name, "-e", _STDIN_HINT if name == STDIN else "")
            if isinstance(data, Fault):
                self.faults.append(data)
                continue
            assignments, faults = envfile.read_assignments(data, name)
            self.faults += faults
            found += assignments
        return found

    def _env_files(self) -> Iterator[tuple[str, str]]:
        """Path and name of each environment file. A folder called .env is a virtual environment, and is ignored."""
        if not self._options.env_files:
            path = os.path.join(self._location.root, ".env")
            if os.path.lexists(path) and not os.path.isdir(path):
                yield path, os.path.join(self._location.root_name, ".env")
        for name in (name.strip() for names in self._options.env_files for name in names.split(",")):
            if name:
                yield absolute(name, self._location.start_dir), name
            else:
                hint = "name a file, or /dev/null for none"
                self.faults.append(Fault("", 0, "cannot read an environment file without a name", hint))

    def _document(self) -> Document:
        if self._options.config is None and not os.path.lexists(self._location.config):
            self._refuse_yaml()
            return Document()
        hint = _STDIN_HINT if self._location.config_name == STDIN else ""
        data = self._read(self._location.config, self._location.config_name, "--config", hint)
        if isinstance(data, Fault):
            self.faults.append(data)
            return Document()
        from procman.config.yamlfile import parse_settings  # noqa: PLC0415  imports yaml (25 ms), which most starts do not need

        document, faults = parse_settings(data, self._location.config_name)
        self.faults += faults
        return document

    def _refuse_yaml(self) -> None:
        """Refuse settings under the other usual ending. Ignored, they would have no effect, and nobody would know why."""
        name = f"{os.path.splitext(self._location.config)[0]}.yaml"
        if os.path.lexists(name):
            shown = f"{os.path.splitext(self._location.config_name)[0]}.yaml"
            hint = f"rename it to {SETTINGS}, or name it: --config {shown}"
            self.faults.append(Fault("", 0, f"cannot use {shown}: procman reads {SETTINGS}", hint))


def _similar_file(path: str) -> str:
    """The name of a file beside this missing one that was probably meant: Procfile.dev first, then procfile."""
    try:
        names = sorted(os.listdir(os.path.dirname(path)))
    except OSError:  # there is no such folder, or it must not be listed: reported with the Procfile itself
        return ""
    other_case = [name for name in names if name.lower() in (PROCFILE.lower(), f"{PROCFILE.lower()}.txt")]
    return next((name for name in (f"{PROCFILE}.dev", *other_case) if name in names), "")
