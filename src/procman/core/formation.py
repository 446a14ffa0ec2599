"""Owns all slots and what is desired of them, and decides what a change of one means for its type, for operations, and
for everything.

Commands change `desired`; `reconcile` starts and stops the slots that may be. What concerns one slot is decided in
`instance.step`, which returns facts about what a step means for others; they are handled here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, assert_never

from msgspec.structs import replace

from procman.core import closing
from procman.core import desired as wanted
from procman.core.actions import Action, KeepCounts, OpenSockets, Publish, ReclaimDaemons, Remove, SetTimer
from procman.core.crashes import Crashes
from procman.core.desired import Closing, Move, RegroupMove, RestartMove, Role, StartMove, StopMove
from procman.core.events import (
    Adopted,
    KillAsked,
    RestartWanted,
    SlotEvent,
    StartWanted,
    StopTerms,
    StopWanted,
    WaitWanted,
)
from procman.core.facts import BecameReady, Died, EndedItself, Fact, LeaderEnded, Rested, Started
from procman.core.instance import step
from procman.core.operations import Need, Operations, needs_of_counts
from procman.core.orphans import Orphans
from procman.core.phases import AT_REST, Backoff, Down, Instance, Waiting
from procman.core.rollout import Rollouts
from procman.core.slots import Slots, SlotsState, World
from procman.core.snapshot import FleetState, GroupsState, StartupState, TypeCounts
from procman.core.spec import OnEnd, Plan, ProcessSpec, StopPolicy, is_companion
from procman.core.timers import ClosingTimer, WaitingLineTimer
from procman.core.turn import Turn
from procman.core.view import Change, Kind, Reason, ReasonCode
from procman.later import later
from procman.text.words import type_of

if TYPE_CHECKING:
    from procman.core import followers, groups, order, reload, replacing, startup, wording
else:
    followers = later(__name__, "procman.core.followers")
    groups = later(__name__, "procman.core.groups")
    order = later(__name__, "procman.core.order")
    reload = later(__name__, "procman.core.reload")
    replacing = later(__name__, "procman.core.replacing")
    startup = later(__name__, "procman.core.startup")
    wording = later(__name__, "procman.core.wording")

WAITING_AFTER = 2.0
"""Seconds into a stop after which a line names the instances that are still waited for."""

NO_COUNTS = TypeCounts()
"""Shared by all types that have seen nothing: the trace keeps a state with an entry for each type."""


class Formation:
    """Slots and what is desired of them. Actions are collected in `out`."""

    def __init__(self, plan: Plan, state: FleetState | None = None) -> None:
        """A formation that is to be started, or with a state one that continues after an upgrade."""
        state = state or FleetState(plan=plan, desired=wanted.first(plan), slots=SlotsState(tuple(plan.types)))
        self.plan = state.plan
        self.desired = state.desired
        self.slots = Slots(state.slots)
        self.crashes = Crashes(state.crashes)
        self.counters = dict(state.counters)
        self.operations = Operations(state.operations)
        self.orphans = Orphans(state.orphans)
        self.rollouts = Rollouts(state.rollouts)
        self.groups = groups.Groups(state.groups) if state.plan.groups else None
        self.holds = dict(state.holds)
        self.waiting_token = state.waiting_token
        self.finished = state.finished
        self.startup = state.startup
        self.lingering = dict(state.lingering)
        self.out: list[Action] = []
        self._kept = wanted.kept(self.plan, self.desired)

    def state(self) -> FleetState:
        """Everything that is known, between two events."""
        return FleetState(
            plan=self.plan,
            desired=self.desired,
            slots=self.slots.state(),
            finished=self.finished,
            crashes=self.crashes.state(),
            counters=dict(self.counters),
            operations=self.operations.state(),
            orphans=self.orphans.state(),
            rollouts=self.rollouts.state(),
            holds=dict(self.holds),
            waiting_token=self.waiting_token,
            startup=self.startup,
            lingering=dict(self.lingering),
            groups=self.groups.state() if self.groups is not None else GroupsState(),
        )

    @property
    def stopping(self) -> bool:
        return self.desired.closing is not None

    # ---- one slot

    def reconcile(self, now: float) -> None:
        """Move the slots that may move towards what is desired, until no more may: one that moves makes room for others."""
        while True:
            before = self.desired
            if before.moves:
                self._pass(before.moves, now)
            self._go_on(now)
            if self.desired is before or self.desired == before:  # `==` looks at every type
                return

    def _pass(self, moves: Mapping[str, Move], now: float) -> None:
        turn = Turn(self.world, self.rollouts, self.groups, now)
        self.desired = replace(self.desired, moves={})
        left = {name: move for name, move in moves.items() if not self._move(name, move, turn, now)}
        self.desired = replace(self.desired, moves=left | self.desired.moves)

    def _move(self, name: str, move: Move, turn: Turn, now: float) -> bool:
        """Whether the move is made, or not needed any more."""
        type_name, _, index = name.rpartition(".")
        i = self.slots.get(name)
        if isinstance(move, StopMove):
            if i is not None:
                if not turn.may_stop(i, self.desired.closing, companions_last=bool(self.holds)):
                    return False
                self.step(i, StopWanted(move.why, self.terms(i, now)), now)
            return True
        spec = self.plan.types.get(type_name) or self.plan.companions.get(type_name)
        if i is None and spec is not None and isinstance(move, StartMove):
            i = self._new(name, spec, int(index), now)
        if i is None or spec is None:
            return True
        if isinstance(move, RegroupMove):
            halted = turn.regroup(i, move, self.terms(i, now))
            if halted is not None:
                if halted.event is not None:
                    self.step(i, halted.event, now)
                return halted.done
        restart = move if isinstance(move, RestartMove) else None
        if restart is not None and turn.is_moot(i, restart):
            return True
        blocked = turn.waits_for(spec, i)
        if blocked:
            self._wait(i, blocked, now)
            return False
        if restart is not None and not turn.may_replace(spec, i, restart):
            return False
        if restart is not None or i.spec != spec:
            why = restart.why if restart is not None else wording.RELOADED
            self.step(i, RestartWanted(spec, why, self.terms(i, now)), now)
            i = self.slots.get(name) or i
        if restart is None or isinstance(i.phase, Waiting):
            self.step(i, StartWanted(), now)
        return True

    def _regroup(self, i: Instance, died: Died, now: float) -> None:
        """What the death of an instance means for its group."""
        regroup = self.groups.died(i, died, self.world, now) if self.groups is not None else None
        if regroup is None or self.desired.closing is not None:
            return
        self.desired = self.desired.moving(regroup.moves)
        self.out.append(groups.publish(i, regroup))
        if regroup.failed and any(self.plan.types[t].on_end is not OnEnd.STAY for t in regroup.group.members):
            self.shut_down(closing.failure_of(i), regroup.why.text, now)

    def takes_its_turn(self, name: str, token: int, now: float) -> bool:
        """Whether its backoff is over during an ordered start of its group: from now on it waits for its turn."""
        if self.groups is None:
            return False
        i = self.slots.get(name)
        if i is None or not isinstance(i.phase, Backoff) or i.token != token:
            return False
        move = self.desired.moves.get(i.name)
        if not isinstance(move, RegroupMove) and not self.groups.ahead(i.spec.type, self.world):
            return False
        self.groups.join(i, self.world)
        self.step(i, WaitWanted(()), now)
        self.desired = self.desired.moving({i.name: move or StartMove()})
        return True

    @property
    def world(self) -> World:
        return World(self.plan, self.desired, self.slots)

    def _wait(self, i: Instance, blocked: order.Blockers, now: float) -> None:
        if not isinstance(i.phase, Waiting) or i.phase.on != blocked.on:
            self.step(i, WaitWanted(blocked.on), now)
        if (failed := blocked.hopeless(self.slots)) is not None:
            why = blocked.explain(self.slots, now)
            self.out += self.operations.abort(Reason(ReasonCode.WAITING, f"{i.name} waits for {why}"), {i.name}, failed)

    def terms(self, i: Instance, now: float) -> StopTerms:
        """Which clients hold its stop back, and when it is over at the latest."""
        return closing.stop_terms(i.spec.type, self.holds.values(), self.desired.closing, now)

    def keep_counts(self) -> None:
        """Publish the counts that have to outlast procman, if a command has changed them."""
        kept = wanted.kept(self.plan, self.desired)
        if kept != self._kept:
            self._kept = kept
            self.out.append(KeepCounts(kept))

    def _new(self, name: str, spec: ProcessSpec, index: int, now: float) -> Instance | None:
        """A new slot with that name and number, where its type has a place for it."""
        role = self.desired.role(spec.type, index)
        if not (index == 1 if is_companion(spec.type) else role is not Role.LEAVING):
            return None
        i = self.slots.new(name, spec, index, now)
        if name in self.rollouts.kept:  # the output of another one was kept under it
            self.rollouts.kept.discard(name)
            self.out.append(Remove(name))
        if role is Role.SURGE:
            self.out.append(wording.extra_comes(i))
        return i

    def _role(self, i: Instance) -> Role:
        return self.desired.role(i.spec.type, i.index)

    def step(self, i: Instance, event: SlotEvent, now: float) -> None:
        after, actions, facts = step(i, event, now)
        self.out += actions
        self.slots.put(after)
        for fact in facts:
            if self.startup is not None:
                self.startup = startup.noted(self.startup, fact, after, now)
            self._heed(fact, after, now)
        gone = isinstance(after.phase, Down) and not after.wanted and self._role(after) is Role.LEAVING
        if gone:
            self.slots.remove(after)
            if after.name not in self.rollouts.kept:
                self.out.append(Remove(after.name))
        if not self.operations.open:
            return
        if (facts or gone or after.unkillable) and not self.rollouts.is_on_trial(after):
            self.out += self.operations.moved(after.name, None if gone else after, self.looping(now))

    def _heed(self, fact: Fact, i: Instance, now: float) -> None:
        """What a step of one instance means for others."""
        match fact:  # what is frequent comes first
            case BecameReady():
                pass
            case Started():
                counts = self.counters.get(i.spec.type, NO_COUNTS)
                self.counters[i.spec.type] = replace(counts, starts=counts.starts + 1)
                if i.spec.recycle is not None:
                    self.out += replacing.watch_age(i, now)
            case LeaderEnded(status):
                counts = self.counters.get(i.spec.type, NO_COUNTS)
                exits = counts.exits | {status.code: counts.exits.get(status.code, 0) + 1}
                self.counters[i.spec.type] = replace(counts, exits=exits)
                if not self.slots.any_alive(i.spec.type):  # the daemons of the type end with its last leader
                    signal = (i.leader.stop if i.leader is not None else i.spec.stop).signal
                    self.out.append(ReclaimDaemons(i.name, i.generation, signal))
                if self.plan.has_followers:
                    self.desired = self.desired.moving(followers.owed(i, self.plan, self.desired, self.slots))
            case Rested():
                if not isinstance(i.phase, Down) and self._role(i) is Role.SURGE:
                    replacing.ended(self, i, now)
            case Died():
                self.out += self.crashes.death(i, fact, now)
                self._regroup(i, fact, now)
                rollout = self.rollouts.died(i, fact, extra=self._role(i) is Role.SURGE)
                if rollout is not None:
                    replacing.abort(self, rollout, i, now)
                if i.spec.on_end is not OnEnd.STAY and not fact.retried:
                    self.shut_down(closing.failure_of(i), f"{i.name} failed", now)
            case EndedItself(status):
                if i.spec.on_end is OnEnd.EXIT:
                    self.shut_down(closing.status_of(i, status), f"{i.name} ended", now)
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

    def start(self, now: float) -> None:
        """Start everything, except what has to wait."""
        self.out += [OpenSockets(t, spec.sockets) for t, spec in self.plan.types.items() if spec.sockets]
        if self.groups is not None:
            self.groups.begin(self.world)
        needs = needs_of_counts(self.desired, self.desired.counts, (), self.plan)
        number = self.begin("start", needs)
        wanted = [spec for t, spec in self.plan.types.items() if self.desired.counts.get(t, 0) > 0]
        if any(spec.ready or spec.depends_on or spec.oneshot for spec in wanted):
            self.startup = StartupState(number, now)
        self.move_on(number, needs, now)

    def end_startup(self, now: float) -> None:
        """Report how long the start has taken, once it has come to an end."""
        if self.startup is not None:
            start = self.operations.get(self.startup.operation)
            self.startup, reports = startup.end(self.startup, start, self.plan, self.desired.counts, now)
            self.out += reports

    def move_on(self, number: int, concerned: Iterable[str], now: float) -> None:
        """Make the moves of an operation that are possible, and see whether it has been reached already."""
        self.reconcile(now)
        moving = self.desired.moves if not self.plan.has_followers else followers.moving(self.desired)
        settled = {name: self.slots.get(name) for name in concerned if name not in moving}
        self.out += self.operations.settle(number, settled, self.looping(now))

    def share_sockets(self, before: Plan) -> None:
        """Open the shared sockets of another plan, and keep the previous ones while an instance may need them."""
        opened, self.lingering = reload.sockets(before, self.plan, self.lingering)
        self.out += opened

    def _go_on(self, now: float) -> None:
        """See how far the rollouts and ordered starts are."""
        for type_name in [*self.rollouts.running]:
            replacing.go_on(self, type_name, now)
        if self.lingering:
            closed, self.lingering = reload.closable(self.lingering, self.rollouts.running, self.desired)
            self.out += closed
        if self.groups is not None:
            self.groups.settle(self.world)

    # ---- the end

    def shut_down(self, code: int, why: str, now: float) -> None:
        """Stop everything."""
        if self.desired.closing is not None:
            return
        living = closing.living(self.slots)
        if living:
            self.publish(Kind.SHUTDOWN, wording.shutdown_line(living, why))
        grace = closing.grace_of(living, self.plan)
        stopped = [*living, *self.slots.companions()]
        self.desired = closing.close(self.desired, stopped, Closing(code, now, grace), why)
        self.rollouts.running.clear()
        if self.groups is not None:
            self.groups.clear()
        self.out += self.orphans.end_all(now, grace)
        if self.plan.has_order or self.holds:
            self.out.append(SetTimer(ClosingTimer(), 0, order.all_asked_at(now, grace)))
        self.watch_stop(now)
        self.out += self.operations.abort(Reason(ReasonCode.SHUTDOWN, "procman is stopping"))
        self.reconcile(now)
        closing.give_up(self.slots, self.desired.moves)

    def kill(self, now: float) -> None:
        self.shut_down(130, "killed", now)
        if self.desired.closing is not None:
            self.desired = replace(self.desired, closing=replace(self.desired.closing, code=130))
            self.desired = replace(self.desired, moves={})
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
