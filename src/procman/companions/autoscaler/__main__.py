"""`python -m procman.companions.autoscaler`, run by procman in the root, with its socket in PROCMAN_SOCKET."""

from __future__ import annotations

import os
import sys
import time

from procman.companions.autoscaler import AutoscalerSettings, building
from procman.companions.autoscaler.fleet import ScalableFleet
from procman.companions.autoscaler.loop import Autoscaler
from procman.companions.autoscaler.machine import this_machine
from procman.companions.autoscaler.store import AutoscaleStore
from procman.companions.registry import own_settings
from procman.errors import NotRunningError, ProcmanError
from procman.text.lines import clean

CHECK_EVERY = 0.5
"""Seconds after which requests of people are noticed."""


def main(settings: AutoscalerSettings) -> int:
    """Run until procman ends. A type that cannot be scaled is reported once, and does not hold up others."""
    types = {}
    unusable = []
    for name, of_type in settings.types.items():
        try:
            types[name] = building.scaled(of_type.settings, of_type.variables)
        except ProcmanError as error:
            unusable.append(f"{name}: {error.message}{f' ({error.hint})' if error.hint else ''}")
            _log(unusable[-1])
    if not types:
        return 1
    try:
        path = os.environ["PROCMAN_SOCKET"]
        store = AutoscaleStore.beside(path)
        autoscaler = Autoscaler(ScalableFleet(path, store), types, store, this_machine(_log))
        autoscaler.unusable = tuple(unusable)
        autoscaler.restore()
        while True:
            _pause(autoscaler, store, time.monotonic() + autoscaler.step())
    except NotRunningError:
        return 0
    except ProcmanError as error:
        _log(error.message)
        return 1


def _pause(autoscaler: Autoscaler, store: AutoscaleStore, until: float) -> None:
    """Wait until then, or until someone asks for something."""
    before = store.stamp()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, CHECK_EVERY))
        if store.stamp() != before:
            autoscaler.hurry()
            return


def _log(text: str) -> None:
    print(clean(text), flush=True)


if __name__ == "__main__":
    sys.exit(main(own_settings(AutoscalerSettings)))
