"""Any order of events over chains and diamonds of dependencies, one-offs and groups, on a pretended system.

Formations are drawn from a seed, and so is what happens to them. `simulation.py` raises where a safety rule is broken; here
is what must hold of those that wait: each waits for something, no circle waits for itself, and a stop is over in its time.
More seeds: `python tests/core/test_simulation_order.py 20000`.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1])]

import pytest
from making import plan_of, spec_of
from msgspec.structs import replace

from pretended import Nature
from procman.core import order, overview
from procman.core.actions import Finish
from procman.core.desired import RegroupMove, RestartMove
from procman.core.events import Hold, Notified, Released, Reload, Restart, Scale, Stop
from procman.core.fleet import Fleet
from procman.core.followers import followed
from procman.core.phases import (
    UP,
    Done,
    Down,
    Draining,
    Failed,
    Instance,
    Ready,
    Spawning,
    Starting,
    Stopping,
    StopReason,
    Unhealthy,
    Waiting,
)
from procman.core.policies import (
    Dependency,
    Drain,
    Group,
    Health,
    Readiness,
    Recycle,
    Rolling,
    Strategy,
    TcpProbe,
    Until,
)
from procman.core.snapshot import decode, encode
from procman.core.spec import Plan, ProcessSpec, When
from procman.core.view import ReasonCode
from simulation import SimulatedOS

pytestmark = pytest.mark.timeout(600)  # a few seconds alone, and more than a minute where others need the processors

TYPES = ("a", "b", "c", "d", "e")
STEPS = 60
CALM = 3600.0
"""Seconds in which everything comes to rest: chains of five that each may take their time to be ready and to stop, ten
minutes at most.
"""

GRACES = (10.0, 3.0, 0.5)
WHOLE_STOP = max(GRACES) + 5.0 + 0.1
"""Seconds: the longest grace, and what KILL is given."""

Seed = int


class Drawn:
    """What a seed makes: a formation, and what happens to it."""

    def __init__(self, seed: Seed) -> None:
        self.random = random.Random(seed)
        self.names = TYPES[: self.random.randint(2, len(TYPES))]
        self.os = SimulatedOS(self.plan())
        self.os.start()
        self.stopped: set[str] = set()
        self.told: set[str] | None = None  # at the end of everything

    # ---- the formation

    def spec(self, name: str) -> ProcessSpec:
        pick = self.random.choice
        return spec_of(
            name,
            restart={"policy": pick(list(When)), "delay": pick((0.5, 0.0, 4.0)), "max_restarts": pick((None, None, 2))},
            stop={"grace": pick(GRACES), "drain": pick((None, None, Drain(seconds=2.5)))},
            oneshot=pick((False, False, True)),
            ready=pick((None, None, Readiness(probe=TcpProbe(), timeout=20.0))),
            health=pick((None, Health(probe=TcpProbe(), failures=2))),
            recycle=pick((None, None, Recycle(age=60.0))),
            rolling=pick((None, Rolling(unavailable=2), Rolling(surge=1))),
        )

    def plan(self) -> Plan:
        """Who depends on whom goes from the later to the earlier ones, and members of groups stand in the same order."""
        specs = {name: self.spec(name) for name in self.names}
        for place, name in enumerate(self.names):
            needs = tuple(self.need(specs[other]) for other in self.names[:place] if self.random.random() < 0.4)
            specs[name] = replace(specs[name], depends_on=needs)
        counts = {name: self.random.choice((0, 1, 1, 2)) for name in self.names}
        return replace(plan_of(counts, *specs.values()), groups=self.groups())

    def need(self, other: ProcessSpec) -> Dependency:
        until = Until.DONE if other.oneshot else self.random.choice((Until.READY, Until.STARTED))
        every, restart = (self.random.random() < 0.3 for _ in range(2))
        return Dependency(type=other.type, until=until, every=every, restart=restart)

    def groups(self) -> tuple[Group, ...]:
        free, made = list(self.names), []
        for number in range(self.random.randint(0, 2)):
            members = tuple(name for name in free if self.random.random() < 0.5)
            free = [name for name in free if name not in members]
            if members:
                rule = {"strategy": self.random.choice(list(Strategy)), "intensity": self.random.choice((0, 1, 3, 8))}
                made.append(Group(name=f"group{number}", members=members, **rule))
        return tuple(made)

    # ---- what happens

    def happens(self) -> None:
        """One thing, of those that can."""
        moves = [self.time_passes, self.goes_on, self.goes_on, self.hand_over, self.hold, self.release]
        moves += [self.fork] * 4 if self.os.forks else []
        moves += [self.deliver] * 4 if self.os.waiting() else []
        moves += [self.fire] * 3 if self.os.due() else []
        moves += [self.ends, self.ends] if self.os.alive() else []
        moves += [self.answer] if self.os.probes else []
        moves += [self.asks_for_time]
        if not self.os.fleet.stopping:
            moves += [self.scale, self.stop, self.restart, self.restart_all, self.reload]
        self.random.choice(moves)()

    def one(self, of: list[str]) -> str:
        return self.random.choice(sorted(of))

    def fork(self) -> None:
        self.os.natures.append(self.random.choice([Nature.OBEYS, Nature.OBEYS, *Nature]))
        self.os.fork(self.random.randrange(len(self.os.forks)))

    def deliver(self) -> None:
        self.os.deliver(self.one(self.os.waiting()))

    def fire(self) -> None:
        self.os.fire(self.random.choice(self.os.due()))

    def ends(self) -> None:
        self.os.exit(self.one(self.os.alive()), self.random.choice((1, 1, 0)))

    def answer(self) -> None:
        self.os.answer(self.one(list(self.os.probes)), ok=self.random.random() < 0.6)

    def asks_for_time(self) -> None:
        i = self.random.choice(self.os.fleet.instances() or [None])
        if i is not None:
            self.os.handle(Notified(i.name, i.generation, extend=self.random.choice((1.0, 30.0, 10_000.0))))

    def time_passes(self) -> None:
        self.os.now += self.random.choice((0.05, 1.0, 11.0, 70.0))

    def goes_on(self) -> None:
        self.os.run(self.random.choice((0.0, 0.3, 1.0, 2.5, 11.0)))

    def hand_over(self) -> None:
        state = decode(encode(self.os.fleet.state()))
        self.os.fleet = Fleet(state.plan, state)
        assert self.os.fleet.state() == state

    def hold(self) -> None:
        if not self.os.fleet.stopping:
            held = tuple(name for name in self.names if name in self.os.fleet.plan.types)
            self.os.command(Hold("balancer", held, self.random.choice((0.0, 4.0))))

    def release(self) -> None:
        i = self.random.choice(self.os.fleet.instances() or [None])
        if i is not None:
            self.os.handle(Released(i.name, i.generation, "balancer"))

    def instances(self) -> list[str]:
        """Their names, as the numbers may have gaps."""
        desired = self.os.fleet._formation.desired
        return [name for type_name in desired.counts for name in desired.names(type_name)]

    def scale(self) -> None:
        name = self.one(list(self.names))
        self.os.command(Scale(to={name: self.random.randint(0, 3)}))
        self.stopped &= set(self.instances())

    def stop(self) -> None:
        for name in self.instances()[:1] and [self.one(self.instances())]:
            self.stopped.add(name)
            self.os.command(Stop((name,)))

    def restart(self) -> None:
        for name in self.instances()[:1] and [self.one(self.instances())]:
            self.stopped.discard(name)
            self.os.command(Restart((name,)))

    def restart_all(self) -> None:
        self.stopped.clear()
        self.os.command(Restart(together=self.random.random() < 0.5))

    def reload(self) -> None:
        plan = self.os.fleet.plan
        types = {
            name: replace(spec, command=f"{spec.command} again") if self.random.random() < 0.3 else spec
            for name, spec in plan.types.items()
        }
        groups = plan.groups if self.random.random() < 0.7 else self.groups()
        self.os.command(Reload(replace(plan, types=types, groups=groups)))
        self.stopped &= set(self.instances())

    # ---- what always holds

    def check(self) -> None:
        fleet = self.os.fleet
        assert self.os.stuck() == []
        formation = fleet._formation
        waiting = [i for i in fleet.instances() if isinstance(i.phase, Waiting)]
        for i in waiting:
            assert i.name in formation.desired.moves, f"{i.name} waits, and nothing will start it"
            assert overview.blocked(formation, i).on, f"{i.name} waits for nothing"
        for i in waiting:
            self.check_no_circle(i)
        self.check_stop_order()

    def check_no_circle(self, i: Instance) -> None:
        """Whatever waits, somebody does not: whom it waits for in the end runs, is on the way, or is at rest."""
        formation = self.os.fleet._formation
        seen: set[str] = set()
        left = {i.spec.type}
        while left:
            name = left.pop()
            seen.add(name)
            slots = formation.slots.of(name)
            if any(not isinstance(one.phase, Waiting) for one in slots) or not slots:
                return
            left |= {t for one in slots for t in overview.blocked(formation, one).on} - seen
        raise AssertionError(f"{i.name} waits in a circle: {sorted(seen)}")

    def check_stop_order(self) -> None:
        """Nobody is stopped with its group before all behind it that are to be have stopped."""
        formation = self.os.fleet._formation
        if formation.desired.closing is not None:
            self.check_end_order()
            return
        for group in self.os.fleet.plan.groups:
            places = {i.name: group.members.index(i.spec.type) for i in formation.slots if i.spec.type in group.members}
            halting = [places[i.name] for i in formation.slots if i.name in places and _halts(i)]
            waiting = [
                place
                for name, place in places.items()
                if isinstance(formation.desired.moves.get(name), RegroupMove)
                and isinstance(formation.slots.get(name).phase, UP)
            ]
            assert not halting or not waiting or min(halting) >= max(waiting), f"{group.name} stops out of order"

    def check_end_order(self) -> None:
        """At the end of everything none is told to stop before those that need it have gone, until all are told. One may
        end by itself.
        """
        formation = self.os.fleet._formation
        closing = formation.desired.closing
        if self.told is None:
            self.told = {i.name for i in formation.slots if not isinstance(i.phase, UP)}
        if self.os.now >= order.all_asked_at(closing.since, closing.grace):
            return
        needed_by = order.dependents(self.os.fleet.plan)
        for i in formation.slots:
            if i.name not in self.told and not isinstance(i.phase, UP):
                self.told.add(i.name)
                if isinstance(i.phase, Draining) or (isinstance(i.phase, Stopping) and i.phase.exit is None):
                    assert order.may_stop(i.spec.type, needed_by, formation.slots), f"{i.name} stops too early"

    # ---- fair driving, to the end

    def comes_to_rest(self) -> None:
        self.os.natures.clear()
        self.os.run(CALM)
        self.check()
        if self.os.fleet.stopping:
            assert len(self.os.finished) == 1
            return
        for i in self.os.fleet.instances():
            self.check_settled(i)
            self.check_followed(i)
        self.check_nothing_is_left_over()
        asked_at = self.os.now
        self.os.shut_down()
        self.os.run(CALM)
        at = next(at for at, action in self.os.log if isinstance(action, Finish))
        assert at <= asked_at + WHOLE_STOP, "a stop ends within its grace, whatever waits for whom"
        assert len(self.os.finished) == 1

    def check_followed(self, i: Instance) -> None:
        """What is ready has been started after the last end of what it follows, where that is ready, too."""
        formation = self.os.fleet._formation
        if not isinstance(i.phase, Ready) or i.name in formation.desired.moves:  # it is about to be
            return
        for one in i.spec.depends_on:
            regular = formation.desired.numbers(one.type)
            others = [other for other in formation.slots.of(one.type) if other.wanted and other.index in regular]
            if one.restart and others and all(isinstance(other.phase, Ready) for other in others):
                ended = max((self.os.ended.get(other.name, 0.0) for other in others), default=0.0)
                assert i.phase.leader.started_at >= ended, f"{i.name} was not restarted after {one.type}"

    def check_nothing_is_left_over(self) -> None:
        """Where all of a type stand, no extra one does beside them; and no restart that was asked for waits for ever."""
        formation, unfit = self.os.fleet._formation, (Unhealthy, Draining, Stopping, Spawning, Starting)
        if any(i.unkillable or isinstance(i.phase, unfit) or i.spec.recycle for i in formation.slots):
            return
        waiting = {i.spec.type for i in formation.slots if isinstance(i.phase, Waiting)}  # its others are not replaced
        waiting |= {name for name, spec in self.os.fleet.plan.types.items() if waiting & {*followed(spec)}}
        assert waiting >= {*formation.desired.surge}, "an extra instance is left over"
        for name, move in formation.desired.moves.items():
            owed = isinstance(move, RestartMove) and move.why.code is ReasonCode.FOLLOWED
            assert owed or formation.slots.get(name).spec.type in waiting, f"{name} still has to {move}"

    def check_settled(self, i: Instance) -> None:
        if i.unkillable:
            return
        if i.name in self.stopped:
            assert isinstance(i.phase, Down), f"{i.name} was stopped: {i.phase}"
            return
        aged = any(spec.recycle for spec in self.os.fleet.plan.types.values())
        if aged and isinstance(i.phase, Draining | Stopping | Spawning | Starting):
            return  # somebody's age has just come, which others follow
        # stopped with its group and not started again, or asked to come back before its group failed
        alone = i.spec.restart.policy is When.NEVER or self.has_failed_group(i)
        allowed = (Ready, Unhealthy, Done, Failed, Waiting, *([Down] if alone else []))
        assert isinstance(i.phase, allowed), f"{i.name} is not what is wanted: {i.phase}"

    def has_failed_group(self, i: Instance) -> bool:
        members = [group.members for group in self.os.fleet.plan.groups if i.spec.type in group.members]
        failed = [one.spec.type for one in self.os.fleet.instances() if isinstance(one.phase, Failed)]
        return bool(members) and not {*members[0]}.isdisjoint(failed)


def _halts(i: Instance) -> bool:
    return isinstance(i.phase, Stopping) and i.phase.reason is StopReason.REGROUPED


def live(seed: Seed) -> None:
    drawn = Drawn(seed)
    drawn.check()
    for number in range(STEPS):
        drawn.happens()
        drawn.check()
        if number > STEPS * 0.7 and drawn.random.random() < 0.03 and not drawn.os.fleet.stopping:
            drawn.os.shut_down()
    drawn.comes_to_rest()


@pytest.mark.parametrize("part", range(8))
def test_whatever_happens_what_waits_comes_up_and_a_stop_ends_in_its_time(part):
    for seed in range(part * 40, part * 40 + 40):
        live(seed)


if __name__ == "__main__":
    first, last = ([int(word) for word in sys.argv[1:]] + [0])[:2] if len(sys.argv) > 2 else (0, int(sys.argv[1]))
    for seed in range(first, last):
        try:
            live(seed)
        except Exception as error:  # noqa: BLE001  every seed is told
            print(f"seed {seed}: {type(error).__name__}: {error}")
    print(f"seeds {first} to {last}")
