"""What was read, as values, and how it becomes the `ProcessSpec` of each type. The command line wins over procman.yml, and
that over the defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct
from msgspec.structs import replace

from procman.config.formation import RELEASE
from procman.core.spec import DEFAULT_GRACE, BaseEnvironment, OnEnd, ProcessSpec, RestartPolicy, StopPolicy, When
from procman.errors import Fault
from procman.later import later

if TYPE_CHECKING:
    from procman.config.environment import Assignment
    from procman.config.keys import ProcessSection, ProcmanYml
    from procman.config.options import Options
    from procman.config.procfile import Entry
    from procman.core import policies
else:
    policies = later(__name__, "procman.core.policies")

INIT_GRACE = 25.0
"""The default grace of PID 1. Kubernetes and Heroku send KILL to a container 30 s after TERM; this leaves 5 s to report
what was killed.
"""


class Document(Struct, frozen=True):
    """A procman.yml: its settings (None: there is no file), and the line of each value by its path
    (`processes.web.stop.grace`).
    """

    settings: ProcmanYml | None = None
    lines: dict[str, int] = {}
    file: str = ""
    faulty: frozenset[str] = frozenset()
    """The paths at which something unusable was left out, and the paths of everything that contains it."""

    @property
    def formation(self) -> dict[str, int]:
        return self.settings.formation if self.settings is not None else {}

    @property
    def processes(self) -> dict[str, ProcessSection]:
        return self.settings.processes if self.settings is not None else {}

    @property
    def named(self) -> set[str]:
        """Every process type that is named in it."""
        if self.settings is None:
            return set()
        needed = [section.depends_on for section in self.processes.values() if section.depends_on is not UNSET]
        members = [section.members for section in self.settings.groups.values()]
        return {*self.formation, *self.processes}.union(*needed, *members)

    def fault(self, path: str, message: str, hint: str = "") -> Fault:
        return Fault(self.file, self.lines.get(path, 0), f"{path}: {message}", hint)


class Inputs(Struct, frozen=True, kw_only=True):
    """Everything that was read. `entries` are by name; `claimed` holds the names in the Procfile, including faulty
    lines.

    `elsewhere` are types of other Procfiles in the folder (`Procfile.dev`), which the same procman.yml may mention.
    `base` is the environment of all types without PORT; `port` is the value of PORT ("": none) and where it was set.
    """

    root: str
    procfile: str
    entries: dict[str, Entry]
    claimed: frozenset[str]
    elsewhere: frozenset[str] = frozenset()
    base: BaseEnvironment
    port: Assignment
    document: Document


def one_offs(inputs: Inputs) -> frozenset[str]:
    """The types that are one-offs: as procman.yml says, else the type `release`."""
    sections = inputs.document.processes.items()
    said = {RELEASE: True} | {name: section.oneshot for name, section in sections if isinstance(section.oneshot, bool)}
    return frozenset(name for name, oneshot in said.items() if oneshot and name in inputs.entries)


class SpecBuilder:
    """Builds the specs of one plan. Types without settings share their values."""

    def __init__(self, inputs: Inputs, options: Options) -> None:
        self._inputs = inputs
        self._options = options
        grace = INIT_GRACE if options.init else DEFAULT_GRACE
        self._plain = self._overridden({"env": {}, "stop": StopPolicy(grace=grace)})
        self._one_offs = one_offs(inputs)
        self._context: Any = None
        settings = inputs.document.settings
        if settings is not None:
            from procman.config.policies import SpecContext  # noqa: PLC0415  only with a procman.yml

            types = inputs.entries.keys()
            elsewhere = inputs.elsewhere - types
            self._context = SpecContext(inputs.root, settings.defaults, types, self._one_offs, grace, elsewhere)

    def build(self, name: str, port: int | None) -> tuple[ProcessSpec, list[Fault]]:
        """How a type is run, and faults in its settings. `port` is that of its position; None: types get no ports."""
        fields, faults = (self._plain, []) if self._context is None else self._read(name)
        fields = {"cwd": self._inputs.root, "port": port, **fields}
        if port is None:
            fields["port"] = None
        if name in self._one_offs:
            fields |= {"oneshot": True, "port": None}
        if name in self._options.exit_on:
            fields["on_end"] = OnEnd.EXIT
        command = self._inputs.entries[name].command
        return ProcessSpec(type=name, command=command, base=self._inputs.base, **fields), faults

    def _read(self, name: str) -> tuple[dict[str, Any], list[Fault]]:
        """The fields that the type's section leads to, key by key."""
        from procman.config.keys import ProcessSection, rows  # noqa: PLC0415  only with a procman.yml

        document = self._inputs.document
        section = document.processes.get(name)
        written = section if section is not None else ProcessSection()
        fields: dict[str, Any] = {}
        faults = []
        for key, row in rows().items():
            value = getattr(written, key)
            if value is UNSET:
                continue
            if row.policy is not None:
                fields[key] = row.policy(value, self._context)
            path = f"processes.{name}.{key}"
            if row.check is not None and section is not None and path not in document.faulty:
                found = row.check(value, self._context)
                faults += [document.fault(path + where, *texts) for where, *texts in found]
        if "socket" in fields:  # procman opens it for all instances, which then have no ports of their own
            fields |= {"sockets": fields.pop("socket"), "port": None}
        return self._overridden(fields | _surged(written, fields)), faults

    def _overridden(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Apply what the command line says about all types."""
        options = self._options
        restart: dict[str, Any] = {"max_restarts": options.max_restarts} if options.max_restarts is not None else {}
        restart |= {"policy": When.NEVER} if options.no_restart else {}
        if restart:
            fields["restart"] = replace(fields.get("restart", RestartPolicy()), **restart)
        if options.timeout is not None:
            fields["stop"] = replace(fields["stop"], grace=options.timeout)
        if options.no_restart:
            fields["on_end"] = OnEnd.EXIT
        if options.shell is not None:
            fields["shell"] = options.shell
        fields["tty"] = self._tty(fields.get("tty"))
        return fields

    def _tty(self, configured: bool | None) -> bool:  # noqa: FBT001  as it stands in the file
        """Whether it has a terminal. A terminal is one stream, so --split-streams means pipes."""
        options = self._options
        if options.split_streams:
            return False
        if options.tty is not None:
            return options.tty
        return options.terminal if configured is None else configured


def _surged(section: ProcessSection, fields: dict[str, Any]) -> dict[str, Any]:
    """A type behind a balancer has an extra instance while it is replaced, unless it says otherwise, must not run twice, or has
    a socket that stays open.
    """
    said = section.rolling is not UNSET and section.rolling.surge is not UNSET
    if section.balancer is UNSET or said or section.max == 1 or section.socket is not UNSET:
        return {}
    return {"rolling": replace(fields.get("rolling", policies.Rolling()), surge=1)}
