"""`procman scale`: show or change how many instances of each type run."""

from __future__ import annotations

from typing import Any

import click
import msgspec
from msgspec import Struct

from procman.cli.line.completion import complete_changes, complete_instances
from procman.cli.target import TargetOptions, client_options
from procman.cli.wait_option import WaitingCommand, until_ready, wait_option
from procman.config.formation import parse_changes
from procman.control.messages import Accepted
from procman.errors import UsageError


class Scaled(Struct, frozen=True):
    """The output of `--json`: the counts that are wanted now, by type, those before (null with an older procman), and
    the instances that start or stop.
    """

    formation: dict[str, int]
    before: dict[str, int] | None
    instances: tuple[str, ...]


def _split(_context: click.Context, _option: click.Parameter, instances: tuple[str, ...]) -> tuple[str, ...]:
    if not instances:
        return ()
    from procman.app.options import split  # noqa: PLC0415  2 ms, which few pay

    return split(instances)


@click.command(cls=WaitingCommand)
@click.argument("changes", metavar="[TYPE=N]...", nargs=-1, shell_complete=complete_changes)
@click.option("--json", is_flag=True, show_envvar=True, help="Print one JSON object.")
@click.option(
    "--remove",
    metavar="INSTANCE",
    multiple=True,
    callback=_split,
    shell_complete=complete_instances,
    help="Stop these instances when a count is lowered, not the highest numbers; several with commas.",
)
@click.option("--force", is_flag=True, help="Set a count that follows demand, until the next decision.")
@wait_option("until all of them are ready")
@client_options
def scale(target: TargetOptions, changes: tuple[str, ...], wait: float | None, *, json: bool, **terms: Any) -> None:  # noqa: ANN401  as `Client.scale` has them
    """Set how many instances of each type run, while procman runs.

    `web=4` sets a count, `web+2` and `web-1` change it. Several changes are made together or not at all. A lower count
    stops the instances with the highest numbers, or those of --remove. Without arguments it prints the current counts.

    If a count follows demand (`autoscale:` in procman.yml), `worker=2..6` sets its bounds until procman ends, and --force
    sets the count until the next decision.

    \b
    Examples:
      procman scale
      procman scale web=4 worker+1
      procman scale web=4 --wait=120
      procman scale web=3 --remove web.1
      procman scale worker=2..6
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    bounds = [word for word in changes if ".." in word]
    if bounds:
        if len(bounds) < len(changes) or terms["remove"]:
            raise UsageError("cannot set bounds and counts in one call")
        from procman.cli.bounds import set_bounds  # noqa: PLC0415  2 ms, for types that are autoscaled

        for line in set_bounds(target.find(), bounds):
            click.echo(line)
        return
    to, by = parse_changes(changes)
    types = [*to, *by]
    with target.connect() as client:
        after = client.scale(to, by, **terms)
        click.echo(_json(after) if json else _formatted(after, types))
        if wait is not None:
            until_ready(client, after, types, wait)


def _json(after: Accepted) -> bytes:
    return msgspec.json.encode(Scaled(after.formation, after.before, after.instances))


def _formatted(after: Accepted, types: list[str]) -> str:
    if not types:
        return " ".join(f"{name}={count}" for name, count in after.formation.items())
    if after.before is None:  # an older procman does not report it
        return "\n".join(f"{name} -> {after.formation[name]}" for name in types)
    return "\n".join(_step(name, after.before.get(name, 0), after.formation[name]) for name in types)


def _step(name: str, old: int, new: int) -> str:
    return f"{name} {old} -> {new}" if old != new else f"{name} stays at {new}"
