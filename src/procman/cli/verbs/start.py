"""`procman start`: its command line, as click reads it. `supervise` does it; a plain line comes there without click."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import click

from procman.cli.line.click_options import declared, types_argument
from procman.app.options import START
from procman.app.run import check, supervise, take_over


def _around_an_upgrade(verb: Callable[..., int]) -> Callable[..., int]:
    """Two hidden options, each with the descriptor of a state: procman says them to the program that is to take its
    place. With them nothing is started, and the rest of the command line is there to be seen in lists of processes.
    """

    @wraps(verb)
    def call(take_over_from: int | None, upgrade_check: int | None, **values: object) -> int:
        if upgrade_check is not None:
            return check(upgrade_check)
        return verb(**values) if take_over_from is None else take_over(take_over_from)

    for name in (("--take-over", "take_over_from"), ("--upgrade-check",)):
        call = click.option(*name, type=int, hidden=True, allow_from_autoenv=False)(call)
    return call


@click.command(short_help="Run the formation in the foreground.")
@_around_an_upgrade
@types_argument
@declared(START)
def start(**values: object) -> int:
    """Run the process types of the Procfile in the foreground, restart what crashes, and stop everything on Ctrl-C.

    With TYPE only those types start; the others stand at 0 and can be scaled up later. While it runs, `procman ps`,
    `procman scale` and the other verbs work from another terminal in the same folder.

    With --detach it goes to the background once every instance is ready or done. Where one fails, or crashes three times
    in a row, that is told and the exit code is 1; procman goes on in the background all the same.

    \b
    Examples:
      procman start                       everything, one of each
      procman start -m web=2,worker=0     two web, no worker
      procman start web                   only web
      PORT=8000 procman start             ports from 8000
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    return supervise(values)
