"""What the core's tests start from: specs, plans, one instance in each phase, and actions without their wording."""

from __future__ import annotations

from msgspec.structs import replace

from procman.core.actions import Action, Finish, Publish, SetTimer, Signal, Spawn, Target
from procman.core.events import (
    Command,
    Commanded,
    Emptied,
    Event,
    Exited,
    ExitStatus,
    FormationStarted,
    Spawned,
    TimerFired,
)
from procman.core.fleet import Fleet
from procman.core.phases import (
    AfterClearing,
    Backoff,
    Clearing,
    Done,
    Down,
    Draining,
    Failed,
    Instance,
    Leader,
    Phase,
    Ready,
    SlotRecord,
    Spawning,
    Starting,
    Stopping,
    StopReason,
    StopStep,
    Unhealthy,
    Waiting,
)
from procman.core.readiness import READY_AFTER
from procman.core.spec import Plan, ProcessSpec, RestartPolicy, StopPolicy
from procman.core.timers import RolloutTimer, SlotTimer, TimerKey
from procman.core.view import Kind, Reason, ReasonCode

NOW = 1000.0
PID = 4242
FAILURE = ExitStatus(1)
SUCCESS = ExitStatus(0)
TERMINATED = ExitStatus(143, "TERM")


def spec_of(type_name: str = "web", *, restart: dict | None = None, stop: dict | None = None, **changes) -> ProcessSpec:
    base = ProcessSpec(type=type_name, command=f"serve {type_name}", cwd="/app", env={})
    policies = {"restart": RestartPolicy(**(restart or {})), "stop": StopPolicy(**(stop or {}))}
    return replace(base, **policies, **changes)


SPEC = spec_of()


def plan_of(counts: dict[str, int], *specs: ProcessSpec) -> Plan:
    """A plan with these counts; types without a spec get a plain one."""
    given = {spec.type: spec for spec in specs}
    types = {name: given.get(name) or spec_of(name) for name in counts}
    positions = {name: place for place, name in enumerate(types)}
    return Plan(root="/app", types=types, counts=counts, positions=positions)


CRASHED = Reason(ReasonCode.ENDED, "exit 1")
ASKED = Reason(ReasonCode.STOPPED, "stopped by procman stop")
LEADER = Leader(PID, NOW - 50.0, SPEC.stop)

USUAL: dict[type[Phase], tuple[Phase, SlotRecord]] = {
    Down: (Down(), SlotRecord(last_exit=TERMINATED)),
    Spawning: (Spawning(SPEC.stop), SlotRecord()),
    Starting: (Starting(replace(LEADER, started_at=NOW - 0.5)), SlotRecord()),
    Waiting: (Waiting(("redis",)), SlotRecord()),
    Ready: (Ready(LEADER, NOW - 49.0), SlotRecord()),
    Unhealthy: (Unhealthy(LEADER, NOW - 49.0, 1, "refused"), SlotRecord()),
    Draining: (Draining(LEADER, StopReason.ASKED, ASKED, NOW + 5.0, ("balancer",)), SlotRecord()),
    Stopping: (Stopping(LEADER, StopReason.ASKED, ASKED, StopStep.TERM_SENT, NOW + 9.0), SlotRecord()),
    Clearing: (
        Clearing(LEADER, AfterClearing.BACKOFF, CRASHED, StopStep.TERM_SENT, NOW + 9.0, 4.0),
        SlotRecord(last_exit=FAILURE, failures=2),
    ),
    Backoff: (Backoff(CRASHED, NOW, 1.0), SlotRecord(last_exit=FAILURE, failures=2)),
    Failed: (Failed(CRASHED), SlotRecord(last_exit=FAILURE, failures=2)),
    Done: (Done(CRASHED), SlotRecord(last_exit=SUCCESS)),
}


def instance_in(kind: type[Phase], **changes) -> Instance:
    """web.1 in its seventh run, as it stands in that phase. A change goes to the leader, the phase, the record or the slot."""
    phase, record = USUAL[kind]
    wanted = kind not in (Down, Draining, Stopping)
    base = Instance(name="web.1", index=1, spec=SPEC, generation=7, token=40, phase_since=NOW - 1.0, wanted=wanted)
    return changed(replace(base, phase=phase, record=record), **changes)


def changed(i: Instance, **changes) -> Instance:
    """The instance with these fields of its leader, its phase, its record or itself changed."""
    leader = {name: changes.pop(name) for name in Leader.__struct_fields__ if name in changes and i.leader}
    if leader:
        changes.setdefault("leader", replace(i.leader, **leader))
    of_phase = {name: changes.pop(name) for name in i.phase.__struct_fields__ if name in changes}
    of_record = {name: changes.pop(name) for name in i.record.__struct_fields__ if name in changes}
    phase = changes.pop("phase", replace(i.phase, **of_phase))
    return replace(i, phase=phase, record=replace(i.record, **of_record), **changes)


def essence(actions) -> tuple[Action | Kind, ...]:
    """The actions, of what is told only the kind: wording is no behaviour."""
    return tuple(a.change.event if isinstance(a, Publish) else a for a in actions)


def of_type(actions, kind: type) -> list:
    return [a for a in actions if isinstance(a, kind)]


def told(actions, kind: Kind) -> list[str]:
    """The texts of the changes of that kind."""
    return [a.change.text for a in actions if isinstance(a, Publish) and a.change.event is kind]


def spawned_names(actions) -> list[str]:
    return [a.name for a in of_type(actions, Spawn)]


def both(signal: str, target: Target, generation: int = 7, name: str = "web.1") -> tuple[Signal, Signal]:
    """The stop signal, and CONT so that it can be acted on."""
    return Signal(name, generation, signal, target), Signal(name, generation, "CONT", target)


class Story:
    """A fleet and a clock: the shortest way to say what happened to an instance, run by run."""

    def __init__(self, plan: Plan, *, now: float = NOW) -> None:
        self.fleet = Fleet(plan)
        self.now = now
        self.pids = iter(range(100, 1_000_000))
        self.seen: list[Action] = []
        self.begins()

    def begins(self) -> None:
        self.happens(FormationStarted())

    def _note(self, actions: list[Action]) -> list[Action]:
        self.seen += actions
        return actions

    def happens(self, event: Event, after: float = 0.0) -> list[Action]:
        self.now += after
        return self._note(self.fleet.handle(event, self.now))

    def instance(self, name: str) -> Instance:
        found = self.fleet.get(name)
        assert found is not None, f"{name} is no slot"
        return found

    def phase(self, name: str) -> type[Phase]:
        return type(self.instance(name).phase)

    def spawned(self, *names: str) -> None:
        for name in names:
            self.happens(Spawned(name, self.instance(name).generation, next(self.pids)))

    def ready(self, *names: str) -> None:
        """Spawned, and a second old."""
        self.spawned(*names)
        self.now += READY_AFTER
        for name in names:
            self.timer(name)

    def timer(self, name: str) -> list[Action]:
        return self.happens(TimerFired(SlotTimer(name), self.instance(name).token))

    def fleet_timer(self, key: TimerKey) -> list[Action]:
        """The newest deadline of that key comes, at its time."""
        due = [a for a in self.seen if isinstance(a, SetTimer) and a.key == key][-1]
        self.now = max(self.now, due.at)
        return self.happens(TimerFired(key, due.token))

    def exited(self, name: str, code: int = 1, signal: str | None = None) -> list[Action]:
        return self.happens(Exited(name, self.instance(name).generation, ExitStatus(code, signal)))

    def emptied(self, name: str) -> list[Action]:
        return self.happens(Emptied(name, self.instance(name).generation))

    def ends(self, name: str, code: int = 1, signal: str | None = None) -> list[Action]:
        """The leader ends and leaves nothing behind."""
        return [*self.exited(name, code, signal), *self.emptied(name)]


def finish_codes(actions) -> list[int]:
    return [action.code for action in of_type(actions, Finish)]


def running(counts: dict[str, int], *specs: ProcessSpec) -> Story:
    """A formation whose instances are all ready."""
    story = Story(plan_of(counts, *specs))
    story.ready(*(i.name for i in story.fleet.instances()))
    return story


def ask(story: Story, command: Command) -> list[Action]:
    return story.happens(Commanded(command, 5))


def asked_to_end(actions) -> list[str]:
    """Who gets the stop signal."""
    return [s.name for s in of_type(actions, Signal) if s.signal == "TERM"]


def settles(story: Story) -> list[Action]:
    """The batch of a rollout has stayed ready for long enough."""
    return story.fleet_timer(RolloutTimer("web"))


def rollout(story: Story) -> str | None:
    return story.fleet.view(story.now).types[0].rollout


def names(story: Story) -> list[str]:
    return [i.name for i in story.fleet.instances()]
