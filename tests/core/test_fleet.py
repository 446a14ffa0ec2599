"""What concerns more than one instance: slots and names, the end by itself, daemons of a type, crash loops."""

from __future__ import annotations

import pytest
from making import NOW, Story, finish_codes, of_type, plan_of, spawned_names, spec_of, told

from procman.core.actions import (
    OperationEnded,
    ReclaimDaemons,
    Remove,
    SetTimer,
    ShareDaemon,
    Signal,
    SignalProcess,
    Spawn,
)
from procman.core.events import (
    Adopted,
    Commanded,
    Emptied,
    Exited,
    ExitStatus,
    FormationStarted,
    Orphaned,
    OrphanReaped,
    Probed,
    Restart,
    Scale,
    SpawnFailed,
    Stop,
    TimerFired,
)
from procman.core.fleet import Fleet
from procman.core.phases import Backoff, Starting, Stopping
from procman.core.policies import Health, Readiness, TcpProbe
from procman.core.spec import OnEnd, When
from procman.core.timers import CrashLoopTimer, SlotTimer
from procman.core.view import Kind

EXIT = {"on_end": OnEnd.EXIT}
ONE_LIFE = {"restart": {"policy": When.NEVER}}


def scaled(story: Story, **counts: int):
    return story.happens(Commanded(Scale(to=counts), 1))


# ---- slots


def test_the_formation_starts_in_the_procfiles_order_and_lowest_number_first():
    fleet = Fleet(plan_of({"web": 2, "release": 0, "job": 1}))
    assert spawned_names(fleet.handle(FormationStarted(), NOW)) == ["web.1", "web.2", "job.1"]


def test_a_spawn_carries_what_the_kernel_needs_to_know():
    spec = spec_of("web", command="serve")
    assert Fleet(plan_of({"web": 1}, spec)).handle(FormationStarted(), NOW) == [Spawn("web.1", 1, spec, 1)]


def test_nothing_at_all_keeps_running():
    story = Story(plan_of({"web": 0}))
    assert [type(action) for action in story.seen] == [OperationEnded]
    assert spawned_names(scaled(story, web=1)) == ["web.1"]


def test_an_event_for_nobody_changes_nothing():
    story = Story(plan_of({"web": 1}))
    before = story.fleet.instances()
    for name in ("web.2", "job.1", "web", "", "web.x", "..1"):
        assert story.happens(Exited(name, 1, ExitStatus(1))) == []
        assert story.happens(TimerFired(SlotTimer(name), 1)) == []
    assert story.fleet.instances() == before


def test_siblings_are_not_touched_by_an_end():
    story = Story(plan_of({"web": 3}))
    story.ready("web.1", "web.2", "web.3")
    others = [story.instance("web.1"), story.instance("web.3")]
    story.ends("web.2", 137, "KILL")
    assert [story.instance("web.1"), story.instance("web.3")] == others
    assert story.phase("web.2") is Backoff


def test_a_slot_that_is_gone_leaves_its_numbers_to_the_next_of_its_name():
    """Deadlines are never cancelled: a new slot that counted from 1 again would take those of the old one."""
    story = Story(plan_of({"web": 1}))
    story.spawned("web.1")
    stale = of_type(story.seen, SetTimer)[-1]
    scaled(story, web=0)
    story.ends("web.1", 143, "TERM")
    assert of_type(story.seen, Remove) == [Remove("web.1")]
    scaled(story, web=1)
    story.spawned("web.1")
    assert story.instance("web.1").generation == 2
    story.happens(TimerFired(stale.key, stale.token))
    assert story.phase("web.1") is Starting
    assert story.happens(Exited("web.1", 1, ExitStatus(1))) == []


def test_a_removed_slot_forgets_its_history():
    story = Story(plan_of({"web": 1}))
    story.spawned("web.1")
    story.ends("web.1")
    scaled(story, web=0)
    scaled(story, web=1)
    fresh = story.instance("web.1")
    assert (fresh.record.failures, fresh.record.early_exits, fresh.record.restarts, fresh.record.last_exit) == (
        0,
        0,
        0,
        None,
    )


# ---- the end by itself


def test_all_done_ends_procman_with_0():
    story = Story(plan_of({"web": 1, "job": 1}))
    story.ready("web.1", "job.1")
    assert finish_codes(story.ends("web.1", 0)) == []
    assert finish_codes(story.ends("job.1", 0)) == [0]


def test_the_failure_that_came_first_in_time_decides_not_the_first_by_name():
    story = Story(plan_of({"a": 1, "b": 1, "c": 1}, *(spec_of(t, **ONE_LIFE) for t in "abc")))
    story.ready("a.1", "b.1", "c.1")
    story.ends("c.1", 0)
    story.now += 1
    story.ends("b.1", 3)
    story.now += 1
    assert finish_codes(story.ends("a.1", 4)) == [3]


def test_a_failure_is_as_old_as_its_end_not_as_the_end_of_what_it_left_behind():
    story = Story(plan_of({"a": 1, "b": 1}, *(spec_of(t, **ONE_LIFE) for t in "ab")))
    story.ready("a.1", "b.1")
    story.exited("b.1", 3)
    story.now += 1
    story.ends("a.1", 4)
    story.now += 1
    assert finish_codes(story.emptied("b.1")) == [3]


def test_a_signal_is_told_as_128_and_its_number():
    story = Story(plan_of({"a": 1}, spec_of("a", **ONE_LIFE)))
    story.ready("a.1")
    assert finish_codes(story.ends("a.1", 139, "SEGV")) == [139]


def test_a_start_that_failed_for_good_ends_procman_with_its_code():
    story = Story(plan_of({"a": 1}, spec_of("a", **ONE_LIFE)))
    assert finish_codes(story.happens(SpawnFailed("a.1", 1, 127, "no such command"))) == [127]


def test_one_in_backoff_keeps_procman_running():
    story = Story(plan_of({"a": 1, "b": 1}))
    story.ready("a.1", "b.1")
    story.ends("a.1", 0)
    assert finish_codes(story.ends("b.1", 1)) == []


def test_a_stopped_one_keeps_procman_running():
    story = Story(plan_of({"a": 1, "b": 1}))
    story.ready("a.1", "b.1")
    story.happens(Commanded(Stop(("b.1",)), 1))
    story.ends("b.1", 143, "TERM")
    assert finish_codes(story.ends("a.1", 0)) == []


def test_counts_of_nought_keep_procman_running():
    story = Story(plan_of({"web": 2}))
    story.ready("web.1", "web.2")
    scaled(story, web=0)
    story.ends("web.1", 143, "TERM")
    assert finish_codes(story.ends("web.2", 143, "TERM")) == []


# ---- on_end: exit


@pytest.mark.parametrize(("code", "result"), [(0, 0), (3, 3)])
def test_the_end_of_a_type_that_everything_hangs_on_stops_everything_with_its_code(code, result):
    story = Story(plan_of({"a": 1, "b": 1}, spec_of("a", **EXIT, **ONE_LIFE)))
    story.ready("a.1", "b.1")
    actions = story.ends("a.1", code)
    assert [s.name for s in of_type(actions, Signal) if s.signal == "TERM" and s.name == "b.1"] == ["b.1"]
    assert finish_codes(actions) == []
    assert finish_codes(story.ends("b.1", 143, "TERM")) == [result]


def test_the_first_end_decides_also_where_what_it_left_takes_longer_than_the_second():
    """--no-restart is policy never and on_end exit for every type."""
    specs = [spec_of(t, **EXIT, **ONE_LIFE) for t in "ab"]
    story = Story(plan_of({"a": 1, "b": 1}, *specs))
    story.ready("a.1", "b.1")
    story.exited("b.1", 3)
    assert story.phase("a.1") is Stopping
    story.ends("a.1", 4)
    assert finish_codes(story.emptied("b.1")) == [3]


@pytest.mark.parametrize("policy", When)
@pytest.mark.parametrize(("code", "signal"), [(0, None), (1, None), (143, None), (137, "KILL")])
def test_its_first_end_stops_everything_with_its_status_whatever_the_policy_says(policy, code, signal):
    spec = spec_of("a", restart={"policy": policy}, success_exit_codes=(0, 143), **EXIT)
    story = Story(plan_of({"a": 1, "b": 1}, spec))
    story.ready("a.1", "b.1")
    actions = story.ends("a.1", code, signal)
    assert spawned_names(actions) == []
    assert "starting again" not in told(actions, Kind.ENDED)[0]
    assert finish_codes(story.ends("b.1", 143, "TERM")) == [code]


@pytest.mark.parametrize(("code", "ends"), [(0, False), (3, True)])
def test_a_type_may_end_everything_only_by_its_failure(code, ends):
    spec = spec_of("a", on_end=OnEnd.EXIT_ON_FAILURE, restart={"max_restarts": 0})
    story = Story(plan_of({"a": 1, "b": 1}, spec))
    story.ready("a.1", "b.1")
    story.ends("a.1", code)
    assert story.fleet.stopping is ends
    if ends:
        assert finish_codes(story.ends("b.1", 143, "TERM")) == [code]


UNREADY = {"ready": Readiness(probe=TcpProbe(), timeout=5.0)}
UNHEALTHY = {"health": Health(probe=TcpProbe(), failures=1)}


@pytest.mark.parametrize("state", [UNREADY, UNHEALTHY], ids=["not ready in time", "unhealthy"])
@pytest.mark.parametrize(
    "ends",
    [EXIT, EXIT | ONE_LIFE, {"on_end": OnEnd.EXIT_ON_FAILURE, "restart": {"max_restarts": 0}}],
    ids=["exit", "no restart", "exit on failure"],
)
def test_an_end_for_its_state_is_its_end_too_and_a_failure(state, ends):
    story = Story(plan_of({"a": 1, "b": 1}, spec_of("a", **state, **ends)))
    story.ready("b.1")
    if state is UNREADY:
        story.spawned("a.1")
        story.now += 5.0
        actions = story.timer("a.1")
    else:
        story.ready("a.1")
        actions = story.happens(Probed("a.1", 1, ok=False, answer="refused"))
    assert any("a.1 is ended: " in text for text in told(actions, Kind.UNHEALTHY))
    assert story.phase("b.1") is Stopping
    story.ends("a.1", 0)
    assert finish_codes(story.ends("b.1", 143, "TERM")) == [1]


@pytest.mark.parametrize("ends", [EXIT | UNREADY, UNREADY | {"restart": {"max_restarts": 0}}], ids=["exit", "stay"])
def test_an_exit_0_before_it_was_ready_is_no_success_of_the_whole(ends):
    story = Story(plan_of({"a": 1, "b": 1}, spec_of("a", **ends)))
    story.spawned("a.1")
    story.ready("b.1")
    story.ends("a.1", 0)
    assert finish_codes(story.ends("b.1", 0)) == [1]


def test_a_failure_that_is_tried_again_ends_nothing():
    story = Story(plan_of({"a": 1, "b": 1}, spec_of("a", on_end=OnEnd.EXIT_ON_FAILURE)))
    story.ready("a.1", "b.1")
    story.ends("a.1", 3)
    assert not story.fleet.stopping


def test_a_stop_that_was_asked_for_is_no_end():
    story = Story(plan_of({"a": 1, "b": 1}, spec_of("a", **EXIT)))
    story.ready("a.1", "b.1")
    story.happens(Commanded(Stop(("a",)), 1))
    story.ends("a.1", 143, "TERM")
    assert not story.fleet.stopping


def test_a_failed_start_of_such_a_type_is_an_end():
    story = Story(plan_of({"a": 1, "b": 1}, spec_of("a", **EXIT, **ONE_LIFE)))
    story.ready("b.1")
    story.happens(SpawnFailed("a.1", 1, 126, "not executable"))
    assert finish_codes(story.ends("b.1", 143, "TERM")) == [126]


# ---- daemons of a type


def test_a_daemon_is_kept_until_the_last_leader_of_its_type_has_ended():
    story = Story(plan_of({"web": 2}))
    story.ready("web.1", "web.2")
    assert of_type(story.happens(Adopted("web.1", 1, 77, in_group=False)), ShareDaemon) == [ShareDaemon("web.1", 77)]
    assert of_type(story.ends("web.1"), ReclaimDaemons) == []
    assert of_type(story.exited("web.2"), ReclaimDaemons) == [ReclaimDaemons("web.2", 1, "TERM")]


def test_the_daemons_are_inherited_once():
    story = Story(plan_of({"web": 1}))
    story.ready("web.1")
    assert len(of_type(story.exited("web.1"), ReclaimDaemons)) == 1
    assert of_type(story.exited("web.1"), ReclaimDaemons) == []


def test_what_a_run_that_is_over_left_behind_is_ended_at_once():
    story = Story(plan_of({"web": 1}))
    story.ready("web.1")
    story.ends("web.1")
    actions = story.happens(Adopted("web.1", 1, 77, in_group=False))
    assert of_type(actions, SignalProcess) == [SignalProcess(77, "TERM"), SignalProcess(77, "CONT")]


def test_what_an_earlier_life_left_behind_is_not_taken_for_a_daemon_of_the_next():
    story = Story(plan_of({"web": 1}))
    story.ready("web.1")
    story.ends("web.1")
    story.timer("web.1")
    story.ready("web.1")
    actions = story.happens(Adopted("web.1", 1, 77, in_group=False))
    assert of_type(actions, ShareDaemon) == []
    assert SignalProcess(77, "TERM") in actions


def test_an_orphan_is_left_alone_and_holds_up_the_end_until_it_is_reaped():
    story = Story(plan_of({"a": 1}))
    story.ready("a.1")
    assert story.happens(Orphaned(77)) == []
    actions = story.ends("a.1", 0)
    assert SignalProcess(77, "TERM") in actions
    assert finish_codes(actions) == []
    assert finish_codes(story.happens(OrphanReaped(77))) == [0]


# ---- crash loops


def loops_shown(story: Story) -> list[bool]:
    return [row.crash_loop for row in story.fleet.view(story.now).instances]


def crash(story: Story, name: str = "web.1") -> list:
    story.spawned(name)
    actions = story.ends(name)
    story.now = story.instance(name).phase.until
    story.timer(name)
    return actions


def test_the_third_early_death_is_told_once_and_shown():
    story = Story(plan_of({"web": 1}))
    assert [len(told(crash(story), Kind.CRASH_LOOP)) for _ in range(5)] == [0, 0, 1, 0, 0]
    assert story.fleet.view(story.now).instances[0].crash_loop


def test_five_deaths_over_a_type_are_a_crash_loop_also_without_an_early_one():
    names = [f"web.{n}" for n in range(1, 6)]
    story = Story(plan_of({"web": 5}))
    story.ready(*names)
    assert [bool(told(story.ends(name), Kind.CRASH_LOOP)) for name in names] == [False] * 4 + [True]


def test_a_failed_start_is_a_death():
    story = Story(plan_of({"web": 1}))
    for _ in range(3):
        i = story.instance("web.1")
        story.happens(SpawnFailed("web.1", i.generation, 127, "no such command"))
        story.timer("web.1")
    assert story.fleet._formation.crashes.looping("web")


def test_a_failed_start_is_one_death_however_often_it_is_told():
    story = Story(plan_of({"web": 1}))
    for _ in range(5):
        story.happens(SpawnFailed("web.1", 1, 127, "no such command"))
    assert not story.fleet._formation.crashes.looping("web")


def test_good_ends_and_stops_are_no_deaths():
    story = Story(plan_of({"web": 6}))
    names = [f"web.{n}" for n in range(1, 7)]
    story.spawned(*names)
    for name in names[:5]:
        story.ends(name, 0)
    story.happens(Commanded(Stop(("web.6",)), 1))
    story.ends("web.6", 1)
    assert not story.fleet._formation.crashes.looping("web")


def test_a_minute_without_a_death_ends_the_crash_loop():
    story = Story(plan_of({"web": 1}))
    for _ in range(3):
        crash(story)
    story.ready("web.1")
    assert len(told(story.fleet_timer(CrashLoopTimer("web")), Kind.RECOVERED)) == 1
    assert not story.fleet._formation.crashes.looping("web")


def test_a_death_within_the_minute_makes_it_start_anew():
    story = Story(plan_of({"web": 1}))
    for _ in range(3):
        crash(story)
    first = [a for a in of_type(story.seen, SetTimer) if a.key == CrashLoopTimer("web")][-1]
    crash(story)
    assert story.happens(TimerFired(first.key, first.token)) == []
    assert story.fleet._formation.crashes.looping("web")


def test_a_deadline_of_an_earlier_crash_loop_does_not_end_the_next():
    story = Story(plan_of({"web": 1}))
    for _ in range(3):
        crash(story)
    old = [a for a in of_type(story.seen, SetTimer) if a.key == CrashLoopTimer("web")][-1]
    story.fleet_timer(CrashLoopTimer("web"))
    for _ in range(3):
        crash(story)
    story.happens(TimerFired(old.key, old.token))
    assert story.fleet._formation.crashes.looping("web")


def test_the_crash_loop_of_one_type_is_not_that_of_another():
    story = Story(plan_of({"web": 1, "job": 1}))
    for _ in range(3):
        crash(story)
    assert not story.fleet._formation.crashes.looping("job")


def test_an_event_of_an_earlier_life_is_no_death():
    story = Story(plan_of({"web": 1}))
    crash(story)
    for _ in range(5):
        assert story.happens(Exited("web.1", 1, ExitStatus(1))) == []
        assert story.happens(Emptied("web.1", 1)) == []
    assert not story.fleet._formation.crashes.looping("web")


def test_a_crash_loop_is_told_of_the_type_once_and_shown_at_those_that_crash():
    story = Story(plan_of({"web": 2}))
    story.ready("web.2")
    for _ in range(3):
        crash(story)
    rows = story.fleet.view(story.now).instances
    assert [(row.name, row.crash_loop) for row in rows] == [("web.1", True), ("web.2", False)]
    assert "crash loop" in (rows[0].reason or "")
    assert rows[1].reason is None


def test_an_instance_that_lives_for_a_minute_is_out_of_the_loop_though_its_type_is_not():
    story = Story(plan_of({"web": 2}))
    story.ready("web.2")
    for _ in range(3):
        crash(story)
    story.ready("web.1")
    story.now += 30.0
    for _ in range(2):
        crash(story, "web.2")
    story.now += 30.0
    assert loops_shown(story) == [False, True]


def test_one_that_dies_once_beside_a_crash_loop_is_in_none():
    story = Story(plan_of({"db": 3}))
    story.ready("db.1", "db.3")
    for _ in range(3):
        crash(story, "db.2")
    story.ends("db.1", 137, "KILL")
    assert loops_shown(story) == [False, True, False]
    story.timer("db.1")
    story.ready("db.1")
    assert loops_shown(story) == [False, True, False]


def test_of_many_that_die_once_the_type_is_told_and_none_is_said_to_loop():
    story = Story(plan_of({"web": 5}))
    names = [f"web.{n}" for n in range(1, 6)]
    story.ready(*names)
    for name in names:
        story.ends(name)
    assert story.fleet._formation.crashes.looping("web")
    assert not any(loops_shown(story))
    story.timer("web.4")
    crash(story, "web.4")
    assert loops_shown(story) == [False, False, False, True, False]


def test_two_deaths_with_more_than_a_minute_between_them_are_no_loop():
    story = Story(plan_of({"web": 2}))
    story.ready("web.1")
    crash(story)
    story.ready("web.1")
    story.now += 60.0
    for _ in range(3):
        crash(story, "web.2")
    story.ends("web.1")
    assert loops_shown(story) == [False, True]


def test_a_crash_loop_is_shown_however_long_the_pauses_are():
    story = Story(plan_of({"web": 1}, spec_of(restart={"delay": 100.0, "max_delay": 100.0})))
    for _ in range(2):
        crash(story)
    story.spawned("web.1")
    story.ends("web.1")
    assert loops_shown(story) == [True]


def test_what_a_person_restarts_out_of_a_crash_loop_is_in_none_until_it_dies_again_and_again():
    story = Story(plan_of({"web": 1}))
    for _ in range(3):
        crash(story)
    story.spawned("web.1")
    story.happens(Commanded(Restart(("web.1",)), 1))
    story.ends("web.1", 143, "TERM")
    story.spawned("web.1")
    story.ends("web.1")
    assert loops_shown(story) == [False]
    story.timer("web.1")
    crash(story)
    assert loops_shown(story) == [True]


def test_what_is_given_up_is_not_said_to_be_tried_again():
    story = Story(plan_of({"web": 1}, spec_of(restart={"max_restarts": 2})))
    for _ in range(2):
        crash(story)
    story.spawned("web.1")
    actions = story.ends("web.1")
    assert "given up" in told(actions, Kind.ENDED)[0]
    assert told(actions, Kind.CRASH_LOOP) == []
    assert not story.fleet.view(story.now).instances[0].crash_loop
