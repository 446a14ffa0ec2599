"""What is wrong with a value of procman.yml although it is of the right type. Each function is the `check` of a row in keys.py.

It looks at the file system in one place (is a `cwd` a folder?) and opens nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from procman.config.source import absolute, brief, plain
from procman.core import autoscale_settings, balancer_settings
from procman.errors import nearest
from procman.text.signals import KNOWN

if TYPE_CHECKING:
    from procman.config.policies import Complaint, SpecContext
    from procman.config.sections import StopSection

_OURS = frozenset({"PS", "PROCMAN_TYPE", "PROCMAN_INDEX", "PROCMAN_INSTANCE", "PROCMAN_SOCKET"})


def is_ours(name: str) -> bool:
    """A variable that procman gives to its children, so that one of an outer procman must not get through."""
    return name in _OURS or name.startswith("PROCMAN_PORT_")


def variables(value: Mapping[str, str], _context: SpecContext) -> Iterator[Complaint]:
    for name in value:
        where = f".{plain(name)}"
        if name == "PORT":
            yield where, "cannot set PORT: each instance has its own", "use 'port:' beside 'env:' for the first one's"
        elif is_ours(name):
            yield where, f"cannot set {name}: procman does", ""
        elif not name or "=" in name:
            yield where, f"cannot use {brief(name)} as the name of a variable", ""


def folder(value: str | UnsetType, context: SpecContext) -> Iterator[Complaint]:
    if value is not UNSET and not os.path.isdir(absolute(value, context.root)):
        yield "", f"cannot use {brief(value)}: no such folder", f"it is relative to {context.root}"


def patterns(value: tuple[str, ...] | UnsetType, _context: SpecContext) -> Iterator[Complaint]:
    for number, pattern in enumerate(() if value is UNSET else value):
        if os.path.isabs(pattern):
            yield (
                f"[{number}]",
                f"cannot use {brief(pattern)}: it begins with a '/'",
                "patterns are relative to the root",
            )


def stop(value: StopSection, _context: SpecContext) -> Iterator[Complaint]:
    """Signals that this system does not have."""
    yield from _signal(".signal", value.signal)
    if not isinstance(value.drain, UnsetType | int | float):
        yield from _signal(".drain.signal", value.drain.signal)
        if value.drain.signal is not UNSET and value.drain.exec is not UNSET:
            yield ".drain", "cannot use 'signal' and 'exec' at once", "leave one of them out"


def _signal(where: str, name: str | UnsetType) -> Iterator[Complaint]:
    if name is not UNSET and name.removeprefix("SIG") not in KNOWN:
        yield where, f"cannot use {brief(name)}: no such signal", nearest(name, KNOWN)
