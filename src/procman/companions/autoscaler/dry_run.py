"""One decision for each type by the settings of a plan, without carrying it out."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from procman.companions.autoscaler import building, settings
from procman.companions.autoscaler.fleet import ScalableFleet
from procman.companions.autoscaler.loop import Autoscaler, Surroundings
from procman.companions.autoscaler.machine import this_machine
from procman.companions.autoscaler.store import AutoscaleStatus, AutoscaleStore
from procman.companions.program import CompanionFaults
from procman.errors import ProcmanError

if TYPE_CHECKING:
    from procman.core.spec import Plan


def decide_once(plan: Plan, socket: str, apart: float) -> AutoscaleStatus:
    """Read twice, with this many seconds between, and decide. Raises ProcmanError if procman cannot be reached or
    the settings of a metric cannot be used.
    """
    found = settings(plan)
    if found is None:
        return AutoscaleStatus()
    types = {name: building.scaled(one.settings, one.variables) for name, one in found.types.items()}
    store = AutoscaleStore.beside(socket)
    said: list[str] = []
    surroundings: Surroundings = replace(this_machine(CompanionFaults(said.append, {})), patience=math.inf)
    autoscaler = Autoscaler(ScalableFleet(socket, store), types, store, surroundings, dry=True)
    autoscaler.step()
    time.sleep(apart)
    autoscaler.hurry()
    autoscaler.step()
    if not autoscaler.status.types:
        raise ProcmanError(said[-1] if said else "cannot decide: procman did not answer")
    return autoscaler.status
