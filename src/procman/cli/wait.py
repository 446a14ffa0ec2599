"""`--wait`: block until what a command asked for has come, without polling.

After the command, the events are subscribed to, and then `ps` is looked at after each: what changes after a look wakes
us, so nothing is missed, and a burst of changes costs one look.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import click

from procman.control.client import Client, Stream
from procman.control.protocol import EventsParams, Happened, Output
from procman.text.lines import clean
from procman.core.view import FleetView, Kind
from procman.errors import ProcmanError

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT = 60.0
FOREVER = math.inf


class Goal(Protocol):
    def left(self, view: FleetView) -> list[str]:
        """What is still to come; nothing when the goal is reached."""


class WaitingCommand(click.Command):
    """A verb with `--wait[=SECONDS]`. Click would take the word after a bare `--wait` for its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        following = [*args[1:], ""]
        words = [
            f"--wait={DEFAULT:g}" if word == "--wait" and not _is_number(following[n]) else word
            for n, word in enumerate(args)
        ]
        return super().parse_args(ctx, words)


def _is_number(word: str) -> bool:
    return word.replace(".", "", 1).isdecimal()


def wait_option(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declares `--wait[=SECONDS]`; the verb gets `wait: float | None`."""
    return click.option(
        "--wait",
        type=click.FloatRange(min=0, min_open=True),
        metavar="[=SECONDS]",
        show_envvar=True,
        help=f"Wait {what}, {DEFAULT:g} seconds at most where no number is given; 1 and the reason where that fails.",
    )


class EndedError(ProcmanError):
    """procman has ended, and with it everything that it started."""


def until(path: str, goal: Goal, seconds: float) -> FleetView:
    """Block until the goal is reached; returns the fleet as it then is. Raises ProcmanError at the deadline."""
    deadline = time.monotonic() + seconds
    with Client(path) as client, Client(path) as watcher:
        changes = watcher.stream("events", EventsParams())
        while True:
            view = client.call("ps").fleet
            left = goal.left(view)
            if not left:
                return view
            try:
                _sleep(changes, deadline)
            except TimeoutError:
                listed = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
                raise ProcmanError(f"cannot wait longer than {seconds:g} s for {listed}", "see `procman ps`") from None


def _sleep(changes: Stream, deadline: float) -> None:
    """Until something changes, and over everything else that has been told by then."""
    changes.timeout = None if deadline == FOREVER else max(0.0, deadline - time.monotonic())
    change = next(changes, None)
    changes.timeout = 0.0  # from here on only what has been received already
    with suppress(TimeoutError):
        while change is not None:
            _tell(change)
            change = next(changes, None)
        raise EndedError("cannot go on waiting: procman has ended")


def until_gone(path: str, ask: Callable[[], None]) -> None:
    """Ask, and block until procman has closed the connection, as its end does."""
    with Client(path) as watcher:
        changes = watcher.stream("events", EventsParams())
        ask()
        for change in changes:
            _tell(change)
        while watcher.next_message(None) is not None:  # the stream ends before the connection does
            continue


def _tell(change: Output | Happened) -> None:
    """Who is still waited for, as procman's log says it."""
    if isinstance(change, Happened) and change.change.event is Kind.WAITING:
        click.echo(clean(change.change.text), err=True)
