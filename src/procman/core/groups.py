"""Types that are restarted together: the supervisor strategies of Erlang/OTP, over the members of a group.

A member is a process type with all of its instances. When one of them dies and is to be restarted, the strategy says
which others are, too: each of those is stopped, the last member first, and started again, the first member first, each
when those before it are ready. With more than `intensity` restarts within `period` seconds the group is failed as a
whole.

Owns the restarts that count and the ordered starts under way; answers who may start or stop, and does neither itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, assert_never

from procman.core.actions import Publish
from procman.core.desired import Move, RegroupMove, RestartMove, StartMove
from procman.core.events import HaltWanted, StopTerms, StopWanted
from procman.core.facts import Died
from procman.core.phases import (
    AT_REST,
    ENDING,
    AfterSpawn,
    Backoff,
    Clearing,
    Done,
    Draining,
    Failed,
    Instance,
    Ready,
    Spawning,
    Stopping,
    StopReason,
    Unhealthy,
    Waiting,
)
from procman.core.policies import Group, Strategy
from procman.core.slots import Slots, World
from procman.core.snapshot import GroupsState
from procman.core.spec import Plan, When
from procman.core.view import Change, Kind, Reason, ReasonCode
from procman.text.words import LISTED, duration, type_of

STOPPED = (Waiting, Backoff, *AT_REST)
"""Phases in which nothing is left of a run that is to be stopped with its group."""


class Regroup(NamedTuple):
    """What a death means for a group: which slots are restarted or stopped, and why."""

    group: Group
    moves: dict[str, Move]
    why: Reason
    failed: bool


class Ahead(NamedTuple):
    """A member that another one waits for, and the state that it has to reach: `stopped`, `ready` or `done`. `failed`:
    its instance that cannot reach it without a person's help.
    """

    type: str
    until: str
    failed: str = ""


class Halt(NamedTuple):
    """The next step of a slot that is stopped with its group (None: nothing yet), and whether it is the last one."""

    event: HaltWanted | StopWanted | None
    done: bool


def group_of(plan: Plan, type_name: str) -> Group | None:
    return next((group for group in plan.groups if type_name in group.members), None)


class Groups:
    def __init__(self, state: GroupsState = GroupsState()) -> None:  # noqa: B008  frozen
        self._rounds: dict[str, tuple[str, ...]] = dict(state.rounds)
        self._restarts: dict[str, tuple[float, ...]] = dict(state.restarts)

    def state(self) -> GroupsState:
        return GroupsState(dict(self._rounds), dict(self._restarts))

    # ---- what happens

    def begin(self, world: World) -> None:
        """Slots at rest that are to be started are started in the order of the members."""
        for name, move in world.desired.moves.items():
            group = group_of(world.plan, type_of(name))
            if group is None or not isinstance(move, StartMove | RestartMove):
                continue
            i = world.slots.get(name)
            if i is None or isinstance(i.phase, (Waiting, *AT_REST)):
                self._join(group, [name])

    def died(self, i: Instance, died: Died, world: World, now: float) -> Regroup | None:
        """A member has died. A member that has failed for good is not restarted, and causes no restart of others. The
        death of a member that is being stopped anyway does not count.
        """
        group, move = group_of(world.plan, i.spec.type), world.desired.moves.get(i.name)
        if group is None or not died.retried or not i.wanted or isinstance(move, RegroupMove):
            return None
        recent = (*(at for at in self._restarts.get(group.name, ()) if now - at <= group.period), now)
        if len(recent) > group.intensity:
            return self._fail(group, len(recent), world)
        self._restarts[group.name] = recent
        names = _restarted_with(i, group, world.slots)
        if not names:
            return None
        self._join(group, [i.name, *names])
        why = Reason(ReasonCode.GROUP_RESTARTED, f"restarted with {i.name} (group {group.name})")
        return Regroup(group, dict.fromkeys([i.name, *names], RegroupMove(why)), why, failed=False)

    def _fail(self, group: Group, restarts: int, world: World) -> Regroup:
        self.forget(group.name)
        many = "1 restart within {} is" if restarts == 1 else f"{restarts} restarts within {{}} are"
        text = f"{many.format(duration(group.period))} more than its intensity of {group.intensity}"
        why = Reason(ReasonCode.GROUP_FAILED, f"group {group.name} failed: {text}")
        names = [i.name for i in _members(group.members, world.slots)]
        return Regroup(group, dict.fromkeys(names, RegroupMove(why, failed=True)), why, failed=True)

    def join(self, i: Instance, world: World) -> None:
        """An instance that was about to start by itself waits for its turn."""
        group = group_of(world.plan, i.spec.type)
        if group is not None:
            self._join(group, [i.name])

    def _join(self, group: Group, names: Iterable[str]) -> None:
        self._rounds[group.name] = tuple(dict.fromkeys((*self._rounds.get(group.name, ()), *names)))

    def settle(self, world: World) -> None:
        """Forget ordered starts that are over, as none of their instances is still to start."""
        for name, names in [*self._rounds.items()]:
            there = [i for one in names if (i := world.slots.get(one)) is not None and i.wanted]
            if all(
                isinstance(i.phase, (Ready, Unhealthy, *AT_REST))
                and not isinstance(world.desired.moves.get(i.name), RegroupMove)
                for i in there
            ):
                del self._rounds[name]

    def forget(self, group: str) -> None:
        self._rounds.pop(group, None)
        self._restarts.pop(group, None)

    def clear(self) -> None:
        """Everything ends: nothing is started any more."""
        self._rounds.clear()

    # ---- who may move

    def ahead(self, type_name: str, world: World) -> tuple[Ahead, ...]:
        """What has to happen before instances of this type are started: every stop, then the start of earlier members."""
        group = group_of(world.plan, type_name)
        names = self._rounds.get(group.name, ()) if group is not None else ()
        if group is None or not names:
            return ()
        there = [i for one in names if (i := world.slots.get(one)) is not None]
        waited = [Ahead(i.spec.type, "stopped") for i in there if not _is_stopped(i, world.desired.moves)]
        before = group.members[: group.members.index(type_name)]
        waited += [
            Ahead(i.spec.type, "done" if i.spec.oneshot else "ready", i.name if isinstance(i.phase, Failed) else "")
            for i in there
            if i.spec.type in before and i.wanted and not _has_started(i)
        ]
        return tuple(dict.fromkeys(waited))

    def halt(self, i: Instance, move: RegroupMove, terms: StopTerms, world: World) -> Halt | None:
        """The next step of a slot with this move; None if it is to be started in its turn."""
        if group_of(world.plan, i.spec.type) is None:
            return left_behind(i)
        rests = isinstance(i.phase, AT_REST)
        once = i.spec.restart.policy is When.NEVER  # a temporary child: stopped with the others, and not started again
        if rests and (move.failed or once):
            return Halt(None, done=True)
        if move.failed:
            at_once = isinstance(i.phase, Waiting | Backoff | Clearing)
            halted = at_once or self.may_halt(i, world)
            return Halt(HaltWanted(move.why, terms, failed=True) if halted else None, done=halted)
        if isinstance(i.phase, (Waiting, *AT_REST)):
            return None
        if isinstance(i.phase, Backoff) or not self.may_halt(i, world):
            return Halt(None, done=False)
        return Halt(StopWanted(move.why, terms), done=True) if once else Halt(HaltWanted(move.why, terms), done=False)

    def may_halt(self, i: Instance, world: World) -> bool:
        """Whether nothing is left of the later members that are stopped with it."""
        group = group_of(world.plan, i.spec.type)
        if group is None:
            return True
        behind = group.members[group.members.index(i.spec.type) + 1 :]
        return all(
            _is_stopped(j, world.desired.moves) and (j.unkillable or not isinstance(j.phase, (*ENDING, Draining)))
            for j in _members(behind, world.slots)
        )


def left_behind(i: Instance) -> Halt | None:
    """The same after its group was removed: what is being stopped is started after that, others are left alone."""
    halting = (isinstance(i.phase, Stopping | Draining) and i.phase.reason is StopReason.REGROUPED) or (
        isinstance(i.phase, Spawning) and i.phase.then is AfterSpawn.REGROUP
    )
    return Halt(None, done=False) if halting else None


def _members(types: Iterable[str], slots: Slots) -> Iterator[Instance]:
    return (i for type_name in types for i in slots.of(type_name))


def _restarted_with(i: Instance, group: Group, slots: Slots) -> list[str]:
    match group.strategy:
        case Strategy.ONE_FOR_ONE:
            return []
        case Strategy.ONE_FOR_ALL:
            types = group.members
        case Strategy.REST_FOR_ONE:
            types = group.members[group.members.index(i.spec.type) + 1 :]
        case _:
            assert_never(group.strategy)
    return [j.name for j in _members(types, slots) if j.wanted and j.name != i.name and not _is_given_up(j)]


def _is_given_up(i: Instance) -> bool:
    """Whether it is never restarted, and has ended: like a temporary child it is not a member any more."""
    return i.spec.restart.policy is When.NEVER and isinstance(i.phase, Done | Failed)


def _is_stopped(i: Instance, moves: Mapping[str, Move]) -> bool:
    """Whether it need not be stopped with the group any more. A process that KILL did not remove is not waited for."""
    if i.unkillable or isinstance(i.phase, AT_REST):
        return True
    return i.wanted and (not isinstance(moves.get(i.name), RegroupMove) or isinstance(i.phase, STOPPED))


def _has_started(i: Instance) -> bool:
    return isinstance(i.phase, Done) or (not i.spec.oneshot and isinstance(i.phase, Ready | Unhealthy))


def explain(one: Ahead, slots: Slots, now: float) -> str:
    """`fetch: not ready, 4 s`."""
    failed = slots.get(one.failed)
    if failed is not None and isinstance(failed.phase, Failed):
        return f"{one.type}: {failed.name} failed: {failed.phase.why.text}"
    since = min((i.phase_since for i in slots.of(one.type) if i.wanted), default=now)
    return f"{one.type}: not {one.until}, {duration(now - since)}"


def publish(i: Instance, regroup: Regroup) -> Publish:
    """The change to publish: a group is restarted, or failed, because of this death."""
    others = [name for name in regroup.moves if name != i.name]
    more = f" and {len(others) - LISTED} more" if len(others) > LISTED else ""
    text = f"{', '.join(others[:LISTED])}{more}: {regroup.why.text}"
    if regroup.failed:
        text = f"{regroup.why.text}; the last to end was {i.name}"
    event = Kind.GROUP_FAILED if regroup.failed else Kind.GROUP_RESTARTED
    return Publish(Change(event=event, text=text, instance=i.name, type=i.spec.type))
