"""`procman reload`: read the inputs again and apply what changed."""

from __future__ import annotations

import click

from procman.cli.target import TargetOptions, client_options
from procman.cli.wait_option import WaitingCommand, until_ready, wait_option
from procman.text.words import type_of


@click.command(cls=WaitingCommand)
@wait_option("until what was started is ready")
@client_options
def reload(target: TargetOptions, wait: float | None) -> None:
    """Read Procfile, .env and procman.yml again and apply what changed.

    Types that were removed stop, new ones start, changed ones restart. All others keep their processes, and counts set
    by `procman scale` stay. If anything is wrong, nothing changes and every fault is reported with its line.

    If the folder is a link (current) that now leads to another release, types that have not changed keep running in the
    earlier one until `procman restart`.

    \b
    Examples:
      procman check && procman reload
      procman reload --wait
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    with target.connect() as client:
        answer = client.reload()
        touched = ", ".join(dict.fromkeys(answer.instances))
        click.echo(f"reloaded; affects {touched}" if touched else "reloaded; affects no instance")
        if answer.folder is not None:
            click.echo(
                f"the folder now leads to {answer.folder}; `procman restart` moves what still runs in the earlier one"
            )
        types = [name for name in answer.formation if any(type_of(each) == name for each in answer.instances)]
        if wait is not None and types:
            until_ready(client, answer, types, wait)
