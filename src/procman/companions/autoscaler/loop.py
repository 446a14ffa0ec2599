"""The loop of the autoscaler: poll, read, decide, scale, remember; for each type at its own interval.

`Autoscaler.step` does what is due and returns when to call it next. Everything that a decision is made of is read again
each time. Between polls it only remembers what delays a scale-down, so that losing its memory is harmless.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, assert_never

from msgspec import Struct
from msgspec.structs import replace

from procman.companions.autoscaler.readings import MetricReader, all_ended, finish_all, start_all
from procman.companions.autoscaler.store import (
    AutoscaleStatus,
    AutoscaleStore,
    Control,
    Controls,
    Point,
    TypeStatus,
    remembered,
)
from procman.companions.program import CompanionFaults
from procman.core.autoscale import decide
from procman.core.demand import Bounds, Decided, MetricReading, Observation, Replica, ReplicaState, Scaler, ScalingRule
from procman.errors import NotRunningError, ProcmanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from procman.companions.autoscaler.fleet import InstanceSeen, ScalableFleet, TypeSeen

RETRY = 1.0
"""Seconds until procman is asked again after it did not answer."""


PATIENCE = 0.5
"""Seconds that the loop waits for readings before it turns to other types."""

LATE_EVERY = 0.25
"""Seconds until a reading that took longer is collected again."""

SAMPLE_EVERY = 2.0
"""Seconds between two samples, while an instance has just become ready or is not ready yet."""


class ScaledType(Struct, frozen=True):
    """A type that is scaled: its rule, its metrics, the bounds of its schedule at a time, and the gauges that sample
    new instances between two polls.
    """

    rule: ScalingRule
    readers: tuple[MetricReader, ...]
    window_at: Callable[[datetime], Bounds | None]
    samplers: tuple[Callable[[TypeSeen, float], None], ...] = ()

    def waking(self) -> tuple[MetricReader, ...]:
        """The metrics that start the first instance."""
        return tuple(r for r, metric in zip(self.readers, self.rule.metrics, strict=True) if metric.wakes)


class Asleep(Struct, frozen=True):
    """A type with a count of 0: its last full poll, how often its metrics are read, and when it has to be polled again."""

    seen: TypeSeen
    every: float
    until: float


class Surroundings(Struct, frozen=True):
    """What the loop needs from outside: clocks, free memory in bytes (None: unknown), what is wrong so far, and seconds
    that a step may wait for readings.
    """

    monotonic: Callable[[], float]
    wall: Callable[[], datetime]
    free_memory: Callable[[], int | None]
    faults: CompanionFaults
    patience: float = PATIENCE


class Autoscaler:
    """`dry`: decides and shows, and changes nothing."""

    def __init__(
        self,
        fleet: ScalableFleet,
        types: Mapping[str, ScaledType],
        store: AutoscaleStore,
        around: Surroundings,
        *,
        dry: bool = False,
    ) -> None:
        self._fleet = fleet
        self._types = types
        self._store = store
        self._around = around
        self._dry = dry
        self._due = dict.fromkeys(types, 0.0)
        self._asleep: dict[str, Asleep] = {}
        self._late: set[str] = set()  # those whose metrics are still being read
        self._unsettled: set[str] = set()  # those with new instances, which are to be sampled
        self._overtaken: set[str] = set()  # those that are decided again, as their count has changed meanwhile
        self._states = {name: Scaler() for name in types}
        self._promised = 0  # bytes for instances that were added since the poll
        self._status: dict[str, TypeStatus] = {}
        self._faults = around.faults

    @property
    def status(self) -> AutoscaleStatus:
        """Each type at its last poll."""
        return AutoscaleStatus(types=self._status)

    def restore(self) -> None:
        """Read the last hour's history from the file, for the chart; no decision depends on it."""
        try:
            self._status = {name: s for name, s in self._store.status().types.items() if name in self._types}
        except ProcmanError as error:
            self._faults.set("status", error.message)

    def hurry(self) -> None:
        """Make every type due in the next step."""
        self._due = dict.fromkeys(self._due, 0.0)
        self._asleep = {}

    def step(self) -> float:
        """Do what is due; returns seconds until the next step."""
        now = self._around.monotonic()
        due = self._awake(self._answered([name for name, at in self._due.items() if at <= now]), now)
        if due or self._unsettled:
            try:
                controls = self._store.controls()
                seen = self._fleet.poll()
            except NotRunningError:
                raise
            except ProcmanError as error:
                self._faults.set("procman", error.message)
                self._due.update(dict.fromkeys(due, now + RETRY))
                return RETRY
            self._faults.set("procman", "")
            self._sample(seen, now)
            self._promised = 0
            for name in self._read(due, seen, now):
                self._scale(name, seen, controls)
        if due and not self._dry:
            self._faults.attempt("status", lambda: self._store.save_status(self.status))
            self._faults.attempt("procman", lambda: self._fleet.report(self._faults.text))
        following = min(self._due.values(), default=now + RETRY) - self._around.monotonic()
        return max(0.0, min(following, SAMPLE_EVERY) if self._unsettled else following)

    def _answered(self, due: list[str]) -> list[str]:
        """Without the types whose metrics are still being read: those are due again soon."""
        waiting = [name for name in due if name in self._late and not all_ended(self._types[name].readers, 0.0)]
        self._due.update(dict.fromkeys(waiting, self._around.monotonic() + LATE_EVERY))
        return [name for name in due if name not in waiting]

    def _read(self, due: list[str], seen: Mapping[str, TypeSeen], now: float) -> list[str]:
        """Read the metrics of all types at once; returns those that can be decided. A metric that hangs holds up its own
        type only.
        """
        for name in due:
            if name in seen and name not in self._late:
                start_all(self._types[name].readers, seen[name], now)
        all_ended((reader for name in due for reader in self._types[name].readers), self._around.patience)
        self._late -= set(due)
        self._late |= {name for name in due if name in seen and not all_ended(self._types[name].readers, 0.0)}
        return self._answered(due)

    def _awake(self, due: list[str], now: float) -> list[str]:
        """The types that have to be polled. A type with a count of 0 need not be polled without demand: only its
        metrics are read, and procman is not asked.
        """
        asleep = {name: one for name in due if (one := self._asleep.pop(name, None)) and now < one.until}
        readers = {name: self._types[name].waking() for name in asleep}
        for name, one in asleep.items():
            start_all(readers[name], one.seen, now)
        for name, one in asleep.items():
            answered = all_ended(readers[name], self._around.patience)
            if answered and all(reading.value == 0 and not reading.error for reading in finish_all(readers[name])):
                self._asleep[name] = one
                self._due[name] = now + one.every
        return [name for name in due if name not in self._asleep]

    def _sample(self, seen: Mapping[str, TypeSeen], now: float) -> None:
        """Show new instances to the gauges that sample them, and remember which types have any."""
        self._unsettled = set()
        for name, scaled in self._types.items():
            if not scaled.samplers or name not in seen:
                continue
            for sampler in scaled.samplers:
                sampler(seen[name], now)
            if any(_is_new(instance, scaled.rule) for instance in seen[name].instances):
                self._unsettled.add(name)

    def _scale(self, name: str, everyone: Mapping[str, TypeSeen], controls: Controls) -> None:
        scaled, now, seen = self._types[name], self._around.monotonic(), everyone.get(name)
        if seen is None:  # removed by a reload, before this companion was restarted
            self._due[name] = now + scaled.rule.every
            return
        readings = finish_all(scaled.readers)
        observation = self._observed(scaled, everyone, name, readings, controls)
        before = self._states[name]
        at = self._around.monotonic()
        state, decision = decide(scaled.rule, before, observation, at)
        if decision.changes and name not in self._overtaken and self._is_overtaken(name, seen.count):
            self._overtaken.add(name)  # once: clients that keep changing the count must not keep it polling
            self._due[name] = at
            return
        self._overtaken.discard(name)
        decided = Decided(type=name, at=at, rule=scaled.rule, state=before, seen=observation, decision=decision)
        carried_out = self._carry_out(decided)
        self._states[name] = state if carried_out else replace(state, changes=before.changes)
        self._due[name] = at + decision.next_in
        if seen.count == decision.count == 0 and decision.next_in < scaled.rule.every:
            self._asleep[name] = Asleep(seen, decision.next_in, at + scaled.rule.every)
        self._complain(name, readings)
        self._note(decided)

    def _is_overtaken(self, name: str, count: int) -> bool:
        """Whether someone else has changed the count since the poll: a reading may take seconds. Then the decision is made again
        from the new count.
        """
        try:
            return self._fleet.count_of(name) != count
        except NotRunningError:
            raise
        except ProcmanError:  # to scale meets the same fault, and reports it
            return False

    def _observed(
        self,
        scaled: ScaledType,
        everyone: Mapping[str, TypeSeen],
        name: str,
        readings: tuple[MetricReading, ...],
        controls: Controls,
    ) -> Observation:
        seen, control = everyone[name], controls.types.get(name, Control())
        replicas = tuple(Replica(name=i.name, state=i.state, ready_for=i.ready_for) for i in seen.instances)
        free = self._around.free_memory()
        return Observation(
            count=seen.count,
            replicas=replicas,
            readings=readings,
            window=scaled.window_at(self._around.wall()),
            asked=control.bounds,
            crash_loop=seen.crash_loop,
            free_memory=None if free is None else max(0, free - self._promised - _reserved(everyone.values())),
            instance_memory=_usual_size(seen),
            paused=control.paused,
        )

    def _carry_out(self, decided: Decided) -> bool:
        """Scale, and publish the decision. False if the count did not change although it should.

        Of several decisions in a row that change nothing for the same reason the first is published; the others are in
        the status.
        """
        decision = decided.decision
        before = self._status.get(decided.type)
        is_changed = before is None or before.decided.decision.because is not decision.because
        if self._dry:
            return not decision.changes
        done = not decision.changes or self._faults.attempt(
            f"scale {decided.type}", lambda: self._fleet.scale(decided.type, decision.count, decision.text)
        )
        if done and (decision.changes or is_changed):
            self._faults.attempt("events", lambda: self._fleet.publish(decided))
        if done and decision.count > decision.before:
            self._promised += (decision.count - decision.before) * (decided.seen.instance_memory or 0)
            if self._types[decided.type].samplers:
                self._unsettled.add(decided.type)
        return done

    def _complain(self, name: str, readings: tuple[MetricReading, ...]) -> None:
        """Report when a metric starts to fail, and when it works again."""
        for reading in readings:
            topic = f"{name}: {reading.metric}"
            self._faults.set(
                topic, f"cannot read {topic}: {reading.error}" if reading.error else "", f"{topic} can be read again"
            )

    def _note(self, decided: Decided) -> None:
        before = self._status.get(decided.type)
        at = self._around.wall().timestamp()
        proposals = [p.count for p in decided.decision.proposals]
        largest = None if None in proposals else max((p for p in proposals if p is not None), default=None)
        self._status[decided.type] = TypeStatus(
            at=at,
            ready=sum(replica.state is ReplicaState.READY for replica in decided.seen.replicas),
            decided=decided,
            history=remembered(before.history if before else (), Point(at, decided.decision.count, largest)),
        )


def _usual_size(seen: TypeSeen) -> int | None:
    """Bytes of memory that a ready instance of a type has on average; None if that is unknown."""
    sizes = [i.memory for i in seen.instances if i.memory and i.state is ReplicaState.READY]
    return sum(sizes) // len(sizes) if sizes else None


def _reserved(everyone: Iterable[TypeSeen]) -> int:
    """Bytes of memory that starting instances will still need: that much of the free memory is not available to others."""
    return sum(
        max(0, (_usual_size(seen) or 0) - (i.memory or 0))
        for seen in everyone
        for i in seen.instances
        if i.state is ReplicaState.STARTING
    )


def _is_new(instance: InstanceSeen, rule: ScalingRule) -> bool:
    match instance.state:
        case ReplicaState.READY:
            return instance.ready_for < rule.young
        case ReplicaState.STARTING:
            return True
        case ReplicaState.LEAVING | ReplicaState.RESTING:
            return False
        case _:
            assert_never(instance.state)
