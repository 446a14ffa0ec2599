"""What decides when the fleet has raised: nothing is started any more, what runs is kept, and a stop is still orderly.

It is told and answers as the fleet (`handle(event, now) -> actions`), and shares no code with it, since that is what has
failed. It knows nothing but the lives that the kernel had in its table at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec import Struct

from procman.core.actions import (
    Action,
    Finish,
    ReclaimDaemons,
    Publish,
    Refuse,
    Reply,
    SetTimer,
    Signal,
    SignalProcess,
    Target,
)
from procman.core.events import (
    Adopted,
    FormationStarted,
    Command,
    Commanded,
    Emptied,
    Event,
    Exited,
    KillAsked,
    Orphaned,
    OrphanReaped,
    Shutdown,
    ShutdownAsked,
    Spawned,
    SpawnFailed,
    TimerFired,
)
from procman.core.spec import Plan, ProcessSpec, StopMode, is_companion
from procman.core.state import Instance, Phase
from procman.core.view import Change, FleetView, InstanceView, Kind, duration

KEY = "last:"
"""Begins the key of a life's timer: no timer of the fleet's is taken for it."""

CALLED, KILLED, GIVEN_UP = 1, 2, 3
"""Tokens of the timer: what is done when it fires."""

NOTICE = 2.0
"""Seconds before KILL at which the whole group gets the signal; half of a grace that is under four."""

GIVE_UP_AFTER = 5.0
"""Seconds after KILL."""

FIRST = {StopMode.TOP_DOWN: Target.TOP, StopMode.GROUP: Target.ALL, StopMode.LEADER: Target.LEADER}
"""Who gets the stop signal first."""

REASON = "procman is at fault: nothing is started or restarted any more"


class Survivor(Struct, frozen=True):
    """A life as it was when the fleet raised."""

    name: str
    generation: int
    pid: int
    spec: ProcessSpec


class Fallback:
    """Keeps what runs until it is to stop, then stops it: the stop signal, a last call, KILL, each in its time."""

    def __init__(self, plan: Plan, counts: dict[str, int], left: Iterable[Survivor]) -> None:
        self.plan = plan
        self.counts = dict(counts)
        self.stopping = False
        self.stuck: list[int] = []
        self._left = {life.name: life for life in left}
        self._ended: set[str] = set()  # whose leader has ended; something of it may be there
        self._killed: set[str] = set()
        self._finished = False

    # ---- what the kernel asks, as of the fleet

    def start(self, now: float, *, stop: bool) -> list[Action]:
        """To be called once, with whether everything is to end at once."""
        return [*(self._stop(now) if stop else ()), *self._settle()]

    def get(self, _name: str) -> Instance | None:
        return None

    def any_in(self, phase: Phase) -> bool:
        return phase is Phase.STOPPING and self.stopping

    def view(self, _now: float) -> FleetView:
        phase = Phase.STOPPING if self.stopping else Phase.READY
        rows = [
            InstanceView(
                name=life.name,
                type=life.spec.type,
                phase=str(phase.value),
                pid=life.pid,
                port=life.spec.port_of(int(life.name.rpartition(".")[2])),
                restarts=0,
                generation=life.generation,
                uptime=None,
                age=0.0,
                reason=REASON,
                last_exit=None,
                crash_loop=False,
            )
            for life in self._left.values()
            if not is_companion(life.spec.type)
        ]
        return FleetView(formation=dict(self.counts), instances=tuple(rows), stopping=self.stopping)

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do about an event."""
        match event:
            case Exited():
                actions = self._exited(event)
            case Emptied():
                self._left.pop(event.name, None)
                actions = []
            case Adopted():
                actions = self._adopted(event)
            case TimerFired():
                actions = self._timer(event, now)
            case ShutdownAsked():
                actions = self._stop(now)
            case KillAsked():
                actions = [*self._stop(now), *(a for life in self._left.values() for a in self._kill(life, now))]
            case Commanded():
                actions = self._command(event.command, event.request, now)
            case FormationStarted() | Spawned() | SpawnFailed() | Orphaned() | OrphanReaped():
                actions = []  # nothing is started; the kernel itself ends orphans at the end
            case _:
                assert_never(event)
        return [*actions, *self._settle()]

    # ---- one life

    def _exited(self, event: Exited) -> list[Action]:
        life = self._left.get(event.name)
        if life is None:
            return []
        self._ended.add(life.name)
        actions: list[Action] = []
        if self.stopping:
            actions.append(_told(Kind.ENDED, f"{life.name} ended: {event.status}"))
        else:
            actions.append(_told(Kind.ENDED, f"{life.name} ended: {event.status}; {REASON}"))
            actions.append(Signal(life.name, life.generation, "KILL", Target.ALL))
        if all(other.name in self._ended for other in self._left.values() if other.spec.type == life.spec.type):
            actions.append(ReclaimDaemons(life.name, life.generation, life.spec.stop.signal))
        return actions

    def _adopted(self, event: Adopted) -> list[Action]:
        life = self._left.get(event.name)
        if life is None or event.name in self._killed:
            return [SignalProcess(event.pid, "KILL")]
        if self.stopping or event.name in self._ended:
            return [SignalProcess(event.pid, life.spec.stop.signal), SignalProcess(event.pid, "CONT")]
        return []

    def _timer(self, event: TimerFired, now: float) -> list[Action]:
        life = self._left.get(event.key.removeprefix(KEY))
        if life is None or not event.key.startswith(KEY):
            return []
        if event.token == CALLED:
            return [*_both(life, Target.ALL), SetTimer(event.key, KILLED, now + _notice(life))]
        if event.token == KILLED:
            text = f"{life.name} did not stop in {duration(life.spec.stop.grace)}: killed"
            return [_told(Kind.KILLED, text), *self._kill(life, now)]
        del self._left[life.name]
        return [_told(Kind.UNKILLABLE, f"{life.name} (pid {life.pid}) is unkillable: still there after KILL")]

    def _kill(self, life: Survivor, now: float) -> list[Action]:
        self._killed.add(life.name)
        kill = Signal(life.name, life.generation, "KILL", Target.ALL)
        return [kill, SetTimer(KEY + life.name, GIVEN_UP, now + GIVE_UP_AFTER)]

    # ---- all of them

    def _stop(self, now: float) -> list[Action]:
        if self.stopping:
            return []
        self.stopping = True
        plural = "" if len(self._left) == 1 else "s"
        actions: list[Action] = [_told(Kind.SHUTDOWN, f"stopping {len(self._left)} instance{plural}")]
        for life in self._left.values():
            actions += _both(life, FIRST[life.spec.stop.mode])
            actions.append(SetTimer(KEY + life.name, CALLED, now + life.spec.stop.grace - _notice(life)))
        return actions

    def _command(self, command: Command, request: int, now: float) -> list[Action]:
        if not isinstance(command, Shutdown):
            hint = "`procman shutdown` stops what runs, and `procman start` begins anew"
            return [Refuse(request, f"cannot do that: {REASON}", hint)]
        names = tuple(self._left)
        return [*self._stop(now), Reply(request, names, dict(self.counts))]

    def _settle(self) -> list[Action]:
        if self._left or self._finished:
            return []
        self._finished = True
        return [Finish(1)]


def _notice(life: Survivor) -> float:
    """Seconds from the last call to KILL."""
    return min(NOTICE, life.spec.stop.grace / 2)


def _both(life: Survivor, target: Target) -> list[Action]:
    """The stop signal, and CONT so that it can be acted on."""
    return [Signal(life.name, life.generation, signal, target) for signal in (life.spec.stop.signal, "CONT")]


def _told(kind: Kind, text: str) -> Publish:
    return Publish(Change(event=kind, text=text))
