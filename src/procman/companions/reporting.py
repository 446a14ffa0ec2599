"""What a companion reports to procman, for `ps --companions`: that it cannot do its work, and why.

What procman shows is compared with the present state at each poll, so that nothing has to be remembered over a restart
of either.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procman.control.client import Client
    from procman.core.view import FleetView, InstanceView

LONGEST = 1024
"""Most characters of a fault that procman accepts."""

UNHEALTHY = "unhealthy"


def own_row(fleet: FleetView, pid: int | None = None) -> InstanceView | None:
    """The row of the companion that runs here; None where procman did not start it."""
    mine = os.getpid() if pid is None else pid
    return next((row for row in fleet.companions if row.pid == mine), None)


def report(client: Client, row: InstanceView | None, fault: str) -> None:
    """Report what is wrong ("": nothing), unless procman shows that already. Raises ProcmanError like any request."""
    if row is None:
        return
    fault = fault[:LONGEST]
    shown = (row.probe or "") if row.phase == UNHEALTHY else ""
    if shown != fault or (row.phase == UNHEALTHY) != bool(fault):
        client.report(row.name, row.generation, fault)
