"""The one place that opens the inputs: Procfile, environment files, procman.yml -> Plan, or every fault at once.

Called again for a reload, with the same options and environment as at the start.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from procman.config.envfile import Assignment, merge, read_assignments
from procman.config.options import Options
from procman.config.plan import DEFAULT_PORT, Inputs, build_plan, build_spec, is_ours, refuse_config
from procman.config.procfile import Entry, claimed_names, parse_procfile
from procman.config.sections import Document
from procman.config.source import absolute, read
from procman.errors import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from procman.core.spec import Plan, ProcessSpec

__all__ = ["Options", "load", "load_one_off", "read_stdin"]

STDIN = "-"
STDIN_NAME = "<stdin>"
_NO_POSITIONS: Mapping[str, int] = MappingProxyType({})


class _Place(Struct, frozen=True, kw_only=True):
    """Where everything is, as absolute paths, and as the user would name it. `here` is the current folder."""

    here: str
    root: str
    root_name: str
    procfile: str
    procfile_name: str
    config: str
    config_name: str


def read_stdin() -> bytes:
    """The Procfile of `-f -`, to be kept for a reload. Raises ConfigError."""
    data = read(0, STDIN_NAME)
    if isinstance(data, Fault):
        raise ConfigError([data])
    return data


def load(
    options: Options,
    environ: Mapping[str, str],
    positions: Mapping[str, int] = _NO_POSITIONS,
    stdin: bytes | None = None,
) -> Plan:
    """Read everything. `positions` are those of the types known so far; `stdin` is what `-f -` has read before.

    Raises ConfigError with every fault of every input.
    """
    files = _Files(options, _locate(options))
    inputs = files.inputs(environ, stdin)
    plan, faults = build_plan(inputs, options, positions)
    if files.faults or faults:
        raise ConfigError(files.faults + faults)
    return plan


def load_one_off(
    options: Options, environ: Mapping[str, str], name: str
) -> tuple[ProcessSpec | None, dict[str, str], str]:
    """For `procman run`: how the type `name` is run (None: no such type), the merged environment, and the root.

    Formation and ports are left alone, and neither environment has a PORT. The Procfile need not be there unless it
    was named: the command may be one of its own.
    """
    place = _locate(options)
    files = _Files(options, place)
    absent = options.procfile is None and not os.path.lexists(place.procfile)
    inputs = files.inputs(environ, None, procfile=not absent)
    faults = files.faults + refuse_config(inputs)
    spec = None
    if name in inputs.entries:
        spec, more = build_spec(inputs, options, name, None)
        faults += more
    if faults:
        raise ConfigError(faults)
    return spec, inputs.env, inputs.root


def _locate(options: Options) -> _Place:
    try:
        here = os.getcwd()
    except OSError as error:
        raise ConfigError(f"cannot tell the current folder: {error.strerror}", "change into one that exists") from None
    if options.root is not None and not os.path.isdir(os.path.join(here, options.root)):
        raise ConfigError(f"cannot use {options.root} as the root: no such folder", "-d names the application's folder")
    given = options.root or ""
    if options.procfile == STDIN:
        name, beside = STDIN_NAME, given
    else:
        name = os.path.join(given, "Procfile") if options.procfile is None else options.procfile
        beside = os.path.dirname(name)
    root = beside if options.root is None else options.root
    config = os.path.join(beside, "procman.yml") if options.config is None else options.config
    return _Place(
        here=here,
        root=absolute(root, here),
        root_name=root,
        procfile=absolute(name, here),
        procfile_name=name,
        config=absolute(config, here),
        config_name=config,
    )


class _Files:
    """Opens each input once; what is wrong gathers in `faults`, in the order of the inputs."""

    def __init__(self, options: Options, place: _Place) -> None:
        self.faults: list[Fault] = []
        self._options = options
        self._place = place

    def inputs(self, environ: Mapping[str, str], stdin: bytes | None, *, procfile: bool = True) -> Inputs:
        """All that the files say. Without `procfile` there are no types."""
        entries, claimed = self._procfile(stdin) if procfile else ([], frozenset())
        env, port = self._environment(environ)
        return Inputs(
            root=self._place.root,
            procfile=self._place.procfile_name,
            entries={entry.name: entry for entry in entries},
            claimed=claimed,
            env=env,
            port=port,
            document=self._document(),
        )

    def _procfile(self, stdin: bytes | None) -> tuple[list[Entry], frozenset[str]]:
        """The entries, and the names on faulty lines."""
        if self._options.procfile == STDIN:
            data = read(0, self._place.procfile_name) if stdin is None else stdin
        else:
            hint = "run procman in the project's folder or say -f FILE; a line of it is such as 'web: python app.py'"
            data = read(self._place.procfile, self._place.procfile, hint)
        if isinstance(data, Fault):
            self.faults.append(data)
            return [], frozenset()
        entries, faults = parse_procfile(data, self._place.procfile_name)
        self.faults += faults
        return entries, frozenset(claimed_names(data) if faults else ())

    def _environment(self, environ: Mapping[str, str]) -> tuple[dict[str, str], Assignment]:
        """What every child sees, without PORT, and PORT with where it was set.

        References to PORT (`URL=http://localhost:${PORT}`) see the first type's port, the default one included.
        """
        options = self._options
        decided = options.no_port or options.port is not None
        base = {name: value for name, value in environ.items() if not is_ours(name)}
        assignments = [assignment for assignment in self._assignments() if not is_ours(assignment.name)]
        if decided or not base.get("PORT"):  # an empty one is none
            base.pop("PORT", None)
        if decided:
            assignments = [assignment for assignment in assignments if assignment.name != "PORT"]
        if not options.no_port and not any(assignment.name == "PORT" for assignment in assignments):
            base.setdefault("PORT", str(DEFAULT_PORT if options.port is None else options.port))
        merged, faults = merge(assignments, base, override=options.env_overrides)
        self.faults += faults
        port = Assignment("PORT", merged.pop("PORT", ""), "", 0)
        for assignment in assignments:
            if assignment.name == "PORT" and (options.env_overrides or "PORT" not in base):
                port = replace(port, file=assignment.file, line=assignment.line)
        return merged, port

    def _assignments(self) -> Iterator[Assignment]:
        """Those of every environment file, in order."""
        for path, name in self._env_files():
            data = read(path, name)
            if isinstance(data, Fault):
                self.faults.append(data)
                continue
            assignments, faults = read_assignments(data, name)
            self.faults += faults
            yield from assignments

    def _env_files(self) -> Iterator[tuple[str, str]]:
        """Path and name of each. A folder called .env is somebody's virtual environment, and none of our business."""
        if not self._options.env_files:
            path = os.path.join(self._place.root, ".env")
            if os.path.lexists(path) and not os.path.isdir(path):
                yield path, os.path.join(self._place.root_name, ".env")
        for name in (name.strip() for names in self._options.env_files for name in names.split(",")):
            if name:
                yield absolute(name, self._place.here), name
            else:
                hint = "name a file, or /dev/null for none"
                self.faults.append(Fault("", 0, "cannot read an environment file without a name", hint))

    def _document(self) -> Document:
        if self._options.config is None and not os.path.lexists(self._place.config):
            return Document()
        data = read(self._place.config, self._place.config_name)
        if isinstance(data, Fault):
            self.faults.append(data)
            return Document()
        from procman.config.yamlfile import parse_settings  # noqa: PLC0415  brings yaml (25 ms), rarely there

        document, faults = parse_settings(data, self._place.config_name)
        self.faults += faults
        return document
