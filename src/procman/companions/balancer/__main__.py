"""`python -m procman.companions.balancer`, run by procman in the root, with its socket in PROCMAN_SOCKET."""

from __future__ import annotations

import sys
import time

from procman.companions.balancer import BalancerSettings
from procman.companions.balancer.building import target_of
from procman.companions.balancer.fleet import BalancedFleet
from procman.companions.balancer.loop import BalancerLoop, StepFaults
from procman.companions.program import built, log, run
from procman.companions.registry import own_settings


def main(settings: BalancerSettings) -> int:
    targets, unusable = built(settings.types, target_of)

    def balance(socket: str) -> None:
        fleet = BalancedFleet(socket)
        loop = BalancerLoop(fleet, targets, time.monotonic, StepFaults(log, unusable))
        while True:
            fleet.wait(loop.step())

    return run(balance) if targets else 1


if __name__ == "__main__":
    sys.exit(main(own_settings(BalancerSettings)))
