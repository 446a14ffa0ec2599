"""`procman start`: its command line, as click reads it. `starting` carries it out."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps

import click

from procman.app.options import START, WORDS, Value, start_options
from procman.cli.line.click_options import declared, refuse_unknown_variables, types_argument
from procman.cli.line.grouped import GroupedCommand
from procman.cli.starting import start_formation

UPGRADING = ("--take-over", "--upgrade-check")
"""The options with which one procman takes the place of another."""


def _around_an_upgrade(verb: Callable[..., int]) -> Callable[..., int]:
    """Two hidden options, each with the descriptor of a state, which procman passes to the program that takes its
    place. With them nothing is started, and the rest of the command line only serves lists of processes.
    """

    @wraps(verb)
    def call(take_over_from: int | None, upgrade_check: int | None, **values: object) -> int:
        if take_over_from is None and upgrade_check is None:
            return verb(**values)
        from procman.app import resume, run  # noqa: PLC0415  only around an upgrade

        if upgrade_check is not None:
            return resume.check(upgrade_check)
        return run.take_over(take_over_from or 0)

    for name in zip(UPGRADING, ("take_over_from", "upgrade_check"), strict=True):
        call = click.option(*name, type=int, hidden=True, allow_from_autoenv=False)(call)
    return call


class StartCommand(GroupedCommand):
    """Takes words after `--` as a command, not as process types."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[WORDS] = tuple(args[at + 1 :])
            args = args[:at]
        if not any(word.startswith(UPGRADING) for word in args):  # what the older version took does not end an upgrade
            refuse_unknown_variables(os.environ)
        return super().parse_args(ctx, args)


@click.command(cls=StartCommand, short_help="Run what the Procfile says, in the foreground.")
@_around_an_upgrade
@types_argument
@declared(START)
def start(**values: Value) -> int:
    """Run the process types of the Procfile in the foreground, restart what crashes, and stop everything on Ctrl-C.

    With TYPE only those types start; the others have a count of 0 and can be scaled up later. While it runs, `procman ps`,
    `procman scale` and the other verbs work from another terminal in the same folder.

    With --detach it goes to the background once every instance is ready or done. If one fails, or crashes three times in
    a row, it prints the reason and the exit code is 1; procman still runs in the background.

    With --then, or words after --, it runs that command once every instance is ready or done. When the command has ended,
    it stops everything and ends with the command's exit code. If an instance cannot become ready, it prints the reason and
    ends with 1.

    \b
    Examples:
      procman start                       everything, one of each
      procman start -m web=2,worker=0     two web, no worker
      procman start web                   only web
      PORT=8000 procman start             ports from 8000
      procman start --then 'npm test'     tests against the whole formation
      procman start -- pytest -x          the same, word by word
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    return start_formation(start_options(values | {WORDS: click.get_current_context().meta.get(WORDS, ())}))
