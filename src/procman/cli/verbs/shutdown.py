"""`procman shutdown`: stop everything and end procman."""

from __future__ import annotations

import click

from procman.cli.target import TargetOptions, client_options
from procman.cli.wait_option import print_change
from procman.control.client import Client


@click.command()
@click.option(
    "--wait/--no-wait",
    default=True,
    show_envvar=True,
    help="Return when procman has ended, or at once.  [default: wait]",
)
@client_options
def shutdown(target: TargetOptions, *, wait: bool) -> None:
    """Stop every instance, each with its own grace, and end procman, as TERM to procman does.

    \b
    Examples:
      procman shutdown
      procman shutdown --no-wait
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    path = target.find()
    if not wait:
        _ask(path)
        return
    with Client(path) as watcher:
        changes = watcher.events()
        _ask(path)
        for happened in changes:
            print_change(happened.change)
        while watcher.channel.next_message(None) is not None:  # the stream ends before the connection does
            continue
    click.echo("procman has ended")


def _ask(path: str) -> None:
    with Client(path) as client:
        answer = client.shutdown()
    if answer.instances:
        click.echo(f"stopping {', '.join(answer.instances)}")
