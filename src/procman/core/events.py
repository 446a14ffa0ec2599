"""What happened: every input of the core. Names are in the past tense; each event of an instance's process names it.

`generation` is the number of the process of that name, from 1; the core drops events of earlier ones. `jitter` is a
random fraction in [0, 1) that the kernel supplies, so that the core stays a function. Events from outside are tagged
with their name, so that a trace can be written and read back.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from procman.core.requests import Hold, Restart, Scale, SendSignal, Shutdown, Stop, Wait
from procman.core.spec import Plan, ProcessSpec
from procman.core.timers import TimerKey
from procman.core.view import Reason


class ExitStatus(Struct, frozen=True):
    """How a process ended. `code` is 0-255, for death by a signal 128 + its number; `signal` then is its name (`KILL`)."""

    code: int
    signal: str | None = None

    def __str__(self) -> str:
        return f"SIG{self.signal}" if self.signal else f"exit {self.code}"


# ---- what the kernel saw


class FormationStarted(Struct, frozen=True, tag=True):
    """Start the formation: the first event of a fleet, unless it continues after an upgrade."""


class ProcessEvent(Struct, frozen=True):
    """An event of the run that it names; an instance in another run drops it."""

    name: str
    generation: int


class Spawned(ProcessEvent, frozen=True, tag=True):
    """The process exists. `shell`: it is a shell, and not the program of the command itself."""

    pid: int
    shell: bool = False


class SpawnFailed(ProcessEvent, frozen=True, tag=True):
    """The process could not be made. `code`: 127 not found, 126 not executable, 1 the machine lacks a resource."""

    code: int
    why: str
    jitter: float = 0.0


class SpawnCancelled(ProcessEvent, frozen=True, tag=True):
    """A start that was still to come has been cancelled: there is no process."""


class Unreadable(ProcessEvent, frozen=True, tag=True):
    """The process exists, but its output cannot be read for lack of a resource: it would block at some time, unseen."""

    why: str


class Exited(ProcessEvent, frozen=True, tag=True):
    """The leader has ended (and is not reaped yet). `note` is a fact about the reason, such as which process holds its
    port; `daemon` the pid of a process that had left it before, 0 without one, which may be still `in_group`.
    """

    status: ExitStatus
    note: str = ""
    jitter: float = 0.0
    daemon: int = 0
    in_group: bool = False


class Emptied(ProcessEvent, frozen=True, tag=True):
    """The leader is reaped, its group is empty and nothing that was adopted from it is left."""


class Adopted(ProcessEvent, frozen=True, tag=True):
    """A process of this run lost its parent and became procman's own child. Reported once for each pid."""

    pid: int
    in_group: bool


class Released(ProcessEvent, frozen=True, tag=True):
    """A companion releases a stop that it held."""

    by: str


class Orphaned(Struct, frozen=True, tag=True):
    """A process that belongs to no instance became procman's child; it is left alone until procman ends."""

    pid: int


class OrphanReaped(Struct, frozen=True, tag=True):
    """A process that was orphaned, or adopted from an ended run, has ended."""

    pid: int


class Probed(ProcessEvent, frozen=True, tag=True):
    """An answer of the probe in force: whether it succeeded, and what was seen (`http /health answered 503`). A success
    with the same answer as before is not repeated.
    """

    ok: bool
    answer: str = ""


class Notified(ProcessEvent, frozen=True, tag=True):
    """What a program reports besides being ready (sd_notify(3)). `extend`: seconds that its start or stop may take from
    now on. `main_pid`: the process that it names as its main one.
    """

    status: str | None = None
    stopping: bool = False
    reloading: bool = False
    extend: float | None = None
    main_pid: int | None = None


class Reported(ProcessEvent, frozen=True, tag=True):
    """What a companion reports about its work: the fault, "" for none."""

    fault: str


class Measured(Struct, frozen=True, tag=True):
    """The memory of a run's whole tree, in bytes; only where a limit asks for it."""

    name: str
    generation: int
    memory: int


class TimerFired(Struct, frozen=True, tag=True):
    key: TimerKey
    token: int


# ---- what people asked; most of it is in `requests`


class Reload(Struct, frozen=True, tag=True):
    plan: Plan


Command: TypeAlias = Scale | Restart | Stop | SendSignal | Reload | Wait | Hold | Shutdown


class Commanded(Struct, frozen=True, tag=True):
    """A command; `request` is repeated in the answer (0: nothing waits for one)."""

    command: Command
    request: int = 0


class ShutdownAsked(Struct, frozen=True, tag=True):
    why: str


class KillAsked(Struct, frozen=True, tag=True):
    """End every grace."""


class InterruptAsked(Struct, frozen=True, tag=True):
    """Ctrl-C, or another INT: a stop, or KILL if everything is stopping already. `terminal`: procman has one."""

    terminal: bool


class ScaleAsked(Struct, frozen=True, tag=True):
    """TTIN or TTOU: this many more instances of the main type."""

    by: int


# ---- what the fleet asks of one instance (never from outside)


class StartWanted(Struct, frozen=True):
    """The instance is wanted (a new slot, or one that was leaving)."""


class WaitWanted(Struct, frozen=True):
    """The instance is wanted, and has to wait for these types."""

    on: tuple[str, ...]


class StopTerms(Struct, frozen=True):
    """Who holds a stop back and for how many seconds at most, and when KILL comes at the latest."""

    held_by: tuple[str, ...] = ()
    hold: float = 0.0
    kill_by: float | None = None


class StopWanted(Struct, frozen=True):
    """The instance is not wanted."""

    why: Reason
    terms: StopTerms = StopTerms()


class RestartWanted(Struct, frozen=True):
    """A new run is wanted, with this spec."""

    spec: ProcessSpec
    why: Reason
    terms: StopTerms = StopTerms()


class HaltWanted(Struct, frozen=True):
    """The instance stops with its group, and then waits for its turn, or is failed where the group has `failed`."""

    why: Reason
    terms: StopTerms = StopTerms()
    failed: bool = False


RunEvent: TypeAlias = (
    Spawned | SpawnFailed | SpawnCancelled | Unreadable | Exited | Emptied | Probed | Notified | Released | Reported
)
"""Events for the instance that they name, and for no other."""

SlotEvent: TypeAlias = (
    RunEvent | Adopted | TimerFired | StartWanted | WaitWanted | StopWanted | RestartWanted | HaltWanted | KillAsked
)
FormationEvent: TypeAlias = (
    FormationStarted
    | Adopted
    | Measured
    | Orphaned
    | OrphanReaped
    | TimerFired
    | Commanded
    | ShutdownAsked
    | KillAsked
    | InterruptAsked
    | ScaleAsked
)
"""Events for the formation, or for an instance that may not exist any more."""

Event: TypeAlias = RunEvent | FormationEvent
