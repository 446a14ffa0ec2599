"""`python -m procman.companions.autoscaler`, run by procman in the root, with its socket in PROCMAN_SOCKET."""

from __future__ import annotations

import sys
import time

from procman.companions.autoscaler import AutoscalerSettings, building
from procman.companions.autoscaler.fleet import ScalableFleet
from procman.companions.autoscaler.loop import Autoscaler
from procman.companions.autoscaler.machine import this_machine
from procman.companions.autoscaler.store import AutoscaleStore
from procman.companions.program import CompanionFaults, built, log, run
from procman.companions.registry import own_settings

CHECK_EVERY = 0.5
"""Seconds after which requests of people are noticed."""


def main(settings: AutoscalerSettings) -> int:
    types, unusable = built(settings.types, lambda _, one: building.scaled(one.settings, one.variables))

    def scale(socket: str) -> None:
        store = AutoscaleStore.beside(socket)
        autoscaler = Autoscaler(
            ScalableFleet(socket, store), types, store, this_machine(CompanionFaults(log, unusable))
        )
        autoscaler.restore()
        while True:
            _pause(autoscaler, store, time.monotonic() + autoscaler.step())

    return run(scale) if types else 1


def _pause(autoscaler: Autoscaler, store: AutoscaleStore, until: float) -> None:
    """Wait until then, or until someone asks for something."""
    before = store.stamp()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, CHECK_EVERY))
        if store.stamp() != before:
            autoscaler.hurry()
            return


if __name__ == "__main__":
    sys.exit(main(own_settings(AutoscalerSettings)))
