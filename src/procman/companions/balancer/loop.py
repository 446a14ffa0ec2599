"""The loop of the balancer: poll the instances, update every target, release the stops that need not wait."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from procman.companions.balancer.haproxy import CALM, StepResult
from procman.companions.program import CompanionFaults
from procman.errors import NotRunningError, ProcmanError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from procman.companions.balancer.fleet import BalancedFleet, BalancedInstance


class BalancerTarget(Protocol):
    """A balancer for the instances of one type. `holds`: seconds for which their stops wait for it; 0: not at all."""

    holds: float

    def step(self, instances: Sequence[BalancedInstance], now: float) -> StepResult: ...


class StepFaults(CompanionFaults):
    """Each with its topic before it: a target, or what was asked of procman."""

    def set(self, topic: str, text: str, healed: str = "") -> None:
        super().set(topic, f"{topic}: {text}" if text else "", healed or f"{topic}: in step again")


class BalancerLoop:
    """All targets, one for each type. Reports a fault once, and once that it is over."""

    def __init__(
        self,
        fleet: BalancedFleet,
        targets: Mapping[str, BalancerTarget],
        monotonic: Callable[[], float],
        faults: StepFaults,
    ) -> None:
        self._fleet = fleet
        self._targets = targets
        self._monotonic = monotonic
        self._faults = faults

    def step(self) -> float:
        """Bring everything in step; returns seconds until the next poll."""
        try:
            for name, target in self._targets.items():
                if target.holds:
                    self._fleet.hold(name, target.holds)
            instances = self._fleet.poll()
        except NotRunningError:
            raise
        except ProcmanError as error:
            self._faults.set("procman", error.message)
            return CALM
        self._faults.set("procman", "")
        again = CALM
        for name, target in self._targets.items():
            kept = target.step([i for i in instances if i.type == name], self._monotonic())
            self._faults.set(name, kept.fault)
            for instance, generation in kept.released:  # asked again at the next poll, as long as it is draining
                release = partial(self._fleet.release, instance, generation)
                self._faults.attempt(f"release {instance}", release)
            again = min(again, kept.again_in)
        self._faults.attempt("procman", lambda: self._fleet.report(self._faults.text))
        return again
