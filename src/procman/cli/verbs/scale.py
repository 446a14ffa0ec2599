"""`procman scale`: tell or change how many instances of each type run."""

from __future__ import annotations

import click
import msgspec
from msgspec import Struct

from procman.cli.goal import scaled
from procman.cli.line.completion import complete_changes
from procman.cli.target import TargetOptions, client_options
from procman.cli.wait import WaitingCommand, until, wait_option
from procman.config.formation import parse_changes
from procman.control.client import Client
from procman.control.protocol import Accepted, ScaleParams


class Scaled(Struct, frozen=True):
    """What `--json` prints: counts by type now wanted and before, and the instances that come or go."""

    formation: dict[str, int]
    before: dict[str, int]
    instances: tuple[str, ...]


@click.command(cls=WaitingCommand)
@click.argument("changes", metavar="[TYPE=N]...", nargs=-1, shell_complete=complete_changes)
@click.option("--json", is_flag=True, show_envvar=True, help="Print one JSON object.")
@wait_option("until all of them are ready")
@client_options
def scale(place: TargetOptions, changes: tuple[str, ...], wait: float | None, *, json: bool) -> None:
    """Set how many instances of each type run, while they run.

    `web=4` sets a count, `web+2` and `web-1` change it; several changes are made together or not at all. Fewer
    instances: those with the highest numbers stop. Without a change, the formation is told.

    \b
    Examples:
      procman scale
      procman scale web=4 worker+1
      procman scale web=4 --wait=120
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    to, by = parse_changes(changes)
    types = [*to, *by]
    path = place.find()
    with Client(path) as client:
        before = client.call("scale", ScaleParams())
        after = client.call("scale", ScaleParams(to, by)) if types else before
        view = client.call("ps").fleet if wait is not None else None
    click.echo(_json(before, after) if json else _told(before, after, types))
    if view is not None and wait is not None:
        until(path, scaled(after, types or after.formation, view), wait)


def _json(before: Accepted, after: Accepted) -> bytes:
    return msgspec.json.encode(Scaled(after.formation, before.formation, after.instances))


def _told(before: Accepted, after: Accepted, types: list[str]) -> str:
    if not types:
        return " ".join(f"{name}={count}" for name, count in after.formation.items())
    return "\n".join(_step(name, before.formation.get(name, 0), after.formation[name]) for name in types)


def _step(name: str, old: int, new: int) -> str:
    return f"{name} {old} -> {new}" if old != new else f"{name} stays at {new}"
