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


class _Memory(AutoscaleStore):
    """Reads people's requests, and keeps decisions in memory only."""

    kept = AutoscaleStatus()

    def save_status(self, status: AutoscaleStatus) -> None:
        self.kept = status


def decide_once(plan: Plan, socket: str, apart: float) -> AutoscaleStatus:
    """Read twice, so many seconds apart, and decide. Raises ProcmanError where procman cannot be reached or the
    settings of a metric cannot be used.
    """
    found = settings(plan)
    if found is None:
        return AutoscaleStatus()
    types = {name: building.scaled(one.settings, one.variables) for name, one in found.types.items()}
    store = _Memory.beside(socket)
    assert isinstance(store, _Memory)
    said: list[str] = []
    surroundings: Surroundings = replace(this_machine(CompanionFaults(said.append, {})), patience=math.inf)
    autoscaler = Autoscaler(ScalableFleet(socket, store), types, store, surroundings, dry=True)
    autoscaler.step()
    time.sleep(apart)
    autoscaler.hurry()
    autoscaler.step()
    if not store.kept.types:
        raise ProcmanError(said[-1] if said else "cannot decide: procman did not answer")
    return store.kept
