"""What one instance is: its phase, what it is being cleared for, and its record. The moves are in instance.py."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from procman.core.actions import Action, Publish
from procman.core.events import ExitStatus
from procman.core.spec import MAX_COUNT, ProcessSpec, StopPolicy
from procman.core.view import Change, Kind


class Phase(Enum):
    """The values are what users see, but for `spawning`, which they see as starting."""

    DOWN = "stopped"
    SPAWNING = "spawning"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FAILED = "failed"
    DONE = "done"


class Cause(Enum):
    """What an instance in STOPPING is being cleared for, and so what follows."""

    ASKED = "asked"
    REPLACED = "replaced"
    CRASHED = "crashed"
    GAVE_UP = "gave up"
    ENDED = "ended"


class Stage(Enum):
    """How far a stop has gone."""

    POLITE = "polite"
    LAST_CALL = "last call"
    KILLED = "killed"
    UNKILLABLE = "unkillable"


class Instance(Struct, frozen=True, kw_only=True):
    """One slot. Times are monotonic seconds. `stop` is how the current life is stopped, `spec` how the next is started.

    `deadline` is when a backoff is over or a stop ends in KILL, `ended` when it last ended by itself. `failures` and
    `early` count deaths in a row (early: before ready), `restarts` the automatic ones since the slot was made.
    """

    name: str
    index: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    spec: ProcessSpec
    phase: Phase = Phase.DOWN
    wanted: bool = False
    generation: int = 0
    token: int = 0
    pid: int | None = None
    stop: StopPolicy = StopPolicy()
    cause: Cause | None = None
    stage: Stage | None = None
    exit: ExitStatus | None = None
    last_exit: ExitStatus | None = None
    since: float = 0.0
    born: float = 0.0
    ready_at: float | None = None
    ended: float = 0.0
    deadline: float = 0.0
    delay: float = 0.0
    failures: int = 0
    early: int = 0
    restarts: int = 0
    reason: str = ""

    @property
    def alive(self) -> bool:
        """The leader has been started and has not ended."""
        return self.pid is not None and self.exit is None

    @property
    def ended_for_good(self) -> bool:
        """It ended by itself and will not be started again, also while what it left is being cleared."""
        return self.phase in (Phase.DONE, Phase.FAILED) or self.cause in (Cause.ENDED, Cause.GAVE_UP)

    @property
    def shown(self) -> str:
        """The phase as users see it."""
        phase = Phase.STARTING if self.phase is Phase.SPAWNING else self.phase
        return str(phase.value)


Step = tuple[Instance, tuple[Action, ...]]

AT_REST = (Phase.DOWN, Phase.FAILED, Phase.DONE)
"""The phases in which nothing of the instance is left and nothing is on its way."""

ASKED_FOR = (Cause.ASKED, Cause.REPLACED)
"""The causes of a stop that somebody asked for."""


def told(i: Instance, kind: Kind, text: str, *, quiet: bool = False, retry_in: float | None = None) -> Publish:
    return Publish(
        Change(
            event=kind,
            text=text,
            instance=i.name,
            type=i.spec.type,
            phase=i.shown,
            pid=i.pid,
            exit=str(i.exit) if i.exit else None,
            retry_in=retry_in,
            quiet=quiet,
        )
    )
