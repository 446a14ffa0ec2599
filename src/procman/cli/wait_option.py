"""`--wait`: block until what a command asked for is reached, without polling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from procman.cli.option_types import TimeType, read_time
from procman.control.messages import WaitParams
from procman.core.view import Kind
from procman.errors import ProcmanError
from procman.text.lines import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procman.control.client import Client
    from procman.control.messages import Accepted
    from procman.core.view import Change

DEFAULT = 60.0

SHORTEST = 0.001
"""The least number of seconds to wait."""


class WaitingCommand(click.Command):
    """A verb with `--wait[=SECONDS]`. Click alone would take the word after a bare `--wait` as its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        following = [*args[1:], ""]
        words = [
            f"--wait={DEFAULT:g}" if word == "--wait" and not _is_time(following[n]) else word
            for n, word in enumerate(args)
        ]
        return super().parse_args(ctx, words)


def _is_time(word: str) -> bool:
    return word[:1].isdecimal() and read_time(word) is not None


def wait_option(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declares `--wait[=SECONDS]`; the verb gets `wait: float | None`."""
    return click.option(
        "--wait",
        type=TimeType(SHORTEST),
        metavar="[=SECONDS]",
        show_envvar=True,
        help=f"Wait {what}, at most {DEFAULT:g} seconds unless SECONDS is given; end with 1 and the reason if that fails.",
    )


def until_ready(client: Client, answer: Accepted, names: Sequence[str], seconds: float) -> None:
    """Block until an accepted change is reached; with an older procman, which gives it no number, until these instances
    are ready. Raises ProcmanError if that takes too long, or cannot happen any more.
    """
    waited = client.wait(WaitParams(tuple(names), timeout=seconds, operation=answer.operation), print_change)
    if waited.outcome == "late":
        from procman.control.conditions import listed  # noqa: PLC0415  only on the way to an error

        raise ProcmanError(f"cannot wait longer than {seconds:g} s for {listed(waited.pending)}", "see `procman ps`")
    if waited.outcome != "reached":
        raise ProcmanError(waited.reason, waited.hint)


def print_change(change: Change) -> None:
    """Show which instances are still waited for, as procman's log does."""
    if change.event is Kind.WAITING:
        click.echo(clean(change.text), err=True)
