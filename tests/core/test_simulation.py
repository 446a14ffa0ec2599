"""Any order of commands, ends, deadlines and late news, on a pretended system that asserts what must never happen.

`simulation.py` holds most of the safety rules (it raises where one is broken); here are the wanted state seen from
outside, the rule that everything unsettled has something coming that moves it, and the end: fair driving always gets
to what is wanted, and a shutdown to exactly one Finish.
"""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from making import plan_of, spec_of
from msgspec.structs import replace

from pretended import Nature
from procman.core.actions import Finish, Reply, Spawn
from procman.core.events import (
    Emptied,
    Exited,
    Hold,
    Released,
    Reload,
    Reported,
    Restart,
    Scale,
    SendSignal,
    Spawned,
    SpawnFailed,
    Stop,
    TimerFired,
)
from procman.core.fleet import Fleet
from procman.core.phases import (
    Clearing,
    Done,
    Down,
    Draining,
    Failed,
    Instance,
    Ready,
    Spawning,
    Stopping,
    Unhealthy,
    Waiting,
)
from procman.core.policies import Dependency, Drain, Health, Readiness, Rolling, TcpProbe
from procman.core.snapshot import decode, encode
from procman.core.spec import OnEnd, Plan, ProcessSpec, StopMode, When
from procman.core.timers import SlotTimer
from simulation import SimulatedOS

pytestmark = pytest.mark.timeout(600)  # a failure takes its time to be made small; so does the long profile

TYPES = ("web", "job")
PAUSES = (0.0, 0.05, 0.3, 0.5, 1.0, 2.5, 11.0, 40.0)
CALM = 300.0
"""Seconds in which everything that is fair comes to rest: 33 s of backoff, several stops of 10 s one after the other."""

WHOLE_STOP = 10.0 + 5.0 + 0.1
"""Seconds: the longest grace of those below, and what KILL is given."""

pick = st.integers(min_value=0, max_value=10**6)
"""Which of those that are there, modulo their number."""

specs = st.builds(
    lambda mode, grace, policy, delay, limit, end, ready, drain, surge: spec_of(
        restart={"policy": policy, "delay": delay, "max_restarts": limit, "no_retry_exit_codes": (78,)},
        stop={"mode": mode, "grace": grace, "drain": drain},
        on_end=end,
        ready=ready,
        health=Health(probe=TcpProbe()) if ready else None,
        rolling=Rolling(surge=1) if surge else None,
    ),
    st.sampled_from(StopMode),
    st.sampled_from((10.0, 3.0, 0.5, 0.0)),
    st.sampled_from(When),
    st.sampled_from((0.5, 0.0, 4.0)),
    st.sampled_from((None, 2)),
    st.sampled_from((OnEnd.STAY, OnEnd.STAY, OnEnd.STAY, OnEnd.EXIT)),
    st.sampled_from((None, None, Readiness(probe=TcpProbe(), timeout=20.0))),
    st.sampled_from((None, None, Drain(seconds=2.5))),
    st.booleans(),
)


class Formation(RuleBasedStateMachine):
    os: SimulatedOS

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.stopped: set[str] = set()
        self.counts: dict[str, int] = {}
        self.scaled: set[str] = set()  # at run time
        self.types: dict[str, ProcessSpec] = {}

    @initialize(
        web=specs,
        job=specs,
        counts=st.tuples(st.integers(0, 3), st.integers(0, 2)),
        ordered=st.booleans(),
        hasty=st.booleans(),
    )
    def start(self, web: ProcessSpec, job: ProcessSpec, counts: tuple[int, int], ordered: bool, hasty: bool) -> None:
        needs = (Dependency(type="web"),) if ordered else ()
        job = replace(job, type="job", depends_on=needs)
        plan = plan_of(dict(zip(TYPES, counts, strict=True)), replace(web, type="web"), job)
        self.counts, self.types = dict(plan.counts), dict(plan.types)
        self.numbers = {name: list(range(1, count + 1)) for name, count in self.counts.items()}
        self.history = {name: [spec] for name, spec in plan.types.items()}
        self.os = SimulatedOS(plan)
        self.os.hasty = hasty
        self.os.wanted = self.is_wanted
        self.os.start()

    # ---- what is wanted, kept without a look at the fleet

    def is_wanted(self, spawn: Spawn) -> bool:
        type_name = spawn.spec.type
        if spawn.spec != self.types.get(type_name) and self.was_aborted(type_name):
            assert spawn.spec in self.history[type_name], "an aborted rollout goes back to a spec that there was"
            self.types[type_name] = spawn.spec
        return (
            (spawn.index in self.numbers.get(type_name, ()) or self.is_extra(type_name, spawn.index))
            and spawn.name not in self.stopped
            and spawn.spec == self.types[type_name]
        )

    def is_extra(self, type_name: str, number: int) -> bool:
        """Whether it is the extra instance of a rollout that goes on."""
        formation = self.os.fleet._formation
        return (
            formation.desired.surge.get(type_name) == number and formation.rollouts.running.get(type_name) is not None
        )

    def was_aborted(self, type_name: str) -> bool:
        shown = {row.type: row.rollout for row in self.os.fleet.view(self.os.now).types}[type_name]
        return shown is not None and shown.startswith("aborted")

    def set_counts(self, counts: dict[str, int]) -> None:
        """The numbers by the rule: the highest go, the lowest that no slot has come; a single one is always the first."""
        self.counts = counts
        for name in {*self.numbers, *counts}:
            count, held = counts.get(name, 0), self.numbers.get(name, [])
            taken = {i.index for i in self.os.fleet.instances() if i.spec.type == name}
            free = [n for n in range(1, 50) if n not in taken] if count > 1 or held else [1]
            self.numbers[name] = sorted([*held, *[n for n in free if n not in held][: max(0, count - len(held))]])[
                :count
            ]
        self.stopped &= set(self.names())

    def names(self) -> list[str]:
        return [f"{name}.{index}" for name, numbers in self.numbers.items() for index in numbers]

    def is_stopping(self) -> bool:
        return self.os.stopping or self.os.fleet.stopping

    # ---- the world goes on

    @precondition(lambda self: self.os.forks)
    @rule(which=pick, nature=st.sampled_from([Nature.OBEYS, *Nature]))
    def fork(self, which: int, nature: Nature) -> None:
        self.os.natures.append(nature)
        self.os.fork(which % len(self.os.forks))

    @precondition(lambda self: self.os.waiting())
    @rule(which=pick)
    def deliver(self, which: int) -> None:
        waiting = self.os.waiting()
        self.os.deliver(waiting[which % len(waiting)])

    @precondition(lambda self: self.os.waiting())
    @rule()
    def deliver_all(self) -> None:
        while self.os.waiting():
            self.os.deliver(self.os.waiting()[0])

    @rule()
    def hand_over(self) -> None:
        """Another program goes on with what this one knew: nothing may change by it."""
        before = self.os.fleet.state()
        state = decode(encode(before))
        self.os.fleet = Fleet(state.plan, state)
        assert self.os.fleet.state() == before

    @precondition(lambda self: self.os.due())
    @rule(which=pick)
    def fire(self, which: int) -> None:
        due = self.os.due()
        self.os.fire(due[which % len(due)])

    @rule(seconds=st.sampled_from(PAUSES))
    def time_passes(self, seconds: float) -> None:
        """Nothing fires in it: whatever is due is late."""
        self.os.now += seconds

    @rule(seconds=st.sampled_from(PAUSES))
    def all_goes_on(self, seconds: float) -> None:
        self.os.run(seconds)

    @precondition(lambda self: self.os.alive())
    @rule(which=pick, code=st.sampled_from((1, 0, 143, 78)))
    def leader_ends(self, which: int, code: int) -> None:
        alive = self.os.alive()
        self.os.exit(alive[which % len(alive)], code)

    @precondition(lambda self: self.os.runs)
    @rule(which=pick)
    def member_ends(self, which: int) -> None:
        self.os.member_ends(sorted(self.os.runs)[which % len(self.os.runs)])

    @precondition(lambda self: self.os.alive())
    @rule(which=pick)
    def leader_makes_a_daemon(self, which: int) -> None:
        alive = self.os.alive()
        self.os.daemon(self.os.runs[alive[which % len(alive)]])

    @rule(generation=st.integers(0, 3), owned=st.booleans())
    def orphan_appears(self, generation: int, owned: bool) -> None:
        current = self.os.fleet.get("web.1")
        generation = min(generation, current.generation - 1 if current else 0)
        self.os.appear(in_life="web.1" if owned else None, generation=generation)

    @precondition(lambda self: self.os.orphans)
    @rule()
    def orphan_ends(self) -> None:
        self.os.orphan_dies(min(self.os.orphans))

    @precondition(lambda self: self.os.runs)
    @rule(which=pick)
    def kill_works_at_last(self, which: int) -> None:
        self.os.thaw(sorted(self.os.runs)[which % len(self.os.runs)])

    @precondition(lambda self: self.os.fired)
    @rule(which=pick)
    def old_news_comes_again(self, which: int) -> None:
        """What was said of a run, or a deadline, was for that moment and has no second effect."""
        told = [e for e in self.os.fired if isinstance(e, Spawned | SpawnFailed | Exited | Emptied | TimerFired)]
        told = [e for e in told if not isinstance(e, TimerFired) or isinstance(e.key, SlotTimer)]
        if told:
            event, before = told[which % len(told)], self.os.fleet.instances()
            assert self.os.fleet.handle(event, self.os.now) == []
            assert self.os.fleet.instances() == before

    # ---- commands

    @rule(name=st.sampled_from(TYPES), count=st.integers(0, 4))
    def scale(self, name: str, count: int) -> None:
        if name in self.types and not self.is_stopping():
            self.set_counts(self.counts | {name: count})
            self.scaled.add(name)
            answer = self.os.command(Scale(to={name: count}))
            assert isinstance(answer, Reply)
            assert answer.formation == self.counts

    @precondition(lambda self: self.names())
    @rule(which=pick)
    def remove(self, which: int) -> None:
        name = self.names()[which % len(self.names())]
        of_type, _, number = name.partition(".")
        if not self.is_stopping():
            self.numbers[of_type].remove(int(number))
            self.counts = self.counts | {of_type: self.counts[of_type] - 1}
            self.stopped.discard(name)
            self.scaled.add(of_type)
            answer = self.os.command(Scale(to={of_type: self.counts[of_type]}, remove=(name,)))
            assert isinstance(answer, Reply)
            assert answer.formation == self.counts

    @precondition(lambda self: self.names())
    @rule(which=pick)
    def stop(self, which: int) -> None:
        name = self.names()[which % len(self.names())]
        if not self.is_stopping():
            self.stopped.add(name)
            assert isinstance(self.os.command(Stop((name,))), Reply)

    @precondition(lambda self: self.names())
    @rule(which=pick)
    def restart(self, which: int) -> None:
        name = self.names()[which % len(self.names())]
        if not self.is_stopping():
            self.stopped.discard(name)
            assert isinstance(self.os.command(Restart((name,))), Reply)

    @rule(name=st.sampled_from(TYPES), together=st.booleans())
    def restart_a_type(self, name: str, together: bool) -> None:
        if name in self.types and not self.is_stopping():
            self.stopped = {one for one in self.stopped if not one.startswith(f"{name}.")}
            assert isinstance(self.os.command(Restart((name,), together=together)), Reply)

    @precondition(lambda self: self.os.probes)
    @rule(which=pick, ok=st.booleans())
    def probe_is_answered(self, which: int, ok: bool) -> None:
        names = sorted(self.os.probes)
        self.os.answer(names[which % len(names)], ok=ok)

    @rule(seconds=st.sampled_from((0.0, 4.0)))
    def a_companion_holds_stops(self, seconds: float) -> None:
        if not self.is_stopping():
            self.os.command(Hold("balancer", ("web",) if "web" in self.types else (), seconds))

    @rule(index=st.integers(1, 3))
    def it_lets_go(self, index: int) -> None:
        i = self.os.fleet.get(f"web.{index}")
        if i is not None:
            self.os.handle(Released(i.name, i.generation, "balancer"))

    @rule(index=st.integers(1, 3), fault=st.sampled_from(("", "no balancer")))
    def it_reports_of_itself(self, index: int, fault: str) -> None:
        """As companions alone can: it means the same for any instance. One that is to be replaced may be so at once."""
        i = self.os.fleet.get(f"web.{index}")
        if i is not None:
            self.os.handle(Reported(i.name, i.generation, fault))
            after = self.os.fleet.get(i.name)
            assert after is not None
            up = Ready | Unhealthy
            assert isinstance(after.phase, up) <= isinstance(i.phase, up)
            assert isinstance(after.phase, Unhealthy if fault else Ready) == isinstance(after.phase, up)

    @rule()
    def signal(self) -> None:
        self.os.command(SendSignal("USR1", ()))

    @rule(gone=st.sampled_from((None, None, "job")), changed=st.sampled_from((None, *TYPES)), count=st.integers(0, 3))
    def reload(self, gone: str | None, changed: str | None, count: int) -> None:
        if self.is_stopping():
            return
        types = {name: self.types.get(name) or spec_of(name) for name in TYPES if name != gone}
        if changed in types:
            types[changed] = replace(types[changed], command=f"{types[changed].command} again")
        plan = Plan(root="/app", types=types, counts=dict.fromkeys(types, count), positions={}, keep_counts=True)
        self.scaled &= types.keys()
        run_time = {name: self.counts[name] for name in self.scaled}
        self.types = types
        for name, spec in types.items():
            self.history.setdefault(name, []).append(spec)
        self.set_counts(plan.counts | run_time)
        answer = self.os.command(Reload(plan))
        assert isinstance(answer, Reply)
        assert answer.formation == self.counts

    @precondition(lambda self: self.steps > 25 and not self.os.finished)
    @rule(how=st.integers(0, 9))
    def end(self, how: int) -> None:
        if how == 0:
            self.os.shut_down()
        elif how == 1:
            self.os.kill()

    # ---- what always holds

    @invariant()
    def everything_unsettled_has_something_coming(self) -> None:
        self.steps += 1
        assert self.os.stuck() == []

    @invariant()
    def the_counts_that_were_set_at_run_time_are_kept(self) -> None:
        if self.os.fleet.plan.keep_counts and not self.is_stopping():
            assert self.os.kept_counts == {name: self.counts[name] for name in self.scaled}

    @invariant()
    def the_numbers_that_are_wanted_stand_and_all_others_are_on_their_way_out(self) -> None:
        for name in self.types:
            indexes = {i.index for i in self.os.fleet.instances() if i.spec.type == name}
            assert set(self.numbers[name]) <= indexes
            assert all(self.is_extra(*each) for each in self.os.fleet._formation.desired.surge.items())
            for index in indexes - set(self.numbers[name]):
                i = self.os.fleet.get(f"{name}.{index}")
                assert i is not None
                if self.is_extra(name, index) or (self.is_stopping() and i.ended_for_good):
                    continue  # where all end, one that ended by itself keeps what it ended with
                assert isinstance(i.phase, (Spawning, Draining, Stopping, Clearing))
                assert not i.wanted
        assert not any(i.wanted for i in self.os.fleet.instances() if i.spec.type not in self.types)

    # ---- fair driving, to the end

    def teardown(self) -> None:
        if not hasattr(self, "os"):
            return
        self.os.run(CALM)
        if not self.is_stopping():
            for i in self.os.fleet.instances():
                self.check_settled(i)
            for name in self.types:
                self.check_rollout_is_over(name)
            asked_at = self.os.now
            self.os.shut_down()
            self.os.run(CALM)
            at = next(at for at, action in self.os.log if isinstance(action, Finish))
            assert at <= asked_at + WHOLE_STOP, "a stop ends within its grace, whatever waits for whom"
        assert len(self.os.finished) == 1, "a shutdown ends with exactly one Finish"
        stuck = any(p.immortal for run in self.os.runs.values() for p in run.procs.values())
        if stuck:
            assert self.os.finished == [1]
        else:
            assert not self.os.runs
            assert not self.os.orphans
            assert not any(self.os.kept.values())

    def check_rollout_is_over(self, name: str) -> None:
        """Where all have come to rest, no extra instance is left, and all run from the spec that is in force."""
        slots = [i for i in self.os.fleet.instances() if i.spec.type == name]
        if all(isinstance(i.phase, (Ready, Down, Done, Failed)) for i in slots):
            assert [i.index for i in slots] == self.numbers[name]
            assert all(i.spec == self.types[name] for i in slots if isinstance(i.phase, Ready))
            assert self.os.fleet._formation.rollouts.running.get(name) is None

    def check_settled(self, i: Instance) -> None:
        if i.unkillable:
            return
        if i.name in self.stopped:
            assert isinstance(i.phase, Down)
        else:
            assert self.has_to_wait(i) or isinstance(i.phase, (Ready, Unhealthy, Done, Failed)), f"{i} is not wanted so"

    def has_to_wait(self, i: Instance) -> bool:
        """Whether it waits for a type of which none has become ready, such as one whose only instance a person stopped."""
        needed = {one.type for one in i.spec.depends_on}
        there = [o for o in self.os.fleet.instances() if o.spec.type in needed and isinstance(o.phase, (Ready, Done))]
        return isinstance(i.phase, Waiting) and bool(needed) and not there


TestFormation = Formation.TestCase
