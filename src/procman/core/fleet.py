"""Everything that procman decides: `handle(event, now) -> actions`, without any I/O.

Slots of a type are numbered from 1: scaling up takes the lowest free numbers, scaling down takes away the highest. A slot whose
number is not wanted any more is on its way out and gone once its processes are; until then its number is not free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from procman.core import closing
from procman.core import events as saw
from procman.core.actions import Action, Finish, OpenSockets, Publish, Refuse, Reply
from procman.core.formation import Formation
from procman.core.operations import Need, Want, needs_of_counts
from procman.core.phases import AT_REST, ENDING, Instance
from procman.core.snapshot import FleetState, StartupState
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
from procman.core.view import FleetView, Kind, Operation, OperationState
from procman.later import later

if TYPE_CHECKING:
    from procman.core import commands, replacing, startup, wording
else:
    commands = later(__name__, "procman.core.commands")
    replacing = later(__name__, "procman.core.replacing")
    startup = later(__name__, "procman.core.startup")
    wording = later(__name__, "procman.core.wording")


class Fleet:
    """Every slot of the formation. Not thread-safe, never waits; `now` is monotonic seconds."""

    def __init__(self, plan: Plan, state: FleetState | None = None) -> None:
        """A formation that is yet to be started, or with a state one that goes on where another one was."""
        self._formation = Formation(plan, state)
        self._finished = state is not None and state.finished

    def state(self) -> FleetState:
        """Everything it knows, between two events."""
        return self._formation.state(finished=self._finished)

    # ---- what others ask

    @property
    def plan(self) -> Plan:
        return self._formation.plan

    @property
    def counts(self) -> dict[str, int]:
        return self._formation.desired.counts

    @property
    def stopping(self) -> bool:
        return self._formation.desired.closing is not None

    @property
    def ending(self) -> bool:
        """Whether an instance is on its way out."""
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
        """Sentences about how an instance is, what comes next and what can be done."""
        from procman.core.why import explain  # noqa: PLC0415  only asked for by a person

        return explain(self._formation, name, now)

    def crash_loop(self, type_name: str) -> bool:
        return self._formation.crashes.looping(type_name)

    def view(self, now: float) -> FleetView:
        formation = self._formation
        rows = [formation.row(i, now) for i in formation.slots]
        return FleetView(
            formation=dict(self.counts),
            instances=tuple(rows),
            stopping=self.stopping,
            types=tuple(formation.type_view(spec) for spec in self.plan.types.values()),
            companions=tuple(formation.row(i, now) for i in formation.slots.companions()),
        )

    # ---- the one way in

    def handle(self, event: saw.Event, now: float) -> list[Action]:
        """What to do about an event."""
        match event:
            case saw.FormationStarted():
                self._begin(now)
            case (
                saw.Spawned()
                | saw.SpawnFailed()
                | saw.Exited()
                | saw.Emptied()
                | saw.Probed()
                | saw.Notified()
                | saw.Released()
                | saw.Reported()
            ):
                i = self.get(event.name)
                if i is not None:
                    self._formation.step(i, event, now)
            case saw.Measured():
                replacing.recycle_large(self._formation, event)
            case saw.Adopted():
                self._formation.adopted(event, now)
            case saw.Orphaned():
                self._formation.out += self._formation.orphans.orphaned(event.pid, now)
            case saw.OrphanReaped():
                self._formation.orphans.reaped(event.pid)
            case saw.TimerFired():
                self._timer(event, now)
            case saw.Commanded():
                self._command(event.command, event.request, now)
            case saw.ShutdownAsked() | saw.KillAsked() | saw.InterruptAsked():
                self._asked_to_end(event, now)
            case saw.ScaleAsked():
                self._scale_asked(event.by, now)
            case _:
                assert_never(event)
        self._formation.reconcile(now)
        self._formation.go_on(now)
        self._end_startup(now)
        self._settle(now)
        out, self._formation.out = self._formation.out, []
        return out

    def _begin(self, now: float) -> None:
        sockets = [OpenSockets(t, spec.sockets) for t, spec in self.plan.types.items() if spec.sockets]
        self._formation.out += sockets
        needs = needs_of_counts(self._formation.desired, self.counts, (), self.plan)
        number = self._formation.begin("start", needs)
        if any(spec.ready or spec.depends_on or spec.oneshot for spec in self.plan.types.values()):
            self._formation.startup = StartupState(number, now)
        self._formation.move_on(number, needs, now)

    def _end_startup(self, now: float) -> None:
        """Once everything is ready, say how long that has taken and because of whom."""
        formation = self._formation
        if formation.startup is None:
            return
        start = formation.operations.get(formation.startup.operation)
        if start is not None and start.state is OperationState.RUNNING:
            return
        if start is not None and start.state is OperationState.DONE:
            path = startup.critical_path(formation.startup, formation.plan, self.counts)
            formation.out.append(wording.all_ready(path, now - formation.startup.began_at))
        formation.startup = None

    # ---- time

    def _timer(self, event: saw.TimerFired, now: float) -> None:
        match event.key:
            case SlotTimer(name):
                i = self.get(name)
                if i is not None:
                    self._formation.step(i, event, now)
            case WaitingLineTimer():
                self._formation.publish_waiting(event.token, now)
            case OrphansTimer():
                self._formation.out += self._formation.orphans.deadline(event.token, now)
            case CrashLoopTimer(type_name):
                self._formation.out += self._formation.crashes.deadline(type_name, event.token)
            case RecycleTimer(name):
                replacing.recycle_old(self._formation, name, event.token)
            case RolloutTimer() | ClosingTimer() | FallbackTimer():
                pass  # what may move by then is moved after every event
            case _:
                assert_never(event.key)

    # ---- commands

    def _command(self, command: saw.Command, request: int, now: float) -> None:
        formation = self._formation
        match command:
            case saw.Shutdown():
                names = tuple(i.name for i in formation.slots if not isinstance(i.phase, AT_REST))
                number = formation.begin("procman shutdown", dict.fromkeys(names, Need(Want.DOWN)))
                formation.out.append(Reply(request, names, dict(self.counts), number))
                formation.shut_down(0, "procman shutdown", now)
                formation.move_on(number, dict.fromkeys(names), now)
            case _ if self.stopping:
                formation.out.append(Refuse(request, wording.STOPPING))
            case saw.Reload(plan):
                self._carry_out(formation.reload(plan), request, now)
            case _:
                decision = commands.decide(command, formation.world)
                if isinstance(decision, commands.Granted):
                    self._carry_out(decision, request, now)
                else:
                    formation.out.append(Refuse(request, *decision))

    def _carry_out(self, granted: commands.Granted, request: int, now: float) -> None:
        """Change what is desired, move what may move, answer."""
        formation = self._formation
        formation.desired = formation.roll(granted.desired, formation.plan)
        if granted.holds is not None:
            formation.hold(granted.holds)
        formation.out += granted.actions
        if granted.change is not None:
            formation.out.append(Publish(granted.change))
        number = formation.begin(granted.what, granted.needs) if granted.what else 0
        if request:
            formation.out.append(Reply(request, tuple(granted.touched), dict(self.counts), number))
        formation.move_on(number, granted.needs, now)
        if granted.touched:
            formation.watch_stop(now)

    def _scale_asked(self, by: int, now: float) -> None:
        """By a signal, which names no type."""
        stopped = (wording.STOPPING, "") if self.stopping else None
        decision = stopped or commands.scale_by_signal(by, self._formation.world)
        if isinstance(decision, commands.Granted):
            self._carry_out(decision, 0, now)
        else:
            self._formation.publish(Kind.COMMAND, wording.by_signal(decision[0]))

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
        """Whether this was the end: nothing is left after a shutdown, or there is nothing left to supervise."""
        formation = self._formation
        if self._finished:
            return
        if not self.stopping:
            if not closing.all_ended(formation.slots):
                return
            formation.shut_down(closing.first_failure(formation.slots), "all instances have ended", now)
        if formation.orphans.left or not formation.slots.settled:
            return
        self._finished = True
        line = wording.ended_line(self.instances())
        if line:
            formation.publish(Kind.FINISHED, line)
        stuck = self.stuck or any(i.unkillable for i in formation.slots.everyone())
        code = formation.desired.closing.code if formation.desired.closing is not None else 0
        formation.out.append(Finish(1 if stuck else code))
