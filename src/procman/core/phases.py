"""What one instance is: its phase, a value that has just what the phase needs, and its record. The moves are in instance.py."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, ClassVar, NamedTuple, TypeAlias

from msgspec import Meta, Struct

from procman.core.actions import Action
from procman.core.events import ExitStatus
from procman.core.facts import Fact
from procman.core.requests import MAX_COUNT
from procman.core.spec import ProcessSpec, StopPolicy
from procman.core.view import Reason


class Leader(Struct, frozen=True):
    """The process that was started, and how it is stopped: by the rules that it was started with.

    `shell`: it is a shell, which hands no signal on to the program that it waits for.
    """

    pid: int
    started_at: float
    stop: StopPolicy
    shell: bool = False


class StopReason(Enum):
    """What an instance is being stopped for, and so what follows."""

    ASKED = "asked"
    REPLACED = "replaced"


class StopStep(Enum):
    """How far a stop has gone."""

    TERM_SENT = "TERM sent"
    GROUP_TERM_SENT = "TERM sent to the group"
    KILL_SENT = "KILL sent"
    UNKILLABLE = "unkillable"


class AfterSpawn(Enum):
    """What follows once the process is there: the spawn itself cannot be taken back."""

    RUN = "run"
    REPLACE = "replace"
    KILL = "kill"


class AfterClearing(Enum):
    """What follows once nothing is left of a life that ended by itself."""

    BACKOFF = "backoff"
    FAILED = "failed"
    DONE = "done"
    RESPAWN = "respawn"


# ---- the phases; `shown` is the name that users see


class Down(Struct, frozen=True, tag=True):
    """Not running and not to be, until somebody wants it."""

    shown: ClassVar[str] = "stopped"
    why: Reason | None = None


class Spawning(Struct, frozen=True, tag=True):
    """The process is being made."""

    shown: ClassVar[str] = "starting"
    stop: StopPolicy
    then: AfterSpawn = AfterSpawn.RUN
    why: Reason | None = None


class Starting(Struct, frozen=True, tag=True):
    shown: ClassVar[str] = "starting"
    leader: Leader


class Ready(Struct, frozen=True, tag=True):
    shown: ClassVar[str] = "ready"
    leader: Leader
    ready_at: float


class Stopping(Struct, frozen=True, tag=True):
    """It has been asked to end. `exit` is the leader's, once that has ended."""

    shown: ClassVar[str] = "stopping"
    leader: Leader
    reason: StopReason
    why: Reason
    step: StopStep
    kill_at: float
    exit: ExitStatus | None = None


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
    """It is started again at `until`, `delay` seconds after its last life was over."""

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


Phase: TypeAlias = Down | Spawning | Starting | Ready | Stopping | Clearing | Backoff | Failed | Done

PHASES: tuple[type[Phase], ...] = (Down, Spawning, Starting, Ready, Stopping, Clearing, Backoff, Failed, Done)
AT_REST = (Down, Failed, Done)
"""The phases in which nothing of the instance is left and nothing is on its way."""

UP = (Starting, Ready)
"""The phases in which the leader lives and nobody has asked it to end."""

ENDING = (Stopping, Clearing)
"""The phases in which what is left of a life is on its way out."""

WITH_LEADER = (*UP, *ENDING)
ENDED_ITSELF = (Done, Failed)


class SlotRecord(Struct, frozen=True, kw_only=True):
    """What outlives a life. `failures` and `early_exits` count ends in a row (early: before ready), `restarts` the
    automatic ones since the slot was made; `ended_at` is when it last ended by itself, `died_at` without success.
    """

    last_exit: ExitStatus | None = None
    failures: int = 0
    early_exits: int = 0
    restarts: int = 0
    ended_at: float = 0.0
    died_at: float | None = None


class Instance(Struct, frozen=True, kw_only=True):
    """One slot. Times are monotonic seconds. `spec` is how its next life is started."""

    name: str
    index: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    spec: ProcessSpec
    phase: Phase = Down()
    phase_since: float = 0.0
    wanted: bool = False
    generation: int = 0
    token: int = 0
    record: SlotRecord = SlotRecord()

    @property
    def leader(self) -> Leader | None:
        """The process that was started, also where it has ended and something of it is left."""
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
        return isinstance(phase, UP) or (isinstance(phase, Stopping) and phase.exit is None)

    @property
    def ended_for_good(self) -> bool:
        """It ended by itself and will not be started again, also while what it left is being ended."""
        phase = self.phase
        if isinstance(phase, Clearing):
            return phase.then in (AfterClearing.DONE, AfterClearing.FAILED)
        return isinstance(phase, ENDED_ITSELF)

    @property
    def unkillable(self) -> bool:
        phase = self.phase
        return isinstance(phase, ENDING) and phase.step is StopStep.UNKILLABLE


class Step(NamedTuple):
    """The instance after an event, what to do, and what that means for others."""

    instance: Instance
    actions: tuple[Action, ...] = ()
    facts: tuple[Fact, ...] = ()
