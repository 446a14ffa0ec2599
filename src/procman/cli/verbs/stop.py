"""`procman stop`: stop instances and keep them stopped."""

from __future__ import annotations

import click

from procman.cli.line.completion import complete_instances
from procman.cli.target import TargetOptions, client_options
from procman.cli.wait_option import print_change
from procman.control.client import Client, ClosedError
from procman.control.messages import Accepted, WaitParams
from procman.control.waiting import EndedError
from procman.core.requests import AwaitedState
from procman.errors import NotRunningError, ProcmanError, UsageError


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
def stop(target: TargetOptions, names: tuple[str, ...], *, everything: bool, wait: bool) -> None:
    """Stop instances, by type, name or shell pattern, and keep them stopped.

    Each gets its stop signal and, if it has not ended after its grace (10 s), KILL. A stopped instance keeps its name and
    port; `procman restart` starts it again. To end procman as well, use `procman shutdown`.

    \b
    Examples:
      procman stop worker
      procman stop web.2 --no-wait
      procman stop --all
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    if bool(names) == everything:
        what = "names and --all exclude each other" if names else "no instance is named"
        raise UsageError(f"cannot stop: {what}", "name types or instances, or say --all")
    with target.connect() as client:
        answer = client.stop(names, everything=everything)
        if not answer.instances:
            click.echo("nothing to stop")
        elif wait:
            click.echo(f"stopped: {_ended(client, answer)}")
        else:
            click.echo(f"stopping {', '.join(answer.instances)}")


def _ended(client: Client, answer: Accepted) -> str:
    """Wait until they have ended; returns each with how it ended, as far as procman still runs to report it."""
    names = answer.instances
    try:
        waited = client.wait(WaitParams(names, AwaitedState.STOPPED, operation=answer.operation), print_change)
        exits = {i.name: i.last_exit for i in client.ps().fleet.instances if i.last_exit}
    except (EndedError, ClosedError, NotRunningError):  # no instance outlives procman
        return ", ".join(names)
    if waited.outcome == "failed":
        raise ProcmanError(waited.reason, waited.hint)
    return ", ".join(f"{name} {exits.get(name, '')}".rstrip() for name in names)
