"""What a companion says of itself to procman, for `ps --companions`: that it cannot do what it is there for, and why.

Level-triggered, as everything that a companion does: what procman shows is compared with what is, at each look, so that
nothing has to be remembered over a restart of either.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procman.control.client import Client
    from procman.core.view import FleetView, InstanceView

LONGEST = 1024
"""Characters of a fault that procman takes."""

UNHEALTHY = "unhealthy"


def own_row(fleet: FleetView, pid: int | None = None) -> InstanceView | None:
    """The companion that runs here, as procman sees it, None where it is not procman's."""
    mine = os.getpid() if pid is None else pid
    return next((row for row in fleet.companions if row.pid == mine), None)


def report(client: Client, row: InstanceView | None, fault: str) -> None:
    """Say what is wrong, "" for nothing, where procman shows anything else. Raises ProcmanError as any request does."""
    if row is None:
        return
    fault = fault[:LONGEST]
    shown = (row.probe or "") if row.phase == UNHEALTHY else ""
    if shown != fault or (row.phase == UNHEALTHY) != bool(fault):
        client.report(row.name, row.generation, fault)
