"""What one instance is: its phase, a value that has just what the phase needs, and its record. The moves are in instance.py."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, ClassVar, NamedTuple, TypeAlias, get_args

from msgspec import Meta, Struct
from msgspec.structs import replace

from procman.core.actions import Action, Spawn
from procman.core.events import ExitStatus
from procman.core.facts import Fact
from procman.core.requests import MAX_COUNT
from procman.core.spec import ProcessSpec, StopPolicy
from procman.core.view import Reason


class Leader(Struct, frozen=True):
    """The process that was started, and how it is stopped: by the settings that it was started with.

    `shell`: it is a shell, which passes no signal on to the program that it waits for. `probed`: the kernel probes it.
    """

    pid: int
    started_at: float
    stop: StopPolicy
    shell: bool = False
    probed: bool = False


class StopReason(Enum):
    """Why an instance is being stopped, which decides what follows."""

    ASKED = "asked"
    REPLACED = "replaced"
    NOT_READY = "not ready in time"
    UNHEALTHY = "unhealthy"
    REGROUPED = "restarted with its group"
    GROUP_FAILED = "failed with its group"


class StopStep(Enum):
    """How far a stop has gone."""

    TERM_SENT = "TERM sent"
    GROUP_TERM_SENT = "TERM sent to the group"
    KILL_SENT = "KILL sent"
    UNKILLABLE = "unkillable"


class AfterSpawn(Enum):
    """What follows once the process exists, as a spawn that has begun cannot be cancelled."""

    RUN = "run"
    REPLACE = "replace"
    KILL = "kill"
    REGROUP = "regroup"
    FAIL = "fail"


STOP_AFTER_SPAWN = {
    AfterSpawn.REPLACE: StopReason.REPLACED,
    AfterSpawn.REGROUP: StopReason.REGROUPED,
    AfterSpawn.FAIL: StopReason.GROUP_FAILED,
}
"""Why a process is stopped as soon as it exists."""


class AfterClearing(Enum):
    """What follows once nothing is left of a run that ended by itself."""

    BACKOFF = "backoff"
    FAILED = "failed"
    DONE = "done"
    RESPAWN = "respawn"


# ---- the phases; `shown` is the name that users see


class Down(Struct, frozen=True, tag=True):
    """Not running, until a person wants it to run."""

    shown: ClassVar[str] = "stopped"
    why: Reason | None = None


class Waiting(Struct, frozen=True, tag=True):
    """It is started once these types are as it needs them. `retry`: it ran before, and nobody asked to restart it."""

    shown: ClassVar[str] = "waiting"
    on: tuple[str, ...]
    retry: bool = False


class Spawning(Struct, frozen=True, tag=True):
    """The process is being made."""

    shown: ClassVar[str] = "starting"
    stop: StopPolicy
    then: AfterSpawn = AfterSpawn.RUN
    why: Reason | None = None


class Starting(Struct, frozen=True, tag=True):
    """The process exists and is not ready yet. `answer` is the readiness probe's last."""

    shown: ClassVar[str] = "starting"
    leader: Leader
    answer: str = ""


class Ready(Struct, frozen=True, tag=True):
    """`status` is what the program says of itself, by sd_notify(3)."""

    shown: ClassVar[str] = "ready"
    leader: Leader
    ready_at: float
    status: str = ""


class Unhealthy(Struct, frozen=True, tag=True):
    """It was ready, and its last health checks failed: out of rotation until one succeeds."""

    shown: ClassVar[str] = "unhealthy"
    leader: Leader
    ready_at: float
    failed_checks: int
    answer: str


class Draining(Struct, frozen=True, tag=True):
    """Out of rotation, it continues until `until` or until all holders have released it; then it is asked to end. If
    everything ends, KILL comes at `kill_by` at the latest.
    """

    shown: ClassVar[str] = "draining"
    leader: Leader
    reason: StopReason
    why: Reason
    until: float
    held_by: tuple[str, ...] = ()
    kill_by: float | None = None


class Stopping(Struct, frozen=True, tag=True):
    """It has been asked to end. `exit` is its leader's; with `kill_by` everything ends, and KILL comes by then."""

    shown: ClassVar[str] = "stopping"
    leader: Leader
    reason: StopReason
    why: Reason
    step: StopStep
    kill_at: float
    exit: ExitStatus | None = None
    kill_by: float | None = None


class Clearing(Struct, frozen=True, tag=True):
    """The leader ended by itself; what it left is being ended. Shown as what follows."""

    leader: Leader
    then: AfterClearing
    why: Reason
    step: StopStep
    kill_at: float
    delay: float = 0.0

    @property
    def shown(self) -> str:
        return Stopping.shown if self.then is AfterClearing.RESPAWN else self.then.value


class Backoff(Struct, frozen=True, tag=True):
    """It is started again at `until`, `delay` seconds after its last run was over."""

    shown: ClassVar[str] = "backoff"
    why: Reason
    until: float
    delay: float


class Failed(Struct, frozen=True, tag=True):
    """Ended by itself without success, and not to be started again."""

    shown: ClassVar[str] = "failed"
    why: Reason


class Done(Struct, frozen=True, tag=True):
    """Ended by itself with success, and not to be started again."""

    shown: ClassVar[str] = "done"
    why: Reason


Phase: TypeAlias = (
    Down | Waiting | Spawning | Starting | Ready | Unhealthy | Draining | Stopping | Clearing | Backoff | Failed | Done
)

PHASES: tuple[type[Phase], ...] = get_args(Phase)
AT_REST = (Down, Failed, Done)
"""The phases in which nothing of the instance is left and nothing is on its way."""

UP = (Starting, Ready, Unhealthy)
"""The phases in which the leader runs and has not been asked to end."""

ENDING = (Stopping, Clearing)
"""The phases in which the rest of a run is being ended."""

WITH_LEADER = (*UP, Draining, *ENDING)
ALIVE = (*UP, Draining)
ENDED_ITSELF = (Done, Failed)


class SlotRecord(Struct, frozen=True, kw_only=True):
    """What outlasts a run. `failures` and `early_exits` count ends in a row (early: before ready), `restarts` the
    automatic restarts since the slot was made; `ended_at` is when it last ended by itself, `died_at` without success, and
    `died_before` when it had died before that. `exit_asked`: the last exit followed a signal of procman's, and so says
    nothing about the program.
    """

    last_exit: ExitStatus | None = None
    exit_asked: bool = False
    failures: int = 0
    early_exits: int = 0
    restarts: int = 0
    ended_at: float = 0.0
    died_at: float | None = None
    died_before: float | None = None


NO_RECORD = SlotRecord()
"""The record of a new slot."""


class Instance(Struct, frozen=True, kw_only=True):
    """One slot. Times are monotonic seconds. `spec` is how its next run is started."""

    name: str
    index: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    spec: ProcessSpec
    phase: Phase = Down()
    phase_since: float = 0.0
    wanted: bool = False
    generation: int = 0
    token: int = 0
    record: SlotRecord = NO_RECORD

    @property
    def leader(self) -> Leader | None:
        """The process that was started, even if it has ended and something of it is left."""
        phase = self.phase
        return phase.leader if isinstance(phase, WITH_LEADER) else None

    @property
    def pid(self) -> int | None:
        leader = self.leader
        return leader.pid if leader is not None else None

    @property
    def alive(self) -> bool:
        """The leader has been started and has not ended."""
        phase = self.phase
        return isinstance(phase, ALIVE) or (isinstance(phase, Stopping) and phase.exit is None)

    @property
    def ended_for_good(self) -> bool:
        """It ended by itself and will not be started again, even while its remaining processes are still being ended."""
        phase = self.phase
        if isinstance(phase, Clearing):
            return phase.then in (AfterClearing.DONE, AfterClearing.FAILED)
        return isinstance(phase, ENDED_ITSELF)

    @property
    def unkillable(self) -> bool:
        phase = self.phase
        return isinstance(phase, ENDING) and phase.step is StopStep.UNKILLABLE


class Step(NamedTuple):
    """The instance after an event, the actions, and what the step means for others."""

    instance: Instance
    actions: tuple[Action, ...] = ()
    facts: tuple[Fact, ...] = ()


# ---- the ways from phase to phase


def enter(i: Instance, phase: Phase, now: float, **changes: int | bool) -> Instance:
    """Enter another phase, in which the deadline of the previous one does not apply."""
    return replace(i, phase=phase, phase_since=now, token=i.token + 1, **changes)


def noted(i: Instance, **changes: float | ExitStatus | None) -> Instance:
    return replace(i, record=replace(i.record, **changes))


def counted(i: Instance, now: float) -> Instance:
    """One more end in a row, or the first one if it was ready for long enough."""
    failures, early = i.record.failures, i.record.early_exits + 1
    if isinstance(i.phase, Ready | Unhealthy):
        early = 0
        if now - i.phase.ready_at >= i.spec.restart.reset_after:
            failures = 0
    return noted(i, ended_at=now, failures=failures + 1, early_exits=early)


def noted_death(i: Instance, now: float) -> Instance:
    """One more end without success."""
    return noted(i, died_at=now, died_before=i.record.died_at)


def afresh(i: Instance) -> Instance:
    """A person's command resets the counts of failures."""
    return i if i.record is NO_RECORD else noted(i, failures=0, early_exits=0, died_at=None, died_before=None)


def spawn(i: Instance, now: float) -> Step:
    i = enter(i, Spawning(i.spec.stop), now, wanted=True, generation=i.generation + 1)
    return Step(i, (Spawn(i.name, i.generation, i.spec, i.index),))
