"""Finds what is wrong with a value of procman.yml whose type is right.

Each function is the `check` of a row in keys.py, for a key that was written. One of them asks the file system whether a
`cwd` is a folder; none opens a file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from procman.config.environment import is_ours
from procman.config.policies import PROBES, probes_of
from procman.config.source import absolute, brief, plain
from procman.core import autoscale_settings, balancer_settings
from procman.errors import nearest
from procman.text.signals import KNOWN

if TYPE_CHECKING:
    from types import ModuleType

    from procman.config.policies import Complaint, SpecContext
    from procman.config.sections import Needed, ProbeWord, ReadySection, RecycleSection, StopSection
    from procman.core.autoscale_settings import Autoscale
    from procman.core.balancer_settings import Balancer


def variables(value: Mapping[str, str], _context: SpecContext) -> Iterator[Complaint]:
    for name in value:
        where = f".{plain(name)}"
        if name == "PORT":
            yield where, "cannot set PORT: each instance has its own", "use 'port:' beside 'env:' for the first one's"
        elif is_ours(name):
            yield where, f"cannot set {name}: procman does", ""
        elif not name or "=" in name:
            yield where, f"cannot use {brief(name)} as the name of a variable", ""


def folder(value: str, context: SpecContext) -> Iterator[Complaint]:
    if not os.path.isdir(absolute(value, context.root)):
        hint = "" if os.path.isabs(value) else f"it is relative to {context.root}"
        yield "", f"cannot use {brief(value)}: no such folder", hint


def patterns(value: tuple[str, ...], _context: SpecContext) -> Iterator[Complaint]:
    for number, pattern in enumerate(value):
        if os.path.isabs(pattern):
            yield (
                f"[{number}]",
                f"cannot use {brief(pattern)}: it begins with a '/'",
                "patterns are relative to the root",
            )


def stop(value: StopSection, _context: SpecContext) -> Iterator[Complaint]:
    """Refuse signals that this system does not have."""
    yield from _signal(".signal", value.signal)
    if not isinstance(value.drain, UnsetType | int | float):
        yield from _signal(".drain.signal", value.drain.signal)
        if value.drain.signal is not UNSET and value.drain.exec is not UNSET:
            yield ".drain", "cannot use 'signal' and 'exec' at once", "leave one of them out"


def _signal(where: str, name: str | UnsetType) -> Iterator[Complaint]:
    if name is not UNSET and name.removeprefix("SIG") not in KNOWN:
        yield where, f"cannot use {brief(name)}: no such signal", nearest(name, KNOWN)


def probe(value: ProbeWord | ReadySection, _context: SpecContext) -> Iterator[Complaint]:
    """Check one probe and the keys that go with it."""
    if isinstance(value, Enum):
        return
    named = probes_of(value)
    if not named:
        yield "", "cannot probe: no probe is named", f"one of {', '.join(PROBES)}"
    elif len(named) > 1:
        yield "", f"cannot use {' and '.join(named)} at once", "leave all but one of them out"
    for name in ("tcp", "notify"):
        if getattr(value, name) is False:
            yield f".{name}", "cannot use 'false'", "leave the key out"
    if value.status is not UNSET and "http" not in named:
        yield ".status", "cannot use it without 'http'", ""
    if value.http is not UNSET and not value.http.startswith(("/", "http://", "https://")):
        yield ".http", f"cannot use {brief(value.http)}: expected a path or a URL", "such as /health"
    if value.log is not UNSET:
        try:
            re.compile(value.log)
        except re.error as error:
            yield ".log", f"cannot use {brief(value.log)} as a regular expression: {error}", ""


def dependencies(value: tuple[str, ...] | dict[str, Needed], context: SpecContext) -> Iterator[Complaint]:
    """Refuse unknown types, and a type that is named twice."""
    names = tuple(value)
    for number, name in enumerate(names):
        where = f".{plain(name)}" if isinstance(value, dict) else f"[{number}]"
        if name not in context.types and name not in context.elsewhere:
            yield where, f"cannot find the process type {brief(name)}", nearest(name, context.types)
        elif name in names[:number]:
            yield where, f"cannot depend on {brief(name)} twice", "leave one of them out"


def recycling(value: RecycleSection, _context: SpecContext) -> Iterator[Complaint]:
    if value.age is UNSET and value.memory is UNSET:
        yield "", "cannot recycle: neither 'age' nor 'memory' is set", "such as age: 12h"
    for key in ("age", "memory"):
        if getattr(value, key) == 0:
            yield f".{key}", "cannot use 0: every instance would be replaced at once", ""


def sockets(value: str | dict[str, str], _context: SpecContext) -> Iterator[Complaint]:
    """Check the addresses, each of which may be given once, and their names (sd_listen_fds_with_names(3))."""
    named = {"": value} if isinstance(value, str) else value
    if not named:
        yield "", "cannot use it without a socket", "such as tcp://127.0.0.1:8000"
    for name, address in named.items():
        where = f".{plain(name)}" if name else ""
        why = _refuse_address(address)
        if why:
            yield where, f"cannot use {brief(address)}: {why}", "such as tcp://127.0.0.1:8000 or unix://run/web.sock"
        if list(named.values()).count(address) > 1:
            yield where, f"cannot open {brief(address)} twice", ""
        if name and not re.fullmatch(r"[A-Za-z0-9._-]{1,255}", name):
            yield where, f"cannot use {brief(name)} as a name", "letters, digits, '.', '_' and '-'"


def _refuse_address(address: str) -> str:
    scheme, separator, rest = address.partition("://")
    if not separator or scheme not in ("tcp", "unix"):
        return "expected tcp://HOST:PORT or unix://PATH"
    if scheme == "unix":
        return "" if rest else "it names no path"
    host, colon, port = rest.rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535):
        return "expected a port from 1 to 65535 at its end"
    return "" if host else "it names no host; 0.0.0.0 or [::] is every address"


def autoscale(value: str | Autoscale, _context: SpecContext) -> Iterator[Complaint]:
    return _of_companion(autoscale_settings, value, "such as 1..8")


def balancer(value: str | Balancer, _context: SpecContext) -> Iterator[Complaint]:
    return _of_companion(balancer_settings, value, "such as run/haproxy.sock")


def _of_companion(module: ModuleType, value: object, example: str) -> Iterator[Complaint]:
    """Check that a short form (`1..8`) can be read, and that the keys of the section go together."""
    try:
        settings = module.settings_of(value)
    except ValueError as error:
        yield "", f"cannot use {brief(str(value))}: {error}", example
    else:
        yield from map(_complaint, module.faults_of(settings))


def _complaint(fault: tuple[str, str]) -> Complaint:
    where, what = fault
    text = what if what.startswith("cannot") else f"cannot use it: {what}"
    return (f".{where}" if where else ""), text, ""
