"""Everything that procman decides: `handle(event, now) -> actions`, without any I/O.

Slots of a type are numbered from 1: scaling up takes the lowest free numbers, scaling down stops the highest. A slot
whose number is not wanted any more is leaving, and is removed with its last process; until then its number is not free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, assert_never

from procman.core import closing
from procman.core import events as saw
from procman.core.actions import Action, Finish
from procman.core.formation import Formation
from procman.core.phases import ENDING, Instance
from procman.core.snapshot import FleetState
from procman.core.spec import Plan
from procman.core.timers import (
    ClosingTimer,
    CrashLoopTimer,
    FallbackTimer,
    OrphansTimer,
    RecycleTimer,
    RolloutTimer,
    SlotTimer,
    WaitingLineTimer,
)
from procman.core.view import FleetView, Kind, Operation
from procman.later import later

if TYPE_CHECKING:
    from procman.core import execution, overview, replacing, why, wording
    from procman.core.fallback import Fallback
else:
    execution = later(__name__, "procman.core.execution")
    overview = later(__name__, "procman.core.overview")
    replacing = later(__name__, "procman.core.replacing")
    why = later(__name__, "procman.core.why")
    wording = later(__name__, "procman.core.wording")


class Fleet:
    """Every slot of the formation. Not thread-safe, never waits; `now` is monotonic seconds."""

    def __init__(self, plan: Plan, state: FleetState | None = None) -> None:
        """A formation that is to be started, or with a state one that continues after an upgrade."""
        self._formation = Formation(plan, state)

    def state(self) -> FleetState:
        """Everything it knows, between two events."""
        return self._formation.state()

    # ---- what others ask

    @property
    def plan(self) -> Plan:
        return self._formation.plan

    @property
    def counts(self) -> dict[str, int]:
        return self._formation.desired.counts

    @property
    def stopping(self) -> bool:
        return self._formation.stopping

    @property
    def ending(self) -> bool:
        """Whether an instance is being stopped."""
        return any(isinstance(i.phase, ENDING) for i in self._formation.slots.everyone())

    @property
    def stuck(self) -> list[int]:
        """Orphans that KILL did not remove."""
        return self._formation.orphans.stuck

    def instances(self) -> list[Instance]:
        """Every slot, in the Procfile's order, then by number."""
        return list(self._formation.slots)

    def get(self, name: str) -> Instance | None:
        return self._formation.slots.get(name)

    def operation(self, number: int) -> Operation | None:
        return self._formation.operations.get(number)

    def why(self, name: str, now: float) -> tuple[str, ...]:
        """Sentences about the state of an instance, what comes next and what can be done."""
        return why.explain(self._formation, name, now)

    def view(self, now: float) -> FleetView:
        return overview.of(self._formation, now)

    # ---- the one way in

    def handle(self, event: saw.Event, now: float) -> list[Action]:
        """What to do about an event."""
        if isinstance(event, saw.ProcessEvent) and not isinstance(event, saw.Adopted):
            self._step(event.name, event, now)
        else:
            self._happened(event, now)
        formation = self._formation
        formation.reconcile(now)
        formation.end_startup(now)
        if not formation.finished:
            self._settle(now)
        out, formation.out = formation.out, []
        return out

    def _step(self, name: str, event: saw.SlotEvent, now: float) -> None:
        i = self._formation.slots.get(name)
        if i is not None:
            self._formation.step(i, event, now)

    def _happened(self, event: saw.FormationEvent, now: float) -> None:
        match event:  # what is frequent comes first
            case saw.TimerFired():
                self._timer(event, now)
            case saw.Commanded():
                execution.execute(self._formation, event.command, event.request, now)
            case saw.FormationStarted():
                self._formation.start(now)
            case saw.Measured():
                replacing.recycle_large(self._formation, event, now)
            case saw.Adopted():
                self._formation.adopted(event, now)
            case saw.Orphaned():
                self._formation.out += self._formation.orphans.orphaned(event.pid, now)
            case saw.OrphanReaped():
                self._formation.orphans.reaped(event.pid)
            case saw.ShutdownAsked() | saw.KillAsked() | saw.InterruptAsked():
                self._asked_to_end(event, now)
            case saw.ScaleAsked():
                execution.scale_by_signal(self._formation, event.by, now)
            case _:
                assert_never(event)

    # ---- time

    def _timer(self, event: saw.TimerFired, now: float) -> None:
        match event.key:
            case SlotTimer(name):
                if not self._formation.takes_its_turn(name, event.token, now):
                    self._step(name, event, now)
            case WaitingLineTimer():
                self._formation.publish_waiting(event.token, now)
            case OrphansTimer():
                self._formation.out += self._formation.orphans.deadline(event.token, now)
            case CrashLoopTimer(type_name):
                self._formation.out += self._formation.crashes.deadline(type_name, event.token)
            case RecycleTimer(name):
                replacing.recycle_old(self._formation, name, event.token)
            case RolloutTimer(type_name):
                replacing.settled(self._formation, type_name, now)
            case ClosingTimer():
                formation = self._formation
                formation.desired, line = closing.ask_all(formation.desired, formation.slots, formation.plan, now)
                formation.out += line
            case FallbackTimer():
                pass  # slots that may change by then are moved after every event
            case _:
                assert_never(event.key)

    # ---- the end

    def _asked_to_end(self, event: saw.ShutdownAsked | saw.KillAsked | saw.InterruptAsked, now: float) -> None:
        match event:
            case saw.ShutdownAsked(why):
                self._formation.shut_down(0, why, now)
            case saw.InterruptAsked(terminal):
                if not self.stopping:
                    self._formation.shut_down(0, "procman got SIGINT", now)
                    if terminal and closing.living(self._formation.slots):
                        self._formation.publish(Kind.SHUTDOWN, wording.AGAIN_KILLS)
                else:
                    self._formation.kill(now)
            case saw.KillAsked():
                self._formation.kill(now)
            case _:
                assert_never(event)

    def _settle(self, now: float) -> None:
        """Find out whether this was the end: nothing is left after a shutdown, or nothing is left to supervise."""
        formation = self._formation
        if not formation.stopping:
            if not closing.all_ended(formation.slots) or closing.may_be_scaled_up(formation.desired, formation.plan):
                return
            formation.shut_down(closing.first_failure(formation.slots), "all instances have ended", now)
        if not formation.slots.settled or formation.orphans.left:
            return
        formation.finished = True
        since, code = (end.since, end.code) if (end := formation.desired.closing) is not None else (0.0, 0)
        line = wording.ended_line(closing.ended_last(formation.slots, since))
        if line:
            formation.publish(Kind.FINISHED, line)
        stuck = self.stuck or any(i.unkillable for i in formation.slots.everyone())
        formation.out.append(Finish(1 if stuck else code))


Decider: TypeAlias = "Fleet | Fallback"
"""What the kernel asks: the fleet, or the fallback once that has raised."""
