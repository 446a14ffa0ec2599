"""What the autoscaler sees of procman and does with it. One poll is a `ps` and one pass over the process table."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.companions.program import LONGEST_REASON, report
from procman.core.demand import ReplicaState
from procman.observe.poll import Poller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procman.companions.autoscaler.store import AutoscaleStore
    from procman.core.demand import Decided
    from procman.core.view import FleetView, InstanceView
    from procman.observe.processes import Trees

WHO = "@autoscale"

_STATES = {
    "ready": ReplicaState.READY,
    "draining": ReplicaState.LEAVING,
    "stopping": ReplicaState.LEAVING,
    "clearing": ReplicaState.LEAVING,
    "stopped": ReplicaState.RESTING,
    "done": ReplicaState.RESTING,
    "failed": ReplicaState.RESTING,
}
"""The state of each phase. Any other phase is wanted and not ready: starting, waiting, backoff, unhealthy, or one of a
later version.
"""


class InstanceSeen(Struct, frozen=True, kw_only=True):
    """One instance. `cpu`: seconds of CPU time of its whole tree so far, `memory`: bytes of it; None if unknown."""

    name: str
    generation: int
    state: ReplicaState
    ready_for: float = 0.0
    cpu: float | None = None
    memory: int | None = None


class TypeSeen(Struct, frozen=True, kw_only=True):
    """A process type: its wanted count and every slot of it."""

    type: str
    count: int
    instances: tuple[InstanceSeen, ...] = ()
    crash_loop: bool = False


class ScalableFleet:
    """Uses one connection, which is made again when procman is upgraded. Each method raises ProcmanError where procman
    cannot be reached or refuses.
    """

    def __init__(self, path: str, store: AutoscaleStore) -> None:
        self._poller = Poller(path)
        self._store = store
        self._polled: FleetView | None = None

    def poll(self) -> Mapping[str, TypeSeen]:
        poll = self._poller.poll()
        fleet = poll.answer.fleet
        self._polled = fleet
        instances: dict[str, list[InstanceSeen]] = {name: [] for name in fleet.formation}
        for instance in fleet.instances:
            instances.setdefault(instance.type, []).append(_seen(instance, poll.trees))
        loops = {view.type for view in fleet.types if view.crash_loop}
        return {
            name: TypeSeen(type=name, count=count, instances=tuple(instances[name]), crash_loop=name in loops)
            for name, count in fleet.formation.items()
        }

    def count_of(self, type_name: str) -> int | None:
        """The wanted count of a type now, without a poll; None if there is no such type."""
        return self._poller.client.scale().formation.get(type_name)

    def scale(self, type_name: str, count: int, why: str) -> None:
        self._poller.client.scale({type_name: count}, why=f"{WHO}: {why}"[:LONGEST_REASON], force=True)

    def report(self, fault: str) -> None:
        """Report what is wrong at present ("": nothing), to be shown by `ps --companions`."""
        assert self._polled is not None
        report(self._poller.client, self._polled, fault)

    def publish(self, decided: Decided) -> None:
        self._store.add_decision(time.time(), decided)


def _seen(instance: InstanceView, trees: Trees) -> InstanceSeen:
    used = trees.used_by((instance.pid, *instance.adopted)) if instance.pid is not None else None
    state = _STATES.get(instance.phase, ReplicaState.STARTING)
    return InstanceSeen(
        name=instance.name,
        generation=instance.generation,
        state=state,
        ready_for=instance.age if state is ReplicaState.READY else 0.0,
        cpu=used[0] if used else None,
        memory=used[1] if used else None,
    )
