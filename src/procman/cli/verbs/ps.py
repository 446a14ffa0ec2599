"""`procman ps`: the formation as a table or as JSON, once or repeatedly."""

from __future__ import annotations

import click

from procman.cli.line.completion import complete_instances
from procman.cli.option_types import TimeType
from procman.cli.show.instances import shown
from procman.cli.show.screen import Screen, can_redraw, width
from procman.cli.target import TargetOptions, client_options
from procman.observe.listing import listed
from procman.observe.poll import Poller
from procman.observe.processes import Meter
from procman.text.lines import json_object


@click.command()
@click.option("--json", is_flag=True, show_envvar=True, help="Print one JSON object.")
@click.option("-w", "--watch", is_flag=True, show_envvar=True, help="Show the table again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=TimeType(0.1),
    default=2.0,
    metavar="SECONDS",
    show_envvar=True,
    help="Time from one table of --watch to the next.  [default: 2]",
)
@click.option(
    "--companions", is_flag=True, show_envvar=True, help="Also list the programs that procman runs for itself."
)
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_instances)
@client_options
def ps(target: TargetOptions, names: tuple[str, ...], interval: float, **flags: bool) -> None:
    """List the instances: what each is doing, since when, and why.

    NAME is a type, an instance or a shell pattern; without a name all instances are listed. CPU is the average since
    the process started, in percent of one core. CPU and MEMORY are those of the process and everything it started; from
    outside procman's container they are not known. If an instance is in a crash loop, REASON says so. The exit code is 3 if
    no procman runs here.

    With --watch the table is refreshed in place on a terminal; elsewhere one table follows the other, with --json one
    object per line. CPU is then the average since the last table. It continues after an upgrade of procman, and ends with
    3 when procman has ended.

    \b
    Examples:
      procman ps
      procman ps web worker.2
      procman ps --watch
      procman ps --json | jq '.instances[] | select(.phase != "ready") | .name'
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    json, watch, companions = flags["json"], flags["watch"], flags["companions"]
    with Poller(target.find()) as poller:
        meter = Meter()
        screen = Screen() if watch and can_redraw() and not json else None
        while True:
            listing = listed(poller.poll(), meter, names)
            text = json_object(listing).decode() if json else shown(listing, width(), companions=companions)
            if screen is not None:
                screen.draw(text)
            else:
                click.echo(text if json or not watch else f"{text}\n")
            if not watch:
                return
            poller.pause(interval)
