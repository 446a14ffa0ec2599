"""What to do: every output of the core. The kernel performs each in one flat match and decides nothing."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from procman.core.spec import ProcessSpec
from procman.core.timers import TimerKey
from procman.core.view import Change, Operation
from procman.later import later

if TYPE_CHECKING:
    from procman.core import policies
else:
    policies = later(__name__, "procman.core.policies")


class Target(Enum):
    """Which processes of an instance get a signal.

    * `TOP`: the leader, and what was adopted from it: members of its group that are already procman's own children. The
      others of the group follow when they are adopted. (Where the system has no subreaper: the whole group.)
    * `LEADER`: the leader alone.
    * `GROUP`: the whole group at once.
    * `ADOPTED`: what left the group and was adopted.
    * `ALL`: the group and what was adopted.
    """

    TOP = "top"
    LEADER = "leader"
    GROUP = "group"
    ADOPTED = "adopted"
    ALL = "all"


class Spawn(Struct, frozen=True):
    """Start run `generation` of number `index` of its type. Answered by Spawned or SpawnFailed."""

    name: str
    generation: int
    spec: ProcessSpec
    index: int


class CancelSpawn(Struct, frozen=True):
    """Cancel the start of this run. Answered by SpawnCancelled if it has not begun, else like the Spawn."""

    name: str
    generation: int


class Signal(Struct, frozen=True):
    """Send `signal` (a name without SIG) to some processes of an instance."""

    name: str
    generation: int
    signal: str
    target: Target


class SignalProcess(Struct, frozen=True):
    """Send `signal` to one adopted or orphaned process."""

    pid: int
    signal: str


class ShareDaemon(Struct, frozen=True):
    """An adopted daemon serves its whole type from now on: the instance that it came from can end without it."""

    name: str
    pid: int


class ReclaimDaemons(Struct, frozen=True):
    """The daemons that serve the type belong to this run, the last one of the type, and get `signal`."""

    name: str
    generation: int
    signal: str


class StartProbe(Struct, frozen=True):
    """Probe this run until StopProbe, its end, or another StartProbe for it; answered by Probed. `timeout` is how long
    to wait for its readiness, with `health` how long for one answer. Seconds.
    """

    name: str
    generation: int
    probe: policies.Probe
    timeout: float
    interval: float
    health: bool = False


class StopProbe(Struct, frozen=True):
    """Stop probing this run."""

    name: str
    generation: int


class RunHelper(Struct, frozen=True):
    """Run a command in this run's environment and folder, for at most this many seconds."""

    name: str
    generation: int
    command: str
    seconds: float


class OpenSockets(Struct, frozen=True):
    """Listen on these for a type. They stay open over all runs of its instances, until CloseSockets."""

    type: str
    sockets: tuple[policies.ListenSocket, ...]


class CloseSockets(Struct, frozen=True):
    """Pass these sockets to no further instance."""

    type: str
    sockets: tuple[policies.ListenSocket, ...]


class SetTimer(Struct, frozen=True):
    """Post TimerFired(key, token) at `at` (monotonic seconds). Never cancelled: a stale token is dropped."""

    key: TimerKey
    token: int
    at: float


class Remove(Struct, frozen=True):
    """The slot has been removed: forget its output."""

    name: str


class KeepCounts(Struct, frozen=True):
    """Write the counts that were set at run time, for the procman after this one."""

    counts: dict[str, int]


class Publish(Struct, frozen=True):
    change: Change


class Reply(Struct, frozen=True):
    """The answer to a command that was granted: the instances it affects, the formation it leads to, and the number of
    the operation that it started (0: none, as nothing changes).
    """

    request: int
    instances: tuple[str, ...]
    formation: dict[str, int]
    operation: int = 0


class Refuse(Struct, frozen=True):
    request: int
    message: str
    hint: str = ""


class OperationEnded(Struct, frozen=True):
    """What was asked for is reached, cannot be reached any more, or has been superseded."""

    operation: Operation


class Finish(Struct, frozen=True):
    """Nothing is left to supervise: end with this exit code."""

    code: int


Action: TypeAlias = (
    Spawn
    | CancelSpawn
    | Signal
    | SignalProcess
    | ShareDaemon
    | ReclaimDaemons
    | StartProbe
    | StopProbe
    | RunHelper
    | OpenSockets
    | CloseSockets
    | SetTimer
    | Remove
    | KeepCounts
    | Publish
    | Reply
    | Refuse
    | OperationEnded
    | Finish
)
