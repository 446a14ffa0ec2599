"""`start --detach`: procman goes to the background, and its client waits until everything is up."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import click

from procman.cli.background import Background, split
from procman.cli.wait_option import print_change
from procman.control.client import Client, ClosedError
from procman.control.messages import Waited, WaitParams
from procman.control.waiting import EndedError
from procman.errors import NotRunningError, ProcmanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.app.run import Foreground
    from procman.core.spec import Plan
    from procman.core.view import FleetView


def detached(_plan: Plan, run: Callable[[Foreground], int]) -> int:
    """Fork; returns the exit code of either process."""
    made = split(run, _leave)
    return made if isinstance(made, int) else _wait(made)


def _leave() -> None:
    """Close the terminal, and pipes whose reader (ssh, say) would wait for their end."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    for fd in (1, 2):
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.dup2(nowhere, fd)
    os.close(nowhere)


def _wait(made: Background) -> int:
    """Wait until every instance is ready or done; returns the exit code. Raises ProcmanError where one cannot be."""
    if not made.path:
        return made.code()  # procman has said why
    goes_on = f"procman keeps running in the background (pid {made.pid}); `procman shutdown` ends it"
    try:
        with Client(made.path) as client:
            waited = client.wait(WaitParams(), print_change)
            fleet = client.ps().fleet
            counts = fleet.formation  # those that procman keeps may differ from the files'
            if _ends_now(fleet):
                waited = Waited("ending")
    except (EndedError, ClosedError, NotRunningError):
        waited, counts = Waited("ending"), {}
    except KeyboardInterrupt:
        click.echo(f"procman: {goes_on}", err=True)
        raise
    if waited.outcome == "ending":
        click.echo(f"{made.last_lines()}procman has ended again", err=True)
        return made.code()
    if waited.outcome == "failed":
        raise ProcmanError(waited.reason, f"{waited.hint}; {goes_on}")
    formation = ", ".join(f"{name} {count}" for name, count in counts.items())
    click.echo(f"procman runs in the background (pid {made.pid}, socket {made.path}): {formation}")
    click.echo("`procman logs -f` shows its output, `procman ps` what runs; `procman shutdown` ends it")
    return 0


def _ends_now(fleet: FleetView) -> bool:
    """Whether procman ends, as all instances have ended by themselves."""
    rows = (*fleet.instances, *fleet.companions)
    return fleet.stopping or (bool(rows) and all(row.phase == "done" for row in rows))
