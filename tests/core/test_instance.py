"""The machine of one instance, cell by cell: a base instance, one event, the change and the actions.

`MOVES` has the cells of the table in instance.py that are not empty; every other pair of a phase and an event must
leave the instance as it is.
"""

from __future__ import annotations

import re

import pytest
from making import (
    ASKED,
    CRASHED,
    FAILURE,
    NOW,
    PID,
    SPEC,
    SUCCESS,
    TERMINATED,
    USUAL,
    both,
    changed,
    essence,
    instance_in,
    spec_of,
)
from msgspec.structs import replace

from procman.core import instance as machine
from procman.core.actions import CancelSpawn, SetTimer, ShareDaemon, Signal, SignalProcess, Spawn, Target
from procman.core.events import (
    Adopted,
    Emptied,
    Exited,
    ExitStatus,
    HaltWanted,
    KillAsked,
    Notified,
    Probed,
    Released,
    Reported,
    RestartWanted,
    SpawnCancelled,
    Spawned,
    SpawnFailed,
    StartWanted,
    StopTerms,
    StopWanted,
    TimerFired,
    Unreadable,
    WaitWanted,
)
from procman.core.facts import BecameReady, Died, EndedItself, LeaderEnded, Rested, Started
from procman.core.instance import step
from procman.core.phases import (
    ALIVE,
    PHASES,
    AfterClearing,
    AfterSpawn,
    Backoff,
    Clearing,
    Done,
    Down,
    Draining,
    Failed,
    Leader,
    Ready,
    Spawning,
    Starting,
    Stopping,
    StopReason,
    StopStep,
    Unhealthy,
    Waiting,
)
from procman.core.stopping import MOST_TIME
from procman.core.timers import SlotTimer
from procman.core.view import Kind, Reason, ReasonCode
from procman.core.wording import KILLED

NEW = spec_of(command="serve better", stop={"grace": 3.0})

EVENTS = {
    "StartWanted": StartWanted(),
    "WaitWanted": WaitWanted(("redis",)),
    "StopWanted": StopWanted(Reason(ReasonCode.SCALED_DOWN, "scaled down")),
    "RestartWanted": RestartWanted(NEW, Reason(ReasonCode.RELOADED, "reload")),
    "HaltWanted": HaltWanted(Reason(ReasonCode.GROUP_RESTARTED, "restarted with job.1")),
    "Spawned": Spawned("web.1", 7, PID),
    "SpawnFailed": SpawnFailed("web.1", 7, 127, "no such command"),
    "SpawnCancelled": SpawnCancelled("web.1", 7),
    "Unreadable": Unreadable("web.1", 7, "no watch left"),
    "Exited": Exited("web.1", 7, FAILURE),
    "Emptied": Emptied("web.1", 7),
    "Probed": Probed("web.1", 7, ok=True),
    "Released": Released("web.1", 7, "balancer"),
    "Reported": Reported("web.1", 7, "no HAProxy"),
    "TimerFired": TimerFired(SlotTimer("web.1"), 40),
}

# ---- what the moves lead to: changes, actions, facts

STOP_ASKED = EVENTS["StopWanted"].why
RESTART_ASKED = EVENTS["RestartWanted"].why
YOUNG, OLD = Leader(PID, NOW - 0.5, SPEC.stop), Leader(PID, NOW - 50.0, SPEC.stop)
TIMER = SlotTimer("web.1")
RESTED = Rested()
STARTED = (Started(),)
HALT_ASKED = EVENTS["HaltWanted"].why
GROUP_FAILED = Reason(ReasonCode.GROUP_FAILED, "group pair failed")


def spawning(spec=SPEC, **more):
    fresh = {"phase": Spawning(spec.stop), "wanted": True, "generation": 8, "token": 41, "phase_since": NOW}
    return fresh | {"spec": spec} | more, (Spawn("web.1", 8, spec, 1),), ()


def afresh(spec=SPEC, **more):
    return spawning(spec, failures=0, early_exits=0, died_at=None, **more)


WAITS = (
    {"phase": Waiting(("redis",)), "phase_since": NOW, "token": 41, "wanted": True}
    | {"failures": 0, "early_exits": 0, "died_at": None},
    (Kind.WAITING,),
    (),
)


def down(why=STOP_ASKED, **more):
    rest = {"phase": Down(why), "wanted": False, "phase_since": NOW, "token": 41}
    return rest | more, (Kind.STOPPED,), (RESTED,)


def stopping(leader, reason, why, timer_at, *, wanted, **more):
    phase = Stopping(leader, reason, why, StopStep.TERM_SENT, NOW + 10.0)
    asked = {"phase": phase, "wanted": wanted, "phase_since": NOW, "token": 41}
    return asked | more, (Kind.STOPPING, *both("TERM", Target.TOP), SetTimer(TIMER, 41, timer_at)), ()


def with_facts(facts, moved):
    return (*moved[:2], facts)


def clearing(leader, then, why, *, early, delay=0.5, status=FAILURE, facts=()):
    ended = {
        "phase": Clearing(leader, then, why, StopStep.TERM_SENT, NOW + 10.0, delay),
        "phase_since": NOW,
        "token": 41,
        "last_exit": status,
        "ended_at": NOW,
        "failures": 1,
        "early_exits": early,
        "died_at": NOW if facts else None,
    }
    kill = Signal("web.1", 7, "KILL", Target.GROUP)
    actions = (Kind.ENDED, kill, *both("TERM", Target.ADOPTED), SetTimer(TIMER, 41, NOW + 10.0))
    return ended, actions, (LeaderEnded(status), EndedItself(status), *facts)


def in_phase(kind, **more):
    """The phase as it is in `instance_in`, with these fields changed."""
    return {"phase": replace(USUAL[kind][0], **more)}


REPEAT = NOW + 1.0  # a young process gets the signal once more
DEADLINE = NOW + 10.0
DIED = (Died(retried=True),)
CANNOT_START = Reason(ReasonCode.CANNOT_START, "cannot start: no such command")

KILLED_UNREAD = ({}, (Kind.KILLED, Signal("web.1", 7, "KILL", Target.ALL)), ())

MOVES = {
    (Down, "StartWanted"): afresh(),
    (Down, "RestartWanted"): afresh(NEW),
    (Spawning, "StartWanted"): ({"wanted": True}, (), ()),
    (Spawning, "StopWanted"): (
        {"wanted": False} | in_phase(Spawning, why=STOP_ASKED),
        (CancelSpawn("web.1", 7),),
        (),
    ),
    (Spawning, "SpawnCancelled"): afresh(),
    (Spawning, "RestartWanted"): (
        {"spec": NEW} | in_phase(Spawning, then=AfterSpawn.REPLACE, why=RESTART_ASKED),
        (),
        (),
    ),
    (Spawning, "Spawned"): (
        {"phase": Starting(Leader(PID, NOW, SPEC.stop)), "phase_since": NOW, "token": 41},
        (SetTimer(TIMER, 41, NOW + 1.0), Kind.STARTED),
        STARTED,
    ),
    (Spawning, "SpawnFailed"): (
        {
            "phase": Backoff(CANNOT_START, NOW + 0.5, 0.5),
            "last_exit": ExitStatus(127),
            "ended_at": NOW,
            "died_at": NOW,
            "failures": 1,
            "early_exits": 1,
            "phase_since": NOW,
            "token": 41,
        },
        (Kind.START_FAILED, SetTimer(TIMER, 41, NOW + 0.5), Kind.BACKOFF),
        (EndedItself(ExitStatus(127)), *DIED),
    ),
    (Starting, "StopWanted"): stopping(YOUNG, StopReason.ASKED, STOP_ASKED, REPEAT, wanted=False),
    (Starting, "RestartWanted"): stopping(YOUNG, StopReason.REPLACED, RESTART_ASKED, REPEAT, wanted=True, spec=NEW),
    (Spawning, "HaltWanted"): (in_phase(Spawning, then=AfterSpawn.REGROUP, why=HALT_ASKED), (), ()),
    (Starting, "HaltWanted"): stopping(YOUNG, StopReason.REGROUPED, HALT_ASKED, REPEAT, wanted=True),
    (Ready, "HaltWanted"): stopping(OLD, StopReason.REGROUPED, HALT_ASKED, DEADLINE, wanted=True),
    (Unhealthy, "HaltWanted"): stopping(OLD, StopReason.REGROUPED, HALT_ASKED, DEADLINE, wanted=True),
    (Backoff, "WaitWanted"): (
        {"phase": Waiting(("redis",), retry=True), "phase_since": NOW, "token": 41},
        (Kind.WAITING,),
        (),
    ),
    (Starting, "Exited"): clearing(YOUNG, AfterClearing.BACKOFF, CRASHED, early=1, facts=DIED),
    (Starting, "TimerFired"): (
        {"phase": Ready(YOUNG, NOW), "phase_since": NOW, "token": 41, "early_exits": 0},
        (Kind.READY,),
        (BecameReady(),),
    ),
    (Ready, "StopWanted"): stopping(OLD, StopReason.ASKED, STOP_ASKED, DEADLINE, wanted=False),
    (Ready, "RestartWanted"): stopping(OLD, StopReason.REPLACED, RESTART_ASKED, DEADLINE, wanted=True, spec=NEW),
    (Unhealthy, "StopWanted"): stopping(OLD, StopReason.ASKED, STOP_ASKED, DEADLINE, wanted=False),
    (Unhealthy, "RestartWanted"): stopping(OLD, StopReason.REPLACED, RESTART_ASKED, DEADLINE, wanted=True, spec=NEW),
    (Unhealthy, "Exited"): clearing(OLD, AfterClearing.BACKOFF, CRASHED, early=0, facts=DIED),
    (Unhealthy, "Probed"): (
        {"phase": Ready(OLD, NOW - 49.0), "phase_since": NOW, "token": 41},
        (Kind.READY,),
        (BecameReady(),),
    ),
    (Unhealthy, "Reported"): (in_phase(Unhealthy, answer="no HAProxy"), (), ()),
    (Ready, "Reported"): (
        {"phase": Unhealthy(OLD, NOW - 49.0, 0, "no HAProxy"), "phase_since": NOW, "token": 41},
        (Kind.UNHEALTHY,),
        (),
    ),
    (Draining, "StartWanted"): ({"wanted": True}, (), ()),
    (Draining, "StopWanted"): (
        in_phase(Draining, why=STOP_ASKED) | {"token": 41},
        (SetTimer(TIMER, 41, NOW + 5.0),),
        (),
    ),
    (Draining, "RestartWanted"): (
        {"wanted": True, "spec": NEW, "token": 41} | in_phase(Draining, reason=StopReason.REPLACED, why=RESTART_ASKED),
        (SetTimer(TIMER, 41, NOW + 5.0),),
        (),
    ),
    (Draining, "Exited"): (
        {
            "phase": Stopping(OLD, StopReason.ASKED, ASKED, StopStep.TERM_SENT, NOW + 10.0, FAILURE),
            "phase_since": NOW,
            "token": 41,
            "last_exit": FAILURE,
        },
        (Kind.STOPPING, *both("TERM", Target.TOP), SetTimer(TIMER, 41, DEADLINE)),
        (LeaderEnded(FAILURE),),
    ),
    (Draining, "Released"): stopping(OLD, StopReason.ASKED, ASKED, DEADLINE, wanted=False),
    (Draining, "TimerFired"): stopping(OLD, StopReason.ASKED, ASKED, DEADLINE, wanted=False),
    (Waiting, "StartWanted"): afresh(),
    (Waiting, "WaitWanted"): ({}, (), ()),
    (Waiting, "StopWanted"): down(),
    (Waiting, "RestartWanted"): ({"spec": NEW}, (), ()),
    (Down, "WaitWanted"): WAITS,
    (Failed, "WaitWanted"): WAITS,
    (Done, "WaitWanted"): WAITS,
    (Ready, "Exited"): clearing(OLD, AfterClearing.BACKOFF, CRASHED, early=0, facts=DIED),
    (Stopping, "StartWanted"): ({"wanted": True}, (), ()),
    (Stopping, "StopWanted"): (in_phase(Stopping, why=STOP_ASKED), (), ()),
    (Stopping, "RestartWanted"): (
        {"wanted": True, "spec": NEW} | in_phase(Stopping, reason=StopReason.REPLACED, why=RESTART_ASKED),
        (),
        (),
    ),
    (Stopping, "Exited"): (
        in_phase(Stopping, exit=FAILURE) | {"last_exit": FAILURE, "exit_asked": True},
        (),
        (LeaderEnded(FAILURE),),
    ),
    (Stopping, "Emptied"): down(ASKED),
    (Stopping, "TimerFired"): ({"token": 41}, (*both("TERM", Target.LEADER), SetTimer(TIMER, 41, NOW + 9.0)), ()),
    (Clearing, "StartWanted"): ({}, (), ()),
    (Clearing, "StopWanted"): (
        {"wanted": False} | in_phase(Clearing, then=AfterClearing.RESPAWN, why=STOP_ASKED),
        (),
        (),
    ),
    (Clearing, "RestartWanted"): (
        {"spec": NEW} | in_phase(Clearing, then=AfterClearing.RESPAWN, why=RESTART_ASKED),
        (),
        (),
    ),
    (Clearing, "Emptied"): (
        {"phase": Backoff(CRASHED, NOW + 4.0, 4.0), "phase_since": NOW, "token": 41},
        (SetTimer(TIMER, 41, NOW + 4.0), Kind.BACKOFF),
        (),
    ),
    (Clearing, "TimerFired"): (
        in_phase(Clearing, step=StopStep.KILL_SENT, kill_at=NOW) | {"token": 41},
        (Kind.KILLED, Signal("web.1", 7, "KILL", Target.ALL), SetTimer(TIMER, 41, NOW + 5.0)),
        (),
    ),
    (Backoff, "StopWanted"): down(),
    (Backoff, "RestartWanted"): afresh(NEW),
    (Backoff, "TimerFired"): spawning(restarts=1),
    (Failed, "StartWanted"): afresh(),
    (Failed, "StopWanted"): down(),
    (Failed, "RestartWanted"): afresh(NEW),
    (Done, "StartWanted"): afresh(),
    (Done, "StopWanted"): down(),
    (Done, "RestartWanted"): afresh(NEW),
}

MOVES |= {(phase, "Unreadable"): KILLED_UNREAD for phase in (*ALIVE, Stopping)}

CELLS = [pytest.param(phase, event, id=f"{phase.__name__}-{event}") for phase in PHASES for event in EVENTS]


@pytest.mark.parametrize(("phase", "event"), CELLS)
def test_each_cell_of_the_table_does_what_it_says_and_an_empty_one_nothing(phase, event):
    before = instance_in(phase)
    changes, actions, facts = MOVES.get((phase, event), ({}, (), ()))
    after, happened, meant = step(before, EVENTS[event], NOW)
    assert after == changed(before, **changes)
    assert essence(happened) == actions
    assert meant == facts


def docstring_cells() -> dict[str, set[str]]:
    """The table of the module's docstring: for each phase the columns that are not empty."""
    lines = (machine.__doc__ or "").splitlines()
    head = next(number for number, line in enumerate(lines) if line.lstrip().startswith("phase "))
    starts = {name: lines[head].index(f" {name}") + 1 for name in EVENTS}
    ends = dict(zip(starts, [*list(starts.values())[1:], 1000], strict=True))
    table: dict[str, set[str]] = {}
    for line in lines[head + 1 :]:
        row = re.match(r"    ([A-Z]+) ", line)
        if row:
            table[row[1]] = {name for name in starts if line[starts[name] : ends[name]].strip()}
        elif not line.strip():
            break
    return table


def test_the_table_in_the_docstring_has_a_row_for_every_phase_and_just_these_cells():
    cells = {p: {event for phase, event in MOVES if phase is p} for p in PHASES}
    assert docstring_cells() == {p.__name__.upper(): events for p, events in cells.items()}


LATE = [
    Spawned("web.1", 6, 77),
    SpawnFailed("web.1", 6, 127, "gone"),
    Exited("web.1", 6, FAILURE),
    Emptied("web.1", 6),
    Adopted("web.1", 6, 77, in_group=True),
    Adopted("web.1", 6, 77, in_group=False),
    Spawned("web.1", 8, 77),
    Exited("web.1", 8, FAILURE),
    TimerFired(SlotTimer("web.1"), 39),
    TimerFired(SlotTimer("web.1"), 41),
]


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
@pytest.mark.parametrize("event", LATE, ids=lambda event: f"{type(event).__name__}-{event}"[-40:])
def test_an_event_of_another_run_or_another_deadline_changes_nothing(phase, event):
    before = instance_in(phase)
    assert step(before, event, NOW) == (before, (), ())


# ---- rows beyond the table: what the same cell does in other circumstances


def two_later(actions):
    """It enters the stop and the kill, each with a deadline of its own."""
    return (*actions[:-1], replace(actions[-1], token=42))


KILL_ALL = (Signal("web.1", 7, "KILL", Target.ALL), SetTimer(TIMER, 41, NOW + 5.0))


def killed(leader, why=KILLED):
    phase = Stopping(leader, StopReason.ASKED, why, StopStep.KILL_SENT, NOW)
    return {"phase": phase, "wanted": False, "phase_since": NOW}


def waits_again(**more):
    return {"phase": Waiting((), retry=True), "phase_since": NOW, "token": 41} | more, (Kind.WAITING,), ()


def fails(**more):
    failed = {"phase": Failed(GROUP_FAILED), "ended_at": NOW, "phase_since": NOW, "token": 41}
    return failed | more, (Kind.FAILED,), (RESTED,)


FAIL = HaltWanted(GROUP_FAILED, failed=True)

CIRCUMSTANCES = {
    "what is stopped with its group waits for its turn": (
        instance_in(Stopping, wanted=True, reason=StopReason.REGROUPED, why=HALT_ASKED),
        EVENTS["Emptied"],
        waits_again(),
    ),
    "and is started in its turn as by itself": (
        instance_in(Waiting, retry=True, failures=2),
        EVENTS["StartWanted"],
        spawning(restarts=1, failures=2),
    ),
    "what fails with its group is failed once all is gone": (
        instance_in(Stopping, wanted=True, reason=StopReason.GROUP_FAILED, why=GROUP_FAILED),
        EVENTS["Emptied"],
        fails(),
    ),
    "what is to be stopped with its group is stopped as soon as it is there": (
        instance_in(Spawning, then=AfterSpawn.REGROUP, why=HALT_ASKED),
        EVENTS["Spawned"],
        with_facts(
            STARTED, stopping(Leader(PID, NOW, SPEC.stop), StopReason.REGROUPED, HALT_ASKED, REPEAT, wanted=True)
        ),
    ),
    "or waits for its turn where it could not be started": (
        instance_in(Spawning, then=AfterSpawn.REGROUP, why=HALT_ASKED),
        EVENTS["SpawnFailed"],
        waits_again(last_exit=ExitStatus(127)),
    ),
    "what fails with its group while it is started is failed where that fails, too": (
        instance_in(Spawning, then=AfterSpawn.FAIL, why=GROUP_FAILED),
        EVENTS["SpawnFailed"],
        fails(last_exit=ExitStatus(127)),
    ),
    "a group that fails takes along what starts": (
        instance_in(Spawning),
        FAIL,
        (in_phase(Spawning, then=AfterSpawn.FAIL, why=GROUP_FAILED), (), ()),
    ),
    "and what is ready": (
        instance_in(Ready),
        FAIL,
        stopping(OLD, StopReason.GROUP_FAILED, GROUP_FAILED, DEADLINE, wanted=True),
    ),
    "and what is stopped to be replaced": (
        instance_in(Stopping, wanted=True, reason=StopReason.REPLACED),
        FAIL,
        (in_phase(Stopping, reason=StopReason.GROUP_FAILED, why=GROUP_FAILED), (), ()),
    ),
    "and what is stopped for its own state": (
        instance_in(Stopping, wanted=True, reason=StopReason.UNHEALTHY),
        FAIL,
        (in_phase(Stopping, reason=StopReason.GROUP_FAILED, why=GROUP_FAILED), (), ()),
    ),
    "and what crashed": (
        instance_in(Clearing),
        FAIL,
        (in_phase(Clearing, then=AfterClearing.FAILED, why=GROUP_FAILED), (), ()),
    ),
    "and what is to be tried again": (instance_in(Backoff), FAIL, fails()),
    "and what waits": (instance_in(Waiting), FAIL, fails()),
    "but not what a person stopped": (instance_in(Stopping), FAIL, ({}, (), ())),
    "nor what is done": (instance_in(Done), FAIL, ({}, (), ())),
    "nor what is about to be": (instance_in(Clearing, then=AfterClearing.DONE), FAIL, ({}, (), ())),
    "nor does a kill wait for it": (instance_in(Spawning, then=AfterSpawn.KILL), FAIL, ({}, (), ())),
    "what is replaced waits for its turn, too": (
        instance_in(Stopping, wanted=True, reason=StopReason.REPLACED),
        EVENTS["HaltWanted"],
        (in_phase(Stopping, reason=StopReason.REGROUPED, why=HALT_ASKED), (), ()),
    ),
    "what is stopped for its own state is tried again after its own delay": (
        instance_in(Stopping, wanted=True, reason=StopReason.UNHEALTHY),
        EVENTS["HaltWanted"],
        ({}, (), ()),
    ),
    "what drains to be replaced waits for its turn, too": (
        instance_in(Draining, wanted=True, reason=StopReason.REPLACED),
        EVENTS["HaltWanted"],
        (
            in_phase(Draining, reason=StopReason.REGROUPED, why=HALT_ASKED) | {"token": 41},
            (SetTimer(TIMER, 41, NOW + 5.0),),
            (),
        ),
    ),
    "what is to start again at once waits for its turn": (
        instance_in(Clearing, then=AfterClearing.RESPAWN),
        EVENTS["HaltWanted"],
        (in_phase(Clearing, then=AfterClearing.BACKOFF, why=HALT_ASKED, delay=0.0), (), ()),
    ),
    "a person's restart of what waits with its group is one at once": (
        instance_in(Stopping, wanted=True, reason=StopReason.REGROUPED),
        EVENTS["RestartWanted"],
        ({"spec": NEW} | in_phase(Stopping, reason=StopReason.REPLACED, why=RESTART_ASKED), (), ()),
    ),
    "stop during spawn stops the new process": (
        instance_in(Spawning, wanted=False, why=STOP_ASKED),
        EVENTS["Spawned"],
        with_facts(STARTED, stopping(Leader(PID, NOW, SPEC.stop), StopReason.ASKED, STOP_ASKED, REPEAT, wanted=False)),
    ),
    "restart during spawn stops the new process and starts the next": (
        instance_in(Spawning, then=AfterSpawn.REPLACE, why=RESTART_ASKED),
        EVENTS["Spawned"],
        with_facts(
            STARTED, stopping(Leader(PID, NOW, SPEC.stop), StopReason.REPLACED, RESTART_ASKED, REPEAT, wanted=True)
        ),
    ),
    "restart and then stop during spawn leaves it down": (
        instance_in(Spawning, wanted=False, then=AfterSpawn.REPLACE, why=STOP_ASKED),
        EVENTS["Spawned"],
        with_facts(STARTED, stopping(Leader(PID, NOW, SPEC.stop), StopReason.ASKED, STOP_ASKED, REPEAT, wanted=False)),
    ),
    "kill during spawn kills the new process": (
        instance_in(Spawning, wanted=False, then=AfterSpawn.KILL, why=STOP_ASKED),
        EVENTS["Spawned"],
        (killed(Leader(PID, NOW, SPEC.stop), STOP_ASKED) | {"token": 42}, two_later(KILL_ALL), STARTED),
    ),
    "a restart does not take a kill during spawn back": (
        instance_in(Spawning, wanted=False, then=AfterSpawn.KILL),
        EVENTS["RestartWanted"],
        ({"wanted": True, "spec": NEW} | in_phase(Spawning, then=AfterSpawn.KILL, why=RESTART_ASKED), (), ()),
    ),
    "a shell is known as one": (
        instance_in(Spawning),
        Spawned("web.1", 7, PID, shell=True),
        (
            {"phase": Starting(Leader(PID, NOW, SPEC.stop, shell=True)), "phase_since": NOW, "token": 41},
            (SetTimer(TIMER, 41, NOW + 1.0), Kind.STARTED),
            STARTED,
        ),
    ),
    "a spawn that failed and is not wanted any more is down": (
        instance_in(Spawning, wanted=False, why=STOP_ASKED),
        EVENTS["SpawnFailed"],
        down(last_exit=ExitStatus(127)),
    ),
    "a spawn that was cancelled is down, and has no exit": (
        instance_in(Spawning, wanted=False, why=STOP_ASKED),
        EVENTS["SpawnCancelled"],
        down(),
    ),
    "a spawn that was cancelled and is to be replaced is tried anew": (
        instance_in(Spawning, then=AfterSpawn.REPLACE, spec=NEW, failures=3),
        EVENTS["SpawnCancelled"],
        afresh(NEW),
    ),
    "unreadable output of one whose leader has ended changes nothing": (
        instance_in(Stopping, exit=FAILURE, last_exit=FAILURE),
        EVENTS["Unreadable"],
        ({}, (), ()),
    ),
    "a spawn that failed and was to be replaced is tried anew at once": (
        instance_in(Spawning, then=AfterSpawn.REPLACE, spec=NEW, failures=3),
        EVENTS["SpawnFailed"],
        afresh(NEW, last_exit=ExitStatus(127)),
    ),
    "wanted again while stopping starts once all is gone": (
        instance_in(Stopping, wanted=True),
        EVENTS["Emptied"],
        afresh(),
    ),
    "replaced starts the new spec once all is gone": (
        instance_in(Stopping, wanted=True, reason=StopReason.REPLACED, spec=NEW),
        EVENTS["Emptied"],
        afresh(NEW),
    ),
    "given up is failed once all is gone": (
        instance_in(Clearing, then=AfterClearing.FAILED),
        EVENTS["Emptied"],
        ({"phase": Failed(CRASHED), "phase_since": NOW, "token": 41}, (Kind.FAILED,), (RESTED,)),
    ),
    "ended is done once all is gone": (
        instance_in(Clearing, then=AfterClearing.DONE),
        EVENTS["Emptied"],
        ({"phase": Done(CRASHED), "phase_since": NOW, "token": 41}, (Kind.DONE,), (RESTED,)),
    ),
    "a crash that was stopped meanwhile is down": (
        instance_in(Clearing, wanted=False, then=AfterClearing.RESPAWN, why=STOP_ASKED),
        EVENTS["Emptied"],
        down(),
    ),
    "wanted again after a stop during the clean-up starts afresh": (
        instance_in(Clearing, wanted=True, then=AfterClearing.RESPAWN),
        EVENTS["Emptied"],
        afresh(),
    ),
    "a second end of the same run is not noted": (
        instance_in(Clearing),
        Exited("web.1", 7, TERMINATED),
        ({}, (), ()),
    ),
    "a second end of a stop is not noted": (
        instance_in(Stopping, exit=FAILURE, last_exit=FAILURE),
        Exited("web.1", 7, TERMINATED),
        ({}, (), ()),
    ),
    "a good end is done": (
        instance_in(Ready),
        Exited("web.1", 7, SUCCESS),
        clearing(OLD, AfterClearing.DONE, Reason(ReasonCode.ENDED, "exit 0"), early=0, status=SUCCESS),
    ),
    "kill a starting one": (
        instance_in(Starting),
        KillAsked(),
        (killed(YOUNG) | {"token": 42}, two_later(KILL_ALL), ()),
    ),
    "kill a ready one": (instance_in(Ready), KillAsked(), (killed(OLD) | {"token": 42}, two_later(KILL_ALL), ())),
    "kill an unhealthy one": (
        instance_in(Unhealthy),
        KillAsked(),
        (killed(OLD) | {"token": 42}, two_later(KILL_ALL), ()),
    ),
    "kill one that drains": (
        instance_in(Draining),
        KillAsked(),
        (killed(OLD) | {"token": 42}, two_later(KILL_ALL), ()),
    ),
    "kill ends the waiting": (instance_in(Waiting), KillAsked(), down(KILLED)),
    "kill a stopping one": (
        instance_in(Stopping),
        KillAsked(),
        (in_phase(Stopping, step=StopStep.KILL_SENT, kill_at=NOW) | {"token": 41}, KILL_ALL, ()),
    ),
    "kill what a crash left": (
        instance_in(Clearing),
        KillAsked(),
        (in_phase(Clearing, step=StopStep.KILL_SENT, kill_at=NOW) | {"token": 41, "wanted": False}, KILL_ALL, ()),
    ),
    "kill during a spawn is remembered": (
        instance_in(Spawning),
        KillAsked(),
        ({"wanted": False} | in_phase(Spawning, then=AfterSpawn.KILL), (CancelSpawn("web.1", 7),), ()),
    ),
    "kill a killed one again without more patience": (
        instance_in(Stopping, step=StopStep.KILL_SENT),
        KillAsked(),
        ({}, KILL_ALL[:1], ()),
    ),
    "kill is tried once more on the unkillable": (
        instance_in(Stopping, step=StopStep.UNKILLABLE),
        KillAsked(),
        ({}, KILL_ALL[:1], ()),
    ),
    "kill ends a backoff": (instance_in(Backoff), KillAsked(), down(KILLED)),
    "kill leaves the stopped as it is": (instance_in(Down), KillAsked(), ({}, (), ())),
    "kill leaves the failed as it is": (instance_in(Failed), KillAsked(), ({}, (), ())),
    "kill leaves the done as it is": (instance_in(Done), KillAsked(), ({}, (), ())),
    "a daemon of a living instance is kept for its type": (
        instance_in(Ready),
        Adopted("web.1", 7, 77, in_group=False),
        ({}, (ShareDaemon("web.1", 77), Kind.ADOPTED), ()),
    ),
    "an adopted member of a living group is left alone": (
        instance_in(Ready),
        Adopted("web.1", 7, 77, in_group=True),
        ({}, (), ()),
    ),
    "a member adopted during a stop gets the signal": (
        instance_in(Stopping),
        Adopted("web.1", 7, 77, in_group=True),
        ({}, (SignalProcess(77, "TERM"), SignalProcess(77, "CONT")), ()),
    ),
}


@pytest.mark.parametrize("name", CIRCUMSTANCES)
def test_circumstances_decide_where_a_cell_leads(name):
    before, event, (changes, actions, facts) = CIRCUMSTANCES[name]
    after, happened, meant = step(before, event, NOW)
    assert after == changed(before, **changes)
    assert essence(happened) == actions
    assert meant == facts


def test_a_run_is_stopped_by_the_rules_it_was_started_with():
    """A reload may change the grace; what runs was promised the old one."""
    after, _, _ = step(instance_in(Ready), EVENTS["RestartWanted"], NOW)
    assert after.phase.kill_at == NOW + SPEC.stop.grace
    again, _, _ = step(after, EVENTS["Emptied"], NOW)
    assert again.phase.stop == NEW.stop


@pytest.mark.parametrize(
    ("status", "loud"),
    [(ExitStatus(0), False), (TERMINATED, False), (ExitStatus(143), False), (ExitStatus(1), True)],
    ids=str,
)
def test_a_stop_is_clean_with_0_and_with_its_own_signal(status, loud):
    _, actions, _ = step(instance_in(Stopping, exit=status, last_exit=status), EVENTS["Emptied"], NOW)
    assert actions[0].change.logged is loud


# ---- what a program says while it stops


def test_a_program_gets_more_time_to_stop_and_never_less():
    before = instance_in(Stopping)  # KILL in nine seconds, one after it was asked
    after, actions, _ = step(before, Notified("web.1", 7, extend=30.0), NOW)
    assert after.phase.kill_at == NOW + 30.0
    assert SetTimer(TIMER, 41, NOW + 30.0) in actions
    assert step(before, Notified("web.1", 7, extend=5.0), NOW) == (before, (), ())


def test_it_is_told_once_that_a_program_takes_more_time():
    once, first, _ = step(instance_in(Stopping), Notified("web.1", 7, extend=30.0), NOW)
    _, second, _ = step(once, Notified("web.1", 7, extend=60.0), NOW)
    assert essence(first)[0] is Kind.STOPPING
    assert Kind.STOPPING not in essence(second)


def test_a_shell_that_wants_more_time_after_its_group_was_asked_gets_kill_when_that_is_over():
    before = instance_in(Stopping, step=StopStep.GROUP_TERM_SENT, shell=True)
    given, actions, _ = step(before, Notified("web.1", 7, extend=30.0), NOW)
    assert actions[-1:] == (SetTimer(TIMER, given.token, NOW + 30.0),)
    after, actions, _ = step(given, TimerFired(TIMER, given.token), NOW + 30.0)
    assert after.phase.step is StopStep.KILL_SENT
    assert Signal("web.1", 7, "KILL", Target.ALL) in actions


def test_a_shell_that_wants_more_time_has_its_group_asked_before_that_is_over():
    before = instance_in(Stopping, shell=True)
    _, actions, _ = step(before, Notified("web.1", 7, extend=30.0), NOW)
    assert NOW < actions[-1].at < NOW + 30.0


def test_no_program_takes_more_than_ten_minutes_or_its_grace_to_stop():
    before = instance_in(Stopping, phase_since=NOW - 1.0)
    after, _, _ = step(before, Notified("web.1", 7, extend=10_000.0), NOW)
    assert after.phase.kill_at == NOW - 1.0 + MOST_TIME


def test_at_the_end_of_everything_nobody_gets_more_time():
    before = instance_in(Stopping, kill_by=NOW + 9.0)
    assert step(before, Notified("web.1", 7, extend=30.0), NOW) == (before, (), ())


def test_the_end_of_everything_takes_back_what_was_given():
    given, _, _ = step(instance_in(Stopping), Notified("web.1", 7, extend=60.0), NOW)
    end = StopWanted(STOP_ASKED, StopTerms(kill_by=NOW + 10.0))
    after, actions, _ = step(given, end, NOW)
    assert after.phase.kill_at == NOW + 10.0
    assert actions == (SetTimer(TIMER, after.token, NOW + 10.0),)


def test_the_group_of_a_shell_that_was_given_time_is_asked_before_the_end_of_everything():
    given, _, _ = step(instance_in(Stopping, shell=True), Notified("web.1", 7, extend=60.0), NOW)
    end = StopWanted(STOP_ASKED, StopTerms(kill_by=NOW + 10.0))
    _, actions, _ = step(given, end, NOW)
    assert actions[0].at < NOW + 10.0


def test_what_has_got_kill_gets_no_more_time():
    before = instance_in(Stopping, step=StopStep.KILL_SENT)
    assert step(before, Notified("web.1", 7, extend=30.0), NOW) == (before, (), ())


def test_another_main_process_is_told_and_not_followed():
    before = instance_in(Ready)
    after, actions, _ = step(before, Notified("web.1", 7, main_pid=77), NOW)
    assert after == before
    assert essence(actions) == (Kind.ADOPTED,)
    assert step(before, Notified("web.1", 7, main_pid=PID), NOW) == (before, (), ())
