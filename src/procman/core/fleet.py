"""The formation: counts, names, commands, shutdown and reload. `handle(event, now) -> actions`, without any I/O.

The fleet owns the slots and decides everything that concerns more than one of them; what concerns one is decided in
`instance.step`. Slots of a type are numbered 1..N without gaps: scaling up fills in at the end, scaling down takes
away the highest; a slot beyond the count is on its way out and gone once its processes are.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from procman.core import select
from procman.core import reload as reloading
from procman.core.actions import Action, Finish, ReclaimDaemons, Publish, Refuse, Remove, Reply, SetTimer, Signal, Target
from procman.core.crashes import KEY as CRASH
from procman.core.crashes import Crashes
from procman.core.events import (
    Adopted,
    FormationStarted,
    Command,
    Commanded,
    Emptied,
    Event,
    Exited,
    KillAsked,
    StopWanted,
    Orphaned,
    OrphanReaped,
    StartWanted,
    Reload,
    RestartWanted,
    Restart,
    Scale,
    SendSignal,
    Shutdown,
    ShutdownAsked,
    SlotEvent,
    Spawned,
    SpawnFailed,
    Stop,
    TimerFired,
)
from procman.core.instance import step
from procman.core.slots import Slots, SlotsState
from procman.core.snapshot import FleetState
from procman.core.spec import DEFAULT_GRACE, OnEnd, Plan, ProcessSpec, StopPolicy, refuse_count
from procman.core.state import AT_REST, Cause, Instance, Phase, Stage
from procman.core.orphans import KEY as STRAYS
from procman.core.orphans import Orphans
from procman.core.wording import ended_line, view_of, waiting_line
from procman.core.view import Change, FleetView, Kind

WAITING_AFTER = 2.0
"""Seconds into a stop at which one line names who is still waited for."""

WAITING = "waiting"
"""Key of that line's timer. Orphans and crashes have their own; an instance's key has a dot and a number."""


class Fleet:
    """Every slot of the formation. Not thread-safe, never waits; `now` is monotonic seconds."""

    def __init__(self, plan: Plan, state: FleetState | None = None) -> None:
        """A formation that is yet to be started, or with a state one that goes on where another one was."""
        state = state or FleetState(plan=plan, counts=plan.counts, slots=SlotsState(tuple(plan.types)))
        self.plan = state.plan
        self.counts = dict(state.counts)
        self.exit_code = state.exit_code  # not None from the moment on that everything is to end
        self._slots = Slots(state.slots)
        self._scaled = set(state.scaled)  # types whose count was set at run time
        self._crashes = Crashes(state.crashes)
        self._strays = Orphans(state.strays)
        self._waiting_token = state.waiting_token
        self._finished = state.finished
        self._out: list[Action] = []

    def state(self) -> FleetState:
        """Everything it knows, between two events."""
        return FleetState(
            plan=self.plan,
            counts=dict(self.counts),
            slots=self._slots.state(),
            exit_code=self.exit_code,
            finished=self._finished,
            scaled=tuple(sorted(self._scaled)),
            crashes=self._crashes.state(),
            strays=self._strays.state(),
            waiting_token=self._waiting_token,
        )

    # ---- what others ask

    @property
    def stopping(self) -> bool:
        return self.exit_code is not None

    def instances(self) -> list[Instance]:
        """Every slot, in the Procfile's order, then by number."""
        return list(self._slots)

    def get(self, name: str) -> Instance | None:
        return self._slots.get(name)

    def crash_loop(self, type_name: str) -> bool:
        return self._crashes.looping(type_name)

    def view(self, now: float) -> FleetView:
        rows = [view_of(i, now, crash_loop=self.crash_loop(i.spec.type)) for i in self.instances()]
        return FleetView(formation=dict(self.counts), instances=tuple(rows), stopping=self.stopping)

    def any_in(self, phase: Phase) -> bool:
        return any(i.phase is phase for i in self._slots.everyone())

    @property
    def stuck(self) -> list[int]:
        """Strays that KILL did not remove."""
        return self._strays.stuck

    # ---- the one way in

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do about an event."""
        match event:
            case FormationStarted():
                self._begin(now)
            case Spawned() | SpawnFailed() | Exited() | Emptied():
                self._lived(event, now)
            case Adopted():
                self._adopted(event, now)
            case Orphaned():
                self._out += self._strays.orphaned(event.pid, now)
            case OrphanReaped():
                self._strays.reaped(event.pid)
            case TimerFired():
                self._timer(event, now)
            case Commanded():
                self._command(event.command, event.request, now)
            case ShutdownAsked():
                self._shut_down(0, event.why, now)
            case KillAsked():
                self._kill(now)
            case _:
                assert_never(event)
        self._settle(now)
        return self._done()

    def _begin(self, now: float) -> None:
        for type_name, count in self.counts.items():
            self._fill(type_name, 0, count, now)
        self._accompany(now)

    def _done(self) -> list[Action]:
        out, self._out = self._out, []
        return out

    # ---- one slot

    def _step(self, i: Instance, event: SlotEvent, now: float) -> Instance:
        after, actions = step(i, event, now)
        self._out += actions
        self._slots.put(after)
        if after.phase is Phase.DOWN and not after.wanted and self._surplus(after):
            self._slots.remove(after)
            self._out.append(Remove(after.name))
        return after

    def _surplus(self, i: Instance) -> bool:
        return i.index > self.counts.get(i.spec.type, 0)

    def _lived(self, event: Spawned | SpawnFailed | Exited | Emptied, now: float) -> None:
        before = self.get(event.name)
        if before is None or before.generation != event.generation:
            return
        after = self._step(before, event, now)
        if self._died(before, event, after):
            self._out += self._crashes.death(after, now)
        # Looked at from the end: of a thousand that are stopped together, the last are the last to go.
        if before.alive and not after.alive and not any(i.alive for i in reversed(self._slots.of(after.spec.type))):
            self._out.append(ReclaimDaemons(after.name, after.generation, after.stop.signal))
        if after.spec.on_end is OnEnd.EXIT and after.ended_for_good and not before.ended_for_good:
            failed = after.phase is Phase.FAILED or after.cause is Cause.GAVE_UP
            self._shut_down(after.last_exit.code if failed and after.last_exit else 0, f"{after.name} ended", now)

    def _died(self, before: Instance, event: SlotEvent, after: Instance) -> bool:
        """Whether this was a death: an end, or a failed start, that nobody asked for and that is not a good one."""
        if isinstance(event, Exited):
            return before.phase in (Phase.STARTING, Phase.READY) and after.cause is not Cause.ENDED
        failed_start = isinstance(event, SpawnFailed) and before.phase is Phase.SPAWNING
        return failed_start and after.phase in (Phase.BACKOFF, Phase.FAILED)

    def _adopted(self, event: Adopted, now: float) -> None:
        i = self.get(event.name)
        if i is not None and i.generation == event.generation and i.phase not in (*AT_REST, Phase.BACKOFF):
            self._step(i, event, now)
        else:
            self._out += self._strays.left_behind(event.pid, self._stop_of(event.name), now)

    def _stop_of(self, name: str) -> StopPolicy:
        """How what is left of a life that is over is ended: as its type is, as far as that is still known."""
        spec = self.plan.types.get(name.rpartition(".")[0])
        return spec.stop if spec is not None else StopPolicy()

    # ---- time

    def _timer(self, event: TimerFired, now: float) -> None:
        if event.key == WAITING:
            self._say_waiting(event.token, now)
        elif event.key == STRAYS:
            self._out += self._strays.deadline(event.token, now)
        elif event.key.startswith(CRASH):
            self._out += self._crashes.quiet(event.key, event.token)
        else:
            i = self.get(event.key)
            if i is not None:
                self._step(i, event, now)

    def _watch_stop(self, now: float) -> None:
        self._waiting_token += 1
        self._out.append(SetTimer(WAITING, self._waiting_token, now + WAITING_AFTER))

    def _say_waiting(self, token: int, now: float) -> None:
        line = waiting_line([*self._slots.everyone()], now) if token == self._waiting_token else ""
        if line:
            self._publish(Kind.WAITING, line)

    # ---- counts

    def _fill(self, type_name: str, before: int, count: int, now: float) -> list[str]:
        """Slots before+1..count are wanted; returns their names."""
        spec = self.plan.types[type_name]
        names = []
        for index in range(before + 1, count + 1):
            i = self._slots.at(type_name, index) or self._slots.new(spec, index, now)
            names.append(self._raise(i, spec, now).name)
        return names

    def _raise(self, i: Instance, spec: ProcessSpec, now: float) -> Instance:
        """Want it. One on its way out may have been started from an older spec."""
        return self._step(i, StartWanted() if i.spec == spec else RestartWanted(spec, "changed by reload"), now)

    def _set_count(self, type_name: str, count: int, why: str, now: float) -> list[str]:
        """Change a type's count; returns the slots that come or go."""
        before = self.counts.get(type_name, 0)
        self.counts[type_name] = count
        if count > before:
            return self._fill(type_name, before, count, now)
        leaving = [i for index in range(before, count, -1) if (i := self._slots.at(type_name, index))]
        for i in leaving:
            self._step(i, StopWanted(why), now)
        if leaving:
            self._watch_stop(now)
        return [i.name for i in leaving]

    # ---- commands

    def _command(self, command: Command, request: int, now: float) -> None:
        if self.stopping and not isinstance(command, Shutdown):
            self._out.append(Refuse(request, "cannot do that: procman is stopping"))
            return
        match command:
            case Scale():
                self._scale(command, request, now)
            case Restart():
                self._restart(command, request, now)
            case Stop():
                self._stop(command, request, now)
            case SendSignal():
                self._signal(command, request)
            case Reload():
                self._reload(command.plan, request, now)
            case Shutdown():
                names = [i.name for i in self.instances() if i.phase not in AT_REST]
                self._shut_down(0, "procman shutdown", now)
                self._reply(request, names)
            case _:
                assert_never(command)

    def _reply(self, request: int, names: list[str]) -> None:
        self._out.append(Reply(request, tuple(names), dict(self.counts)))

    def _scale(self, command: Scale, request: int, now: float) -> None:
        target = dict(command.to)
        for type_name, by in command.by.items():
            target[type_name] = self.counts.get(type_name, 0) + by
        for type_name, count in target.items():
            refusal = select.refuse_type(type_name, self.plan.types) or refuse_count(self.plan, type_name, count)
            if refusal:
                self._out.append(Refuse(request, *refusal))
                return
        changed = {t: (self.counts[t], n) for t, n in target.items() if self.counts[t] != n}
        self._scaled.update(target)
        names = [name for t, n in target.items() for name in self._set_count(t, n, "scaled down", now)]
        if changed:
            text = ", ".join(f"{t} from {before} to {n}" for t, (before, n) in changed.items())
            self._publish(Kind.SCALED, f"scaled {text}", next(iter(changed)) if len(changed) == 1 else None)
        self._reply(request, names)

    def _selected(self, names: tuple[str, ...], request: int) -> list[Instance] | None:
        """The slots that are meant, those on their way out excepted; None where refused."""
        standing = [i for i in self.instances() if not self._surplus(i)]
        chosen = select.matching(names, standing, self.plan.types)
        if isinstance(chosen, tuple):
            self._out.append(Refuse(request, *chosen))
            return None
        return chosen

    def _restart(self, command: Restart, request: int, now: float) -> None:
        chosen = self._selected(command.names, request)
        if chosen is None:
            return
        self._say("procman restart", chosen)
        for i in chosen:
            self._step(i, RestartWanted(self.plan.types[i.spec.type], "procman restart"), now)
        self._watch_stop(now)
        self._reply(request, [i.name for i in chosen])

    def _stop(self, command: Stop, request: int, now: float) -> None:
        if not command.names and not command.all:
            self._out.append(Refuse(request, "cannot stop: no instance is named", "name some, or say --all"))
            return
        chosen = self._selected(command.names, request)
        if chosen is None:
            return
        self._say("procman stop", chosen)
        for i in chosen:
            self._step(i, StopWanted("stopped by procman stop"), now)
        self._watch_stop(now)
        self._reply(request, [i.name for i in chosen])

    def _signal(self, command: SendSignal, request: int) -> None:
        chosen = self._selected(command.names, request)
        if chosen is None:
            return
        alive = [i for i in chosen if (i.alive if command.leader else i.pid is not None)]
        if not alive:
            text = f"cannot signal {select.listed(chosen) or 'nothing'}: no process is running"
            self._out.append(Refuse(request, text, "see `procman ps`"))
            return
        target = Target.LEADER if command.leader else Target.GROUP
        self._out += [Signal(i.name, i.generation, command.signal, target) for i in alive]
        self._reply(request, [i.name for i in alive])

    # ---- reload

    def _reload(self, plan: Plan, request: int, now: float) -> None:
        difference = reloading.compare(self.plan, plan)
        self.plan = plan
        names = []
        for type_name in difference.removed:
            names += self._set_count(type_name, 0, "removed from the Procfile", now)
            self.counts.pop(type_name, None)
            self._scaled.discard(type_name)
            self._crashes.forget(type_name)
        self._slots.arrange(plan.types)
        for type_name, count in reloading.counts_after(
            plan, self.counts, self._scaled
        ).items():  # first, lest one that is to go is started anew
            names += self._set_count(type_name, count, "scaled down by reload", now)
        for type_name in difference.changed:
            names += self._respec(plan.types[type_name], now)
        self.counts = {t: self.counts[t] for t in plan.types}
        self._accompany(now)
        self._publish(Kind.RELOADED, f"reloaded: {difference}")
        self._watch_stop(now)
        self._reply(request, names)

    def _respec(self, spec: ProcessSpec, now: float) -> list[str]:
        """New settings for a type: what is wanted, or came to an end by itself, lives anew; what was stopped stays so."""
        names = []
        for i in self._slots.of(spec.type):
            if i.spec == spec or self._surplus(i):
                continue
            if i.wanted:
                self._step(i, RestartWanted(spec, "changed by reload"), now)
                names.append(i.name)
            else:
                self._slots.put(replace(i, spec=spec))
        return names

    def _accompany(self, now: float) -> None:
        """One instance of each companion of the plan, as it is specified there."""
        wanted = self.plan.companions
        for i in self._slots.companions():
            if i.spec.type not in wanted:
                self._step(i, StopWanted("removed by reload"), now)
        for type_name, spec in wanted.items():
            self._raise(self._slots.at(type_name, 1) or self._slots.new(spec, 1, now), spec, now)

    # ---- the end

    def _shut_down(self, code: int, why: str, now: float) -> None:
        if self.stopping:
            return
        self.exit_code = code
        living = [i for i in self.instances() if i.phase not in AT_REST and not i.ended_for_good]
        if living:
            plural = "" if len(living) == 1 else "s"
            self._publish(Kind.SHUTDOWN, f"stopping {len(living)} instance{plural}: {why}")
        grace = max((i.stop.grace for i in living), default=DEFAULT_GRACE)
        for i in [*living, *self._slots.companions()]:
            self._step(i, StopWanted(why), now)
        self._out += self._strays.end_all(now, grace)
        self._watch_stop(now)

    def _kill(self, now: float) -> None:
        self._shut_down(130, "killed", now)
        self.exit_code = 130
        for i in [*self._slots.everyone()]:
            self._step(i, KillAsked(), now)
        self._out += self._strays.kill_all(now)

    def _settle(self, now: float) -> None:
        """Whether this was the end: nothing is left after a shutdown, or there is nothing left to supervise."""
        if self._finished:
            return
        if not self.stopping:
            if not self._all_ended():
                return
            self._shut_down(self._first_failure(), "all instances have ended", now)
        if self._strays.left or not self._slots.settled:
            return
        self._finished = True
        instances = self.instances()
        line = ended_line(instances)
        if line:
            self._publish(Kind.FINISHED, line)
        stuck = self._strays.stuck or any(i.stage is Stage.UNKILLABLE for i in self._slots.everyone())
        self._out.append(Finish(1 if stuck else self.exit_code or 0))

    def _all_ended(self) -> bool:
        """At least one instance exists, and all are done or failed: counts of 0 and stopped ones keep procman running."""
        return any(True for _ in self._slots) and all(i.phase in (Phase.DONE, Phase.FAILED) for i in self._slots)

    def _first_failure(self) -> int:
        """The status of the failure that came first in time; 0 where none failed."""
        failed = [i for i in self._slots if i.phase is Phase.FAILED and i.last_exit]
        first = min(failed, key=lambda i: i.ended, default=None)
        return first.last_exit.code if first and first.last_exit else 0

    # ---- telling

    def _publish(self, kind: Kind, text: str, type_name: str | None = None) -> None:
        self._out.append(Publish(Change(event=kind, text=text, type=type_name)))

    def _say(self, command: str, chosen: list[Instance]) -> None:
        if chosen:
            self._publish(Kind.COMMAND, f"{command}: {select.listed(chosen)}")
