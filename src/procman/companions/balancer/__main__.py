"""`python -m procman.companions.balancer`, run by procman in the root, with its socket in PROCMAN_SOCKET."""

from __future__ import annotations

import os
import sys
import time

from procman.companions.balancer import BalancerSettings
from procman.companions.balancer.building import target_of
from procman.companions.balancer.fleet import BalancedFleet
from procman.companions.balancer.loop import BalancerLoop
from procman.companions.registry import own_settings
from procman.errors import NotRunningError, ProcmanError
from procman.text.lines import clean


def main(settings: BalancerSettings) -> int:
    """Run until procman ends. A type whose balancer cannot be reached is reported once, and does not hold up others."""
    targets = {}
    unusable = {}
    for name, of_type in settings.types.items():
        try:
            targets[name] = target_of(name, of_type)
        except ProcmanError as error:
            unusable[name] = f"{error.message}{f' ({error.hint})' if error.hint else ''}"
            _log(f"{name}: {unusable[name]}")
    if not targets:
        return 1
    try:
        fleet = BalancedFleet(os.environ["PROCMAN_SOCKET"])
        loop = BalancerLoop(fleet, targets, time.monotonic, _log, unusable)
        while True:
            fleet.wait(loop.step())
    except NotRunningError:
        return 0
    except ProcmanError as error:
        _log(error.message)
        return 1


def _log(text: str) -> None:
    print(clean(text), flush=True)


if __name__ == "__main__":
    sys.exit(main(own_settings(BalancerSettings)))
