"""The one read model: what ps, the log, the events stream and the dashboard show.

Values only, made by the fleet at a given moment. Every time in them is an age or a distance in seconds, so that they
mean the same on the other side of a socket.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Kind(Enum):
    """What a change is about, as `procman events` shows it. A client shows a word that was added later as it is."""

    STARTED = "started"
    READY = "ready"
    ENDED = "ended"
    BACKOFF = "backoff"
    START_FAILED = "start-failed"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"
    KILLED = "killed"
    UNKILLABLE = "unkillable"
    ADOPTED = "adopted"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    ROLLOUT = "rollout"
    ABORTED = "rollout-aborted"
    GROUP_RESTARTED = "group-restarted"
    GROUP_FAILED = "group-failed"
    ALL_READY = "all-ready"
    WAITING = "waiting"
    CRASH_LOOP = "crash-loop"
    RECOVERED = "recovered"
    COMMAND = "command"
    SCALED = "scaled"
    RELOADED = "reloaded"
    UPGRADED = "upgraded"
    SHUTDOWN = "shutdown"
    FINISHED = "finished"

    @classmethod
    def _missing_(cls, value: object) -> Kind | None:
        """A word of a newer procman, as a member that is not kept."""
        if not isinstance(value, str):
            return None
        member = object.__new__(cls)
        member._name_ = member._value_ = value
        return member


TROUBLE = (Kind.START_FAILED, Kind.FAILED, Kind.KILLED, Kind.UNKILLABLE, Kind.CRASH_LOOP, Kind.GROUP_FAILED)
"""Kinds of trouble, besides an end without success."""


class CountChange(Struct, frozen=True, rename={"before": "from", "after": "to"}):
    """The counts of a type before and after it was scaled."""

    before: int
    after: int


class PathStep(Struct, frozen=True):
    """A part of the time that a start took: what this type needed from the moment at which it could start."""

    type: str
    seconds: float


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that changed. `text` says it in words, as the log line does; `retry_in` is seconds until the next try.

    `generation` is the number of the instance's run, `ready` whether it is in rotation, `port` where; `counts` has the
    types that were scaled, `path` the types that determined how long a start took.
    """

    event: Kind
    text: str
    instance: str | None = None
    type: str | None = None
    phase: str | None = None
    pid: int | None = None
    exit: str | None = None
    retry_in: float | None = None
    generation: int | None = None
    ready: bool | None = None
    port: int | None = None
    counts: dict[str, CountChange] | None = None
    path: tuple[PathStep, ...] | None = None
    logged: bool = True
    """False: only `events` shows it, not the log."""
    quiet: bool = False
    """The opposite of `logged`: the first version's name for it, which its clients read (ADR 11)."""

    @property
    def trouble(self) -> bool:
        """Whether something went wrong, which is shown in red."""
        return self.event in TROUBLE or (self.event is Kind.ENDED and self.exit not in (None, "exit 0"))


class ReasonCode(Enum):
    """Why an instance is in its phase: programs compare it, people read the text."""

    STOPPED = "stopped"
    SCALED_DOWN = "scaled-down"
    RESTARTED = "restarted"
    RELOADED = "reloaded"
    REMOVED = "removed"
    SHUTDOWN = "shutdown"
    KILLED = "killed"
    ENDED = "ended"
    GAVE_UP = "gave-up"
    CANNOT_START = "cannot-start"
    WAITING = "waiting"
    NOT_READY = "not-ready"
    UNHEALTHY = "unhealthy"
    ROLLED_BACK = "rolled-back"
    RECYCLED = "recycled"
    GROUP_RESTARTED = "group-restarted"
    GROUP_FAILED = "group-failed"
    FOLLOWED = "followed"
    UNKILLABLE = "unkillable"
    SUPERSEDED = "superseded"
    ROLLED_OUT = "rolled-out"


class Reason(Struct, frozen=True):
    """A reason, for programs and for people."""

    code: ReasonCode
    text: str


class InstanceView(Struct, frozen=True, kw_only=True):
    """One row of `ps`. `uptime` (of the process) and `age` (of the phase) in seconds; `adopted` are pids.

    `reason_code` is the reason as a word for programs; later versions may add words. `ready`: it is in rotation, at `host` and `port`. `probe` is
    the last answer of its readiness or health probe. `role`: `regular`, `surge` (the extra instance of a rollout) or `leaving`.
    """

    name: str
    type: str
    phase: str
    pid: int | None
    generation: int
    reason: str | None
    port: int | None = None
    restarts: int = 0
    uptime: float | None = None
    age: float = 0.0
    last_exit: str | None = None
    crash_loop: bool = False
    adopted: tuple[int, ...] = ()
    reason_code: str | None = None
    host: str | None = None
    ready: bool = False
    probe: str | None = None
    role: str = "regular"


class TypeView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One type: how many instances are wanted, ready, and run from the spec in force; how many processes were started
    and exits by code since procman's start; whether it is in a crash loop; the progress of a rolling restart.
    `autoscaled`: its count follows demand.
    """

    type: str
    desired: int
    ready: int
    updated: int
    starts: int = 0
    exits: dict[int, int] = {}
    crash_loop: bool = False
    rollout: str | None = None
    autoscaled: bool = False


class OrphanView(Struct, frozen=True):
    """A process whose instance procman does not know; it runs until procman ends."""

    pid: int
    name: str


class FleetView(Struct, frozen=True, kw_only=True):
    """The whole formation: wanted counts by type, and every slot in the Procfile's order. `number` is that of the last
    event; `companions` are procman's own programs.
    """

    formation: dict[str, int]
    instances: tuple[InstanceView, ...]
    stopping: bool
    types: tuple[TypeView, ...] = ()
    number: int = 0
    companions: tuple[InstanceView, ...] = ()
    orphans: tuple[OrphanView, ...] = ()


class OperationState(Enum):
    """The state of an operation."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Operation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An operation: `what` was asked for, in words, and the instances that are still `left`; if it has failed, the
    `instance` because of which it did.
    """

    id: int
    what: str
    state: OperationState
    reason: Reason | None = None
    left: tuple[str, ...] = ()
    instance: str | None = None
