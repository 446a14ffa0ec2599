"""`procman restart`: restart instances."""

from __future__ import annotations

import click

from procman.cli.line.completion import complete_instances
from procman.cli.target import TargetOptions, client_options
from procman.cli.wait_option import WaitingCommand, until_ready, wait_option


@click.command(cls=WaitingCommand)
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_instances)
@click.option("--together", is_flag=True, show_envvar=True, help="Restart all instances of a type at once.")
@wait_option("until all of them are ready again")
@client_options
def restart(target: TargetOptions, names: tuple[str, ...], wait: float | None, *, together: bool) -> None:
    """Restart instances: all of them, or those of the types, names or shell patterns given.

    A type is restarted a few instances at a time; each must have been ready for three seconds before the next is
    stopped. Instances that you name are restarted at once. One that is stopped, done or failed is started.

    \b
    Examples:
      procman restart
      procman restart web.2
      procman restart web 'work*' --wait
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    with target.connect() as client:
        answer = client.restart(names, together=together)
        click.echo(f"restarting {', '.join(answer.instances)}" if answer.instances else "nothing to restart")
        if wait is not None and answer.instances:
            until_ready(client, answer, answer.instances, wait)
