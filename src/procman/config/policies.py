"""Turns values of procman.yml into values of a `ProcessSpec`. Pure.

Each function here is the `policy` of a row in keys.py. A value of the wrong type never comes here, and the result for a
value that checks.py refuses may be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from msgspec import UNSET, Struct, structs

from procman.config.sections import DependencySection, HowMany, ProbeWord, ReadySection
from procman.config.source import absolute
from procman.core.policies import (
    Dependency,
    Drain,
    ExecProbe,
    FileProbe,
    Group,
    Health,
    HttpProbe,
    ListenSocket,
    LogProbe,
    NotifyProbe,
    Probe,
    Readiness,
    Recycle,
    Rolling,
    TcpProbe,
    Until,
)
from procman.core.spec import RestartPolicy, StopPolicy
from procman.text.signals import KNOWN, signal_number

if TYPE_CHECKING:
    from procman.config.sections import (
        DefaultsSection,
        DrainSection,
        GroupSection,
        HealthSection,
        Needed,
        RecycleSection,
        RestartSection,
        RollingSection,
        StopSection,
    )


class SpecContext(Struct, frozen=True):
    """What the meaning of a value may depend on: the root, the `defaults` of the file, the names of all types and of
    the one-offs among them, procman's default grace, and the types that only another Procfile of the folder has.
    """

    root: str
    defaults: DefaultsSection
    types: Collection[str]
    one_offs: frozenset[str]
    grace: float
    elsewhere: frozenset[str] = frozenset()


Policy: TypeAlias = Callable[[Any, SpecContext], Any]

Complaint: TypeAlias = tuple[str, str, str]
"""Where in the value (`.signal`, `[2]`, or ""), what cannot be done, and a hint."""

Check: TypeAlias = Callable[[Any, SpecContext], Iterable[Complaint]]


def unchanged(value: Any, _context: SpecContext) -> Any:  # noqa: ANN401  whatever the row's kind is
    return value


def written(section: Struct) -> dict[str, Any]:
    """The keys of a section that were written, with their values."""
    return {name: value for name, value in structs.asdict(section).items() if value is not UNSET}


def folder(value: str, context: SpecContext) -> str:
    return absolute(value, context.root)


# cached, so that types with equal settings share one value: a type would take 184 bytes more


@lru_cache
def _successes(listed: tuple[int, ...]) -> tuple[int, ...]:
    """The codes that mean success. 0 is always one of them; sorted, so that another order in the file does not count as
    a change.
    """
    return tuple(sorted({0, *listed}))


def successes(value: tuple[int, ...], _context: SpecContext) -> tuple[int, ...]:
    return _successes(value)


@lru_cache
def _restart(own: RestartSection, defaults: RestartSection) -> RestartPolicy:
    return RestartPolicy(**(written(defaults) | written(own)))


def restart(value: RestartSection, context: SpecContext) -> RestartPolicy:
    return _restart(value, context.defaults.restart)


@lru_cache
def _stop(own: StopSection, defaults: StopSection, grace: float) -> StopPolicy:
    values: dict[str, Any] = {"grace": grace} | written(defaults) | written(own)
    name = values.get("signal", "TERM").removeprefix("SIG")
    if name in KNOWN:
        values |= {"signal": name, "exit_code": 128 + signal_number(name)}
    if "drain" in values:
        values["drain"] = drain(values["drain"])
    return StopPolicy(**values)


def stop(value: StopSection, context: SpecContext) -> StopPolicy:
    return _stop(value, context.defaults.stop, context.grace)


def drain(value: float | DrainSection) -> Drain:
    """The drain of `drain: 2.5` or `drain: {seconds: 20, signal: TSTP}`."""
    if isinstance(value, int | float):
        return Drain(seconds=value)
    values = written(value)
    if "signal" in values:
        values["signal"] = values["signal"].removeprefix("SIG")
    if "exec" in values:
        values["command"] = values.pop("exec")
    return Drain(**values)


# ---- readiness and health

PROBES = tuple(str(kind.__struct_config__.tag) for kind in get_args(Probe))
"""The keys that name a probe."""


def probes_of(section: ReadySection) -> list[str]:
    """The keys of a section that name a probe."""
    return [name for name in PROBES if getattr(section, name) is not UNSET]


def probe(section: ReadySection) -> Probe | None:
    """The probe of a section; None if it has none."""
    match probes_of(section):
        case ["tcp", *_]:
            assert section.tcp is not UNSET
            return TcpProbe() if isinstance(section.tcp, bool) else TcpProbe(section.tcp)
        case ["http", *_]:
            status = section.status
            codes = () if status is UNSET else (status,) if isinstance(status, int) else status
            return HttpProbe(str(section.http), codes)
        case ["log", *_]:
            return LogProbe(str(section.log))
        case ["exec", *_]:
            return ExecProbe(str(section.exec))
        case ["notify", *_]:
            return NotifyProbe()
        case ["file", *_]:
            return FileProbe(str(section.file))
        case _:
            return None


def _probing(value: ProbeWord | ReadySection, *names: str) -> dict[str, Any]:
    """The probe, and those of these keys that were written. `ready: tcp` means `ready: {tcp: true}`."""
    if isinstance(value, ProbeWord):
        value = ReadySection(tcp=True) if value is ProbeWord.TCP else ReadySection(notify=True)
    values = written(value)
    return {"probe": probe(value)} | {name: values[name] for name in names if name in values}


def ready(value: ProbeWord | ReadySection, _context: SpecContext) -> Readiness:
    return Readiness(**_probing(value, "timeout", "interval"))


def health(value: ProbeWord | HealthSection, _context: SpecContext) -> Health:
    return Health(**_probing(value, "timeout", "interval", "failures", "on_failure"))


# ---- order, replacing, sockets, groups


def depends_on(value: tuple[str, ...] | dict[str, Needed], context: SpecContext) -> tuple[Dependency, ...]:
    """The dependencies of `[redis, migrate]` or `{redis: started, migrate: {until: done, restart: true}}`. What only
    another Procfile runs (redis in `Procfile.dev`) is not waited for, as a type whose count is 0 is not.
    """
    named = value if isinstance(value, dict) else dict.fromkeys(value)
    return tuple(_dependency(name, needed, context) for name, needed in named.items() if name not in context.elsewhere)


def _dependency(name: str, needed: Needed | None, context: SpecContext) -> Dependency:
    until = Until.DONE if name in context.one_offs else Until.READY
    if isinstance(needed, Until):
        return Dependency(type=name, until=needed)
    if not isinstance(needed, DependencySection):
        return Dependency(type=name, until=until)
    until = until if needed.until is UNSET else needed.until
    return Dependency(type=name, until=until, every=needed.instances is HowMany.ALL, restart=needed.restart)


def rolling(value: RollingSection, _context: SpecContext) -> Rolling:
    values = written(value)
    if isinstance(values.get("unavailable"), str):
        values["unavailable"] = float(values["unavailable"].rstrip(" %")) / 100
    return Rolling(**values)


def recycle(value: RecycleSection, _context: SpecContext) -> Recycle:
    return Recycle(**written(value))


def sockets(value: str | dict[str, str], context: SpecContext) -> tuple[ListenSocket, ...]:
    """The sockets of a type. The path of a Unix socket is relative to the root."""
    named = value if isinstance(value, dict) else {"socket": value}
    return tuple(ListenSocket(name, _address(address, context.root)) for name, address in named.items())


def _address(address: str, root: str) -> str:
    scheme, separator, path = address.partition("://")
    return f"{scheme}{separator}{absolute(path, root)}" if scheme == "unix" else address


def groups(sections: Mapping[str, GroupSection], elsewhere: Container[str] = ()) -> tuple[Group, ...]:
    """The groups, without members that only another Procfile of the folder has."""
    return tuple(
        Group(
            name=name, **structs.asdict(section) | {"members": tuple(m for m in section.members if m not in elsewhere)}
        )
        for name, section in sections.items()
    )
