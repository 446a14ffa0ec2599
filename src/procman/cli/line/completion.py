"""Shell completion of types and instances, from the running procman, else from the Procfile.

Called by the shell while a person types, so it takes a second at most, and fails silently.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from procman.errors import ProcmanError

if TYPE_CHECKING:
    import click

    from procman.core.view import FleetView

PATIENCE = 1.0
"""Seconds in which a running procman has to answer."""


def complete_instances(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Types, and while procman runs also instances: `web`, `web.1`."""
    fleet = running(context)
    words = [*fleet.formation, *(i.name for i in fleet.instances)] if fleet else procfile_types(context)
    return _beginning(incomplete, words)


def complete_types(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Types of the Procfile, for the verbs that read it. After a comma, the next type of a list."""
    done, comma, word = incomplete.rpartition(",")
    return [f"{done}{comma}{name}" for name in _beginning(word, procfile_types(context))]


def complete_changes(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """`web=3` (the current count), `web+1`, `web-1`: several, so that the shell adds no space after the type."""
    fleet = running(context)
    counts = fleet.formation if fleet else dict.fromkeys(procfile_types(context), 1)
    return _beginning(incomplete, [f"{name}{how}" for name, n in counts.items() for how in (f"={n}", "+1", "-1")])


def complete_signals(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from procman.text.signals import KNOWN  # noqa: PLC0415  2 ms at import, for this completion alone

    return _beginning(incomplete.upper(), [*KNOWN])


def running(context: click.Context) -> FleetView | None:
    """The `ps` of the procman that this command line talks to; None if none answers."""
    from procman.cli.target import TargetOptions  # noqa: PLC0415  start completes without a client
    from procman.control.client import Client  # noqa: PLC0415

    target = TargetOptions(context.params.get("root"), context.params.get("socket"), context.params.get("name") or "")
    try:
        with Client(target.find(), timeout=PATIENCE) as client:
            return client.ps().fleet
    except (ProcmanError, OSError):
        return None


def procfile_types(context: click.Context) -> list[str]:
    """The types in the Procfile of this command line; none if it cannot be read."""
    from procman.config.procfile import parse_procfile  # noqa: PLC0415  only where a shell asks
    from procman.config.source import read  # noqa: PLC0415

    folder = context.params.get("root") or os.curdir
    data = read(context.params.get("procfile") or os.path.join(folder, "Procfile"), "Procfile")
    return [entry.name for entry in parse_procfile(data)[0]] if isinstance(data, bytes) else []


def _beginning(incomplete: str, words: list[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
