"""`procman reload`: read the inputs again and apply what changed."""

from __future__ import annotations

import click

from procman.cli.goal import renewed
from procman.cli.target import TargetOptions, client_options
from procman.cli.wait import WaitingCommand, until, wait_option
from procman.control.client import Client


@click.command(cls=WaitingCommand)
@wait_option("until what was started is ready")
@client_options
def reload(place: TargetOptions, wait: float | None) -> None:
    """Read Procfile, .env and procman.yml again and apply what changed.

    Types that are gone stop, new ones start, changed ones restart; all others keep their processes, and counts set by
    `procman scale` stay. Where anything is wrong, nothing changes and every fault is told with its line.

    \b
    Examples:
      procman check && procman reload
      procman reload --wait
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    path = place.find()
    with Client(path) as client:
        before = client.call("ps").fleet
        answer = client.call("reload")
        after = client.call("ps").fleet
    touched = ", ".join(dict.fromkeys(answer.instances))
    click.echo(f"reloaded; stopped or started: {touched}" if touched else "reloaded; nothing to stop or start")
    if wait is not None:
        until(path, renewed(answer, before, after), wait)
