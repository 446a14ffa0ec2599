"""The acceptance scenarios that need no real process: whole stories on the pretended system.

A number in a name is that of the scenario in the list of faults that procman survives.
"""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from making import essence, spec_of

from pretended import Nature
from procman.core.actions import Refuse, Reply, Signal, Spawn
from procman.core.events import Reload, Restart, Scale, Stop, TimerFired
from procman.core.phases import Backoff, Down, Phase, Ready
from procman.core.spec import Plan
from procman.core.timers import SlotTimer, WaitingLineTimer
from procman.core.view import Kind
from simulation import SimulatedOS, simulated


def phase(system: SimulatedOS, name: str) -> type[Phase]:
    found = system.fleet.get(name)
    assert found is not None
    return type(found.phase)


@pytest.mark.parametrize("jitter", [0.0, 0.37, 0.999])
def test_2_the_gaps_between_tries_double_to_thirty_seconds(jitter):
    system = simulated({"a": 1, "b": 1})
    system.usual["a"] = Nature.DIES
    system.jitter = jitter
    system.run(100.0)
    gaps = [later - earlier for earlier, later in pairwise(system.spawns("a.1"))]
    expected = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0][: len(gaps)]
    assert gaps == pytest.approx([gap * (1 + 0.1 * jitter) for gap in expected])
    assert len(gaps) >= 7
    assert phase(system, "b.1") is Ready
    assert system.fleet._formation.crashes.looping("a")
    assert not system.fleet._formation.crashes.looping("b")


def test_3_an_exit_code_that_is_not_tried_again_fails_at_once_and_a_restart_starts_it():
    system = simulated({"a": 1, "b": 1}, spec_of("a", restart={"no_retry_exit_codes": (78,)}))
    system.drain()
    system.exit("a.1", 78)
    system.run(60.0)
    row = system.fleet.view(system.now).instances[0]
    assert row.phase == "failed"
    assert row.reason is not None
    assert "no_retry_exit_codes" in row.reason
    system.command(Restart(("a",)))
    system.run(2.0)
    assert phase(system, "a.1") is Ready


def test_6_twenty_that_die_while_their_database_is_away_are_back_without_help():
    system = simulated({"worker": 20})
    system.jitter = 0.999
    system.run(60.0)
    system.usual["worker"] = Nature.DIES
    for name in system.alive():
        system.exit(name, 1)
    system.run(20.0)
    assert system.fleet._formation.crashes.looping("worker")
    system.usual["worker"] = Nature.OBEYS
    system.run(35.0)
    assert [type(i.phase) for i in system.fleet.instances()] == [Ready] * 20


def test_9_a_late_kill_timer_of_the_dead_reaches_nobody_who_has_their_number():
    system = simulated({"web": 1}, natures=(Nature.IGNORES,))
    system.run(5.0)
    system.command(Restart())
    deadlines = [t for t in system.timers if t.key == SlotTimer("web.1")]
    leader = system.runs["web.1"].leader
    system.exit("web.1", 143)
    assert leader in system.strangers
    system.run(2.0)
    before = len(system.signals())
    system.now += 60.0
    for timer in deadlines:
        assert system.handle(TimerFired(timer.key, timer.token)) == []
    assert len(system.signals()) == before


def test_16_nothing_is_spawned_after_term_with_ten_in_backoff_and_five_starting():
    system = simulated({"back": 10, "starting": 5})
    system.usual["back"] = Nature.DIES
    system.run(0.2)
    system.command(Scale(to={"starting": 8}))  # three of which are forks under way
    spawns = sum(isinstance(action, Spawn) for _, action in system.log)
    system.shut_down()
    system.run(100.0)
    assert system.finished == [0]
    assert sum(isinstance(action, Spawn) for _, action in system.log) == spawns


def test_17_a_stop_in_a_long_backoff_is_done_at_once():
    system = simulated({"a": 1})
    system.usual["a"] = Nature.DIES
    system.run(62.0)
    assert phase(system, "a.1") is Backoff
    runs = len(system.spawns("a.1"))
    system.command(Stop(("a",)))
    assert phase(system, "a.1") is Down
    system.run(100.0)
    assert len(system.spawns("a.1")) == runs


def test_18_an_exit_around_its_stop_is_never_a_double_restart_or_an_unknown_state():
    """A thousand exits up to 5 ms before or after the stop or restart, each event late by some of that."""
    chance = random.Random(18)
    for _ in range(1000):
        system = simulated({"a": 1, "other": 1})
        system.run(chance.choice((0.0, 0.5, 5.0)))
        command = chance.choice((Stop(("a",)), Restart(("a",)), Scale(to={"a": 0})))
        moments = sorted(
            [("command", chance.uniform(0, 0.005)), ("exit", chance.uniform(0, 0.005))], key=lambda m: m[1]
        )
        for what, _at in moments:
            if what == "command":
                system.command(command)
            elif "a.1" in system.alive():
                system.exit("a.1", chance.choice((0, 1, 143)))
            system.now += chance.uniform(0, 0.005)
            while system.waiting() and chance.random() < 0.5:
                system.deliver(chance.choice(system.waiting()))
        system.run(30.0)
        rest = system.fleet.get("a.1")
        assert (type(rest.phase) if rest else None) is {Stop: Down, Restart: Ready, Scale: None}[type(command)]
        assert len(system.spawns("a.1")) == (2 if isinstance(command, Restart) else 1)


def test_20_what_kill_cannot_end_is_named_its_slot_not_used_again_and_procman_ends_with_1():
    system = simulated({"a": 1, "b": 1}, natures=(Nature.IMMORTAL,))
    system.run(5.0)
    system.command(Restart(("a",)))
    system.run(10.0 + 5.0)
    assert Kind.UNKILLABLE in system.kinds()
    system.run(100.0)
    assert len(system.spawns("a.1")) == 1
    system.shut_down()
    system.run(0.1)
    assert system.finished == [1]


@pytest.mark.parametrize("gap", [60.0, 365 * 86400.0])
def test_36_37_a_suspended_procman_ends_nobody_when_it_goes_on(gap):
    """The monotonic clock jumps over a suspension; every deadline is late, and none of them is a reason to kill."""
    system = simulated({"web": 3})
    system.drain()
    before = system.alive()
    system.now += gap
    system.drain()
    assert [type(i.phase) for i in system.fleet.instances()] == [Ready] * 3
    assert system.alive() == before
    assert system.signals() == []


def test_37_the_group_of_a_shell_has_its_two_seconds_also_where_a_suspension_fell_into_its_stop():
    system = simulated({"web": 1}, natures=(Nature.DEAF_SHELL,))
    system.run(5.0)
    system.command(Stop(all=True))
    system.now += 60.0
    system.drain()
    assert "KILL" not in {s.signal for s in system.signals()}
    system.run(2.0)
    assert system.alive() == []


def test_39_two_hundred_scalings_in_ten_seconds_end_where_the_last_one_says():
    system = simulated({"web": 1})
    for turn in range(200):
        system.natures.extend([Nature.TREE, Nature.OBEYS, Nature.DAEMON])
        assert isinstance(system.command(Scale(to={"web": (4, 1)[turn % 2]})), Reply)
        system.run(0.05)
    system.command(Scale(to={"web": 4}))
    system.run(30.0)
    assert system.alive() == ["web.1", "web.2", "web.3", "web.4"]
    assert [type(i.phase) for i in system.fleet.instances()] == [Ready] * 4
    system.run(30.0)
    assert [t for t in system.timers if t.key != WaitingLineTimer()] == []


def test_40_a_formation_lives_through_nought():
    system = simulated({"web": 2})
    system.run(5.0)
    system.command(Scale(to={"web": 0}))
    system.run(5.0)
    assert (system.fleet.instances(), system.finished) == ([], [])
    system.command(Scale(to={"web": 2}))
    system.run(5.0)
    assert system.alive() == ["web.1", "web.2"]


def test_42_a_reload_stops_starts_and_restarts_and_leaves_the_rest():
    system = simulated({"gone": 1, "same": 2, "other": 1})
    system.run(5.0)
    same = {name: run.leader for name, run in system.runs.items() if name.startswith("same")}
    types = {"same": spec_of("same"), "other": spec_of("other", command="better"), "new": spec_of("new")}
    types["same"] = system.fleet.plan.types["same"]
    counts = {"same": 2, "other": 1, "new": 1}
    system.command(Reload(Plan(root="/app", types=types, counts=counts, positions={})))
    system.run(15.0)
    assert system.alive() == ["new.1", "other.1", "same.1", "same.2"]
    assert {name: run.leader for name, run in system.runs.items() if name in same} == same
    assert system.runs["other.1"].generation == 2
    assert system.runs["other.1"].spec.command == "better"


def test_stopping_a_tree_signals_each_member_when_its_parent_has_gone():
    """Top-down: the leader, then its child once adopted, then the grandchild; nobody needs the last call."""
    system = simulated({"web": 1}, natures=(Nature.TREE,))
    system.run(5.0)
    system.shut_down()
    system.drain()
    assert system.finished == [0]
    assert {s.target.value for s in system.signals()} == {"top"}


def test_the_rest_of_a_crashed_group_is_gone_before_the_next_run():
    system = simulated({"web": 1}, natures=(Nature.STUBBORN_TREE,))
    system.run(5.0)
    system.exit("web.1", 1)
    system.drain()
    assert system.runs == {}
    system.run(1.0)
    assert system.alive() == ["web.1"]


def test_11_a_daemon_lives_as_long_as_an_instance_of_its_type():
    system = simulated({"web": 2}, natures=(Nature.DAEMON,))
    system.run(5.0)
    system.exit("web.1", 1)
    system.run(3.0)
    assert len(system.kept["web"]) == 1
    system.command(Scale(to={"web": 0}))
    system.run(3.0)
    assert (system.runs, system.kept) == ({}, {})


def test_11_a_daemon_of_the_only_instance_is_gone_before_the_next_run():
    system = simulated({"web": 1}, natures=(Nature.DAEMON,))
    system.run(5.0)
    system.exit("web.1", 1)
    system.drain()
    assert (system.runs, system.kept) == ({}, {})
    system.run(3.0)
    assert system.alive() == ["web.1"]


def test_a_refused_command_does_nothing_else():
    system = simulated({"web": 1})
    before = len(system.log)
    assert isinstance(system.command(Scale(to={"web": -1})), Refuse)
    assert [type(a) for a in essence(a for _, a in system.log[before:])] == [Refuse]
    assert not any(isinstance(a, Signal) for _, a in system.log)
