"""`procman wait`: block until instances are ready, done or stopped."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from procman.cli.line.completion import complete_instances
from procman.cli.option_types import TimeType
from procman.cli.target import TargetOptions, client_options
from procman.cli.wait_option import print_change
from procman.control.conditions import listed
from procman.control.messages import WaitParams
from procman.control.waiting import EndedError
from procman.core.requests import AwaitedState
from procman.errors import NotRunningError, ProcmanError

if TYPE_CHECKING:
    from procman.control.client import Client

TIMED_OUT = 124
"""The exit code of timeout(1)."""

PAUSE = 0.1
"""Seconds between two attempts to find a procman that is still to be started."""


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_instances)
@click.option(
    "--for",
    "until",
    type=click.Choice([state.value for state in AwaitedState]),
    default="ready",
    show_envvar=True,
    help="ready: ready or done; done: ended with success; stopped: not running.  [default: ready]",
)
@click.option(
    "-t",
    "--timeout",
    type=TimeType(),
    metavar="SECONDS",
    show_envvar=True,
    help="Wait at most this many seconds.  [default: without limit]",
)
@client_options
def wait(target: TargetOptions, names: tuple[str, ...], until: str, timeout: float | None) -> int:
    """Wait until instances are ready: all of them, or those of the types, names or shell patterns given.

    Ends with 0 when all are ready. Ends with 1 and the reason as soon as one can no longer become ready, because it failed,
    was stopped, or is in a crash loop. Ends with 124 at the timeout. With a timeout it also waits for procman itself, as
    after `procman start &`; without one it ends with 3 if none runs.

    \b
    Examples:
      procman wait
      procman wait web --timeout 30
      procman wait migrate --for done
      procman wait worker --for stopped
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    params = WaitParams(names, AwaitedState(until), timeout)
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    comes = deadline < math.inf and params.until is not AwaitedState.STOPPED
    try:
        client = _connect(target, deadline if comes else 0.0)
    except NotRunningError as error:
        if not comes:
            raise
        click.echo(f"procman: cannot wait longer than {timeout:g} s: {error.message}\nprocman: {error.hint}", err=True)
        return TIMED_OUT
    with client:
        try:
            left = None if timeout is None else max(0.0, deadline - time.monotonic())
            waited = client.wait(replace(params, timeout=left), print_change)
        except EndedError:
            if params.until is AwaitedState.STOPPED:
                return 0
            raise
    if waited.outcome == "late":
        click.echo(f"procman: cannot wait longer than {timeout:g} s for {listed(waited.pending)}", err=True)
        return TIMED_OUT
    if waited.outcome != "reached":
        raise ProcmanError(waited.reason, waited.hint)
    return 0


def _connect(target: TargetOptions, deadline: float) -> Client:
    """Connect to a procman that may be started until then. Raises NotRunningError if none is."""
    while True:
        try:
            return target.connect()
        except NotRunningError:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
        time.sleep(min(PAUSE, left))
