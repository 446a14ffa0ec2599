"""The loop of the balancer: poll the instances, update every target, release the stops that need not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from procman.companions.balancer.haproxy import CALM, StepResult
from procman.errors import NotRunningError, ProcmanError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from procman.companions.balancer.fleet import BalancedFleet, BalancedInstance


class BalancerTarget(Protocol):
    """A balancer for the instances of one type. `holds`: seconds for which their stops wait for it; 0: not at all."""

    holds: float

    def step(self, instances: Sequence[BalancedInstance], now: float) -> StepResult: ...


class BalancerLoop:
    """All targets, one for each type. Reports a fault once, and once that it is over."""

    def __init__(
        self,
        fleet: BalancedFleet,
        targets: Mapping[str, BalancerTarget],
        monotonic: Callable[[], float],
        log: Callable[[str], None],
        unusable: Mapping[str, str] | None = None,
    ) -> None:
        """`unusable`: types without a target, and what is wrong with their settings."""
        self._fleet = fleet
        self._targets = targets
        self._monotonic = monotonic
        self._log = log
        self.faults: dict[str, str] = dict(unusable or {})
        """What is wrong at present, by type: the state that `ps --companions` shows."""

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
            self._log_change("procman", error.message)
            return CALM
        self._log_change("procman", "")
        again = CALM
        for name, target in self._targets.items():
            kept = target.step([i for i in instances if i.type == name], self._monotonic())
            self._log_change(name, kept.fault)
            for instance, generation in kept.released:
                self._release(instance, generation)
            again = min(again, kept.again_in)
        self._report()
        return again

    def _report(self) -> None:
        try:
            self._fleet.report("; ".join(f"{topic}: {text}" for topic, text in self.faults.items()))
        except NotRunningError:
            raise
        except ProcmanError as error:  # repeated at the next poll
            self._log_change("procman", error.message)

    def _release(self, name: str, generation: int) -> None:
        try:
            self._fleet.release(name, generation)
        except ProcmanError as error:  # asked again at the next poll, as long as it is draining
            self._log_change(f"release {name}", error.message)
        else:
            self._log_change(f"release {name}", "")

    def _log_change(self, topic: str, text: str) -> None:
        before = self.faults.get(topic, "")
        if text and not before:
            self._log(f"{topic}: {text}")
        elif before and not text:
            self._log(f"{topic}: in step again")
        if text:
            self.faults[topic] = text
        else:
            self.faults.pop(topic, None)
