"""`procman upgrade`: replace the running procman by the installed one."""

from __future__ import annotations

import click

from procman.cli.target import TargetOptions, client_options
from procman.control.client import Client, ClosedError
from procman.errors import NotRunningError, ProcmanError
from procman.extras import how_to_upgrade

WITHIN = 30.0
"""Seconds for an answer: procman gives the new program 20 to check the state."""


@click.command()
@client_options
def upgrade(target: TargetOptions) -> None:
    """Replace the running procman with the version that is installed now, without touching what it runs.

    Processes keep their pids, pipes and terminals; counts, delays and kept output stay. The new version is asked first
    whether it can take over; if it cannot, nothing changes and the reason is printed. Other commands that are
    connected at that time continue with the new version.

    \b
    Examples:
      procman upgrade
      pip install --upgrade ../procman && procman upgrade
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    with Client(target.find(), WITHIN) as client:
        before = client.hello()
        client.upgrade()
        try:
            after = client.hello(again=True)
        except (NotRunningError, ClosedError):
            text = "cannot upgrade: procman has ended instead"
            raise ProcmanError(text, "its standard error says why; what it ran is stopped, as after a kill") from None
    if after.upgrades == before.upgrades:
        raise ProcmanError("cannot upgrade: the new program could not be executed", "see procman's output")
    click.echo(f"procman {before.version} -> {after.version} (pid {after.pid})")
    source = how_to_upgrade() if after.version == before.version else ""
    if source:
        click.echo(f"the version is the same; {source}", err=True)
