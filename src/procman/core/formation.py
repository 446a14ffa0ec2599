"""The slots, what is desired of them, and what follows when one has moved: for its type, for operations, for everyone.

Commands change `desired`; `reconcile` moves the slots that may move. What concerns one slot is decided in `instance.step`; what
a step means for others it says in facts, which are heeded here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from msgspec.structs import replace

from procman.core import closing, daemons, wording
from procman.core import desired as wanted
from procman.core.actions import Action, Publish, Remove, SetTimer
from procman.core.commands import Granted, World
from procman.core.counters import Counters
from procman.core.crashes import Crashes
from procman.core.desired import Closing, Move, RestartMove, StartMove, StopMove
from procman.core.events import Adopted, KillAsked, RestartWanted, SlotEvent, StartWanted, StopWanted
from procman.core.facts import BecameReady, Died, EndedItself, Fact, LeaderEnded, Rested, Started
from procman.core.instance import step
from procman.core.operations import Need, Operations
from procman.core.orphans import Orphans
from procman.core.phases import AT_REST, Backoff, Down, Instance
from procman.core.reload import decide as decide_reload
from procman.core.slots import Slots, SlotsState
from procman.core.snapshot import FleetState
from procman.core.spec import OnEnd, Plan, StopPolicy, is_companion
from procman.core.timers import WaitingLineTimer
from procman.core.view import Change, Kind, Reason, ReasonCode
from procman.text.words import type_of

WAITING_AFTER = 2.0
"""Seconds into a stop at which one line names who is still waited for."""


class Formation:
    """Slots and what is desired of them. What is to be done gathers in `out`."""

    def __init__(self, plan: Plan, state: FleetState | None = None) -> None:
        """A formation that is yet to be started, or with a state one that goes on where another one was."""
        state = state or FleetState(plan=plan, desired=wanted.first(plan), slots=SlotsState(tuple(plan.types)))
        self.plan = state.plan
        self.desired = state.desired
        self.slots = Slots(state.slots)
        self.crashes = Crashes(state.crashes)
        self.counters = Counters(state.counters)
        self.operations = Operations(state.operations)
        self.orphans = Orphans(state.orphans)
        self.waiting_token = state.waiting_token
        self.out: list[Action] = []

    def state(self, *, finished: bool) -> FleetState:
        """Everything that is known, between two events."""
        return FleetState(
            plan=self.plan,
            desired=self.desired,
            slots=self.slots.state(),
            finished=finished,
            crashes=self.crashes.state(),
            counters=self.counters.state(),
            operations=self.operations.state(),
            orphans=self.orphans.state(),
            waiting_token=self.waiting_token,
        )

    # ---- one slot

    def reconcile(self, now: float) -> None:
        """Move the slots that may move towards what is desired."""
        moves = self.desired.moves
        if not moves:
            return
        self.desired = replace(self.desired, moves={})
        for name, move in moves.items():
            self._move(name, move, now)

    def _move(self, name: str, move: Move, now: float) -> None:
        type_name, _, index = name.rpartition(".")
        spec = self.plan.types.get(type_name) or self.plan.companions.get(type_name)
        i = self.slots.get(name)
        match move:
            case StopMove(why):
                if i is not None:
                    self.step(i, StopWanted(why), now)
            case StartMove() if spec is not None and (i is not None or self.has_place(type_name, int(index))):
                i = i or self.slots.new(spec, int(index), now)
                self.step(i, StartWanted() if i.spec == spec else RestartWanted(spec, wording.RELOADED), now)
            case RestartMove(why) if spec is not None and i is not None:
                self.step(i, RestartWanted(spec, why), now)
            case StartMove() | RestartMove():
                pass
            case _:
                assert_never(move)

    def has_place(self, type_name: str, index: int) -> bool:
        return index <= (1 if is_companion(type_name) else self.desired.count(type_name))

    def step(self, i: Instance, event: SlotEvent, now: float) -> None:
        after, actions, facts = step(i, event, now)
        self.out += actions
        self.slots.put(after)
        for fact in facts:
            self._heed(fact, after, now)
        gone = isinstance(after.phase, Down) and not after.wanted and self.slots.surplus(after, self.desired.counts)
        if gone:
            self.slots.remove(after)
            self.out.append(Remove(after.name))
        if facts or gone or after.unkillable:
            self.out += self.operations.moved(after.name, None if gone else after, self.looping(now))

    def _heed(self, fact: Fact, i: Instance, now: float) -> None:
        """What a step of one instance means for others."""
        match fact:
            case Started():
                self.counters.started(i.spec.type)
            case Died():
                self.out += self.crashes.death(i, fact, now)
            case LeaderEnded(status=status):
                self.counters.ended(i.spec.type, status)
                self.out += daemons.reclaim(i, self.slots)
            case EndedItself(_, status):
                if i.spec.on_end is OnEnd.EXIT:
                    self.shut_down(status.code, f"{i.name} ended", now)
            case BecameReady() | Rested():
                pass
            case _:
                assert_never(fact)

    def looping(self, now: float) -> Callable[[Instance], bool]:
        return lambda i: self.crashes.loops(i, now)

    def adopted(self, event: Adopted, now: float) -> None:
        i = self.slots.get(event.name)
        if i is not None and i.generation == event.generation and not isinstance(i.phase, (*AT_REST, Backoff)):
            self.step(i, event, now)
            return
        spec = self.plan.types.get(type_of(event.name))
        stop = spec.stop if spec is not None else StopPolicy(grace=closing.longest_grace(self.plan))
        self.out += self.orphans.left_behind(event.pid, stop, now)

    def begin(self, what: str, needs: Mapping[str, Need]) -> int:
        """A new operation; its number."""
        number, actions = self.operations.begin(what, needs)
        self.out += actions
        return number

    def move_on(self, number: int, concerned: Iterable[str], now: float) -> None:
        """Make the moves that an operation waits for, and see what is reached already."""
        self.reconcile(now)
        settled = {name: self.slots.get(name) for name in concerned if name not in self.desired.moves}
        self.out += self.operations.settle(number, settled, self.looping(now))

    @property
    def world(self) -> World:
        """What a command is judged by."""
        return World(self.plan, self.desired, self.slots)

    def reload(self, plan: Plan) -> Granted:
        """Take the new plan; what is wanted under it is still to be carried out."""
        reloaded = decide_reload(plan, self.world)
        self.plan = plan
        for type_name in reloaded.difference.removed:
            self.crashes.forget(type_name)
        self.slots.arrange(plan.types)
        for i in reloaded.respecified:
            self.slots.put(i)
        return reloaded.granted

    # ---- the end

    def shut_down(self, code: int, why: str, now: float) -> None:
        """Ask everyone to end."""
        if self.desired.closing is not None:
            return
        living = closing.living(self.slots)
        if living:
            self.publish(Kind.SHUTDOWN, wording.shutdown_line(len(living), why))
        self.desired = closing.close(self.desired, self.slots, Closing(code, now), why)
        self.out += self.orphans.end_all(now, closing.grace_of(living, self.plan))
        self.watch_stop(now)
        self.out += self.operations.close(Reason(ReasonCode.SHUTDOWN, "procman is stopping"))
        self.reconcile(now)

    def kill(self, now: float) -> None:
        self.shut_down(130, "killed", now)
        if self.desired.closing is not None:
            self.desired = replace(self.desired, closing=replace(self.desired.closing, code=130))
        for i in [*self.slots.everyone()]:
            self.step(i, KillAsked(), now)
        self.out += self.orphans.kill_all(now)

    def watch_stop(self, now: float) -> None:
        self.waiting_token += 1
        self.out.append(SetTimer(WaitingLineTimer(), self.waiting_token, now + WAITING_AFTER))

    def publish_waiting(self, token: int, now: float) -> None:
        line = wording.waiting_line([*self.slots.everyone()], now) if token == self.waiting_token else ""
        if line:
            self.publish(Kind.WAITING, line)

    def publish(self, kind: Kind, text: str) -> None:
        self.out.append(Publish(Change(event=kind, text=text)))
