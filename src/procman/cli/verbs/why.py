"""`procman why`: why an instance is as it is."""

from __future__ import annotations

import click

from procman.cli.line.completion import complete_instances
from procman.cli.target import TargetOptions, client_options
from procman.text.lines import clean


@click.command()
@click.argument("instance", metavar="INSTANCE", shell_complete=complete_instances)
@client_options
def why(target: TargetOptions, instance: str) -> None:
    """Explain an instance: what it is doing and since when, what comes next, and what you can do.

    INSTANCE is web.1, or web if only one web runs, or a program of procman's own: @autoscale, @balancer, @watch.

    \b
    Examples:
      procman why web.1
      procman why worker
      procman why @balancer
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    with target.connect() as client:
        for line in client.why(instance).lines:
            click.echo(clean(line))
