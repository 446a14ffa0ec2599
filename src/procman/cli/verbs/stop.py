"""`procman stop`: stop instances and keep them stopped."""

from __future__ import annotations

import click

from procman.cli.goal import Down
from procman.cli.line.completion import complete_instances
from procman.cli.target import TargetOptions, client_options
from procman.app.usage import UsageError
from procman.cli.wait import FOREVER, EndedError, until
from procman.control.client import Client
from procman.control.protocol import StopParams


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_instances)
@click.option("--all", "everything", is_flag=True, allow_from_autoenv=False, help="Stop every instance, not procman.")
@click.option(
    "--wait/--no-wait",
    default=True,
    show_envvar=True,
    help="Return when all have stopped, or at once.  [default: wait]",
)
@client_options
def stop(place: TargetOptions, names: tuple[str, ...], *, everything: bool, wait: bool) -> None:
    """Stop instances, by type, name or shell pattern, and keep them stopped.

    Each gets its stop signal and, where it is still there after its grace (10 s), KILL. A stopped instance keeps its
    name and port; `procman restart` starts it. To end procman as well, use `procman shutdown`.

    \b
    Examples:
      procman stop worker
      procman stop web.2 --no-wait
      procman stop --all
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    if bool(names) == everything:
        what = "names and --all exclude each other" if names else "no instance is named"
        raise UsageError(f"cannot stop: {what}", "name types or instances, or say --all")
    path = place.find()
    with Client(path) as client:
        answer = client.call("stop", StopParams(names, all=everything))
    if not answer.instances:
        click.echo("nothing to stop")
    elif wait:
        click.echo(f"stopped: {_ended(path, answer.instances)}")
    else:
        click.echo(f"stopping {', '.join(answer.instances)}")


def _ended(path: str, names: tuple[str, ...]) -> str:
    """Wait for them; who they are and how each ended, as far as procman was there to tell it."""
    try:
        view = until(path, Down(names), FOREVER)
    except EndedError:  # nothing outlives procman
        return ", ".join(names)
    exits = {i.name: i.last_exit for i in view.instances if i.last_exit}
    return ", ".join(f"{name} {exits.get(name, '')}".rstrip() for name in names)
