"""The machine of one instance, cell by cell: a base instance, one event, the change and the actions.

`MOVES` has the cells of the table in instance.py that are not empty; every other pair of a phase and an event must
leave the instance as it is.
"""

from __future__ import annotations

import re

import pytest
from making import (
    FAILURE,
    NOW,
    PID,
    SPEC,
    TERMINATED,
    both,
    essence,
    instance_in,
    spec_of,
)
from msgspec.structs import replace

from procman.core import instance as machine
from procman.core.actions import ShareDaemon, SetTimer, Signal, SignalProcess, Spawn, Target
from procman.core.events import (
    Adopted,
    Emptied,
    Exited,
    ExitStatus,
    KillAsked,
    StopWanted,
    StartWanted,
    RestartWanted,
    Spawned,
    SpawnFailed,
    TimerFired,
)
from procman.core.instance import step
from procman.core.state import Cause, Phase, Stage
from procman.core.view import Kind

NEW = spec_of(command="serve better", stop={"grace": 3.0})

EVENTS = {
    "Raised": StartWanted(),
    "Lowered": StopWanted("scaled down"),
    "Replaced": RestartWanted(NEW, "reload"),
    "Spawned": Spawned("web.1", 7, PID),
    "SpawnFailed": SpawnFailed("web.1", 7, 127, "no such command"),
    "Exited": Exited("web.1", 7, FAILURE),
    "Emptied": Emptied("web.1", 7),
    "TimerFired": TimerFired("web.1", 40),
}

# ---- what the moves lead to


def spawning(spec=SPEC, **more):
    fresh = {
        "phase": Phase.SPAWNING,
        "wanted": True,
        "generation": 8,
        "token": 41,
        "pid": None,
        "stop": spec.stop,
        "cause": None,
        "stage": None,
        "exit": None,
        "since": NOW,
        "born": NOW,
        "ready_at": None,
        "spec": spec,
    }
    return fresh | more, (Spawn("web.1", 8, spec, 1),)


def afresh(spec=SPEC):
    return spawning(spec, failures=0, early=0)


def down(**more):
    rest = {"phase": Phase.DOWN, "wanted": False, "pid": None, "cause": None, "stage": None, "since": NOW, "token": 41}
    return rest | more, (Kind.STOPPED,)


def stopping(cause, timer_at, *, wanted, reason, **more):
    asked = {
        "phase": Phase.STOPPING,
        "wanted": wanted,
        "cause": cause,
        "stage": Stage.POLITE,
        "since": NOW,
        "reason": reason,
        "deadline": NOW + 10.0,
        "token": 41,
    }
    return asked | more, (Kind.STOPPING, *both("TERM", Target.TOP), SetTimer("web.1", 41, timer_at))


def clearing(cause, *, failures, early, delay, reason, status=FAILURE):
    ended = {
        "phase": Phase.STOPPING,
        "cause": cause,
        "stage": Stage.LAST_CALL,
        "since": NOW,
        "deadline": NOW + 10.0,
        "token": 41,
        "exit": status,
        "last_exit": status,
        "ended": NOW,
        "failures": failures,
        "early": early,
        "delay": delay,
        "reason": reason,
    }
    kill = Signal("web.1", 7, "KILL", Target.GROUP)
    return ended, (Kind.ENDED, kill, *both("TERM", Target.ADOPTED), SetTimer("web.1", 41, NOW + 10.0))


NOT_READY_YET = NOW + 1.0  # the signal is repeated after a second
LAST_CALL = NOW + 8.0  # two seconds before the grace of ten is over

MOVES = {
    (Phase.DOWN, "Raised"): afresh(),
    (Phase.DOWN, "Replaced"): afresh(NEW),
    (Phase.SPAWNING, "Raised"): ({"wanted": True}, ()),
    (Phase.SPAWNING, "Lowered"): ({"wanted": False, "reason": "scaled down"}, ()),
    (Phase.SPAWNING, "Replaced"): ({"spec": NEW, "cause": Cause.REPLACED, "reason": "reload"}, ()),
    (Phase.SPAWNING, "Spawned"): (
        {"phase": Phase.STARTING, "pid": PID, "born": NOW, "since": NOW},
        (SetTimer("web.1", 40, NOW + 1.0), Kind.STARTED),
    ),
    (Phase.SPAWNING, "SpawnFailed"): (
        {
            "phase": Phase.BACKOFF,
            "exit": ExitStatus(127),
            "last_exit": ExitStatus(127),
            "ended": NOW,
            "failures": 1,
            "early": 1,
            "delay": 0.5,
            "deadline": NOW + 0.5,
            "since": NOW,
            "token": 41,
            "reason": "cannot start: no such command",
        },
        (Kind.START_FAILED, SetTimer("web.1", 41, NOW + 0.5), Kind.BACKOFF),
    ),
    (Phase.STARTING, "Lowered"): stopping(Cause.ASKED, NOT_READY_YET, wanted=False, reason="scaled down"),
    (Phase.STARTING, "Replaced"): stopping(Cause.REPLACED, NOT_READY_YET, wanted=True, reason="reload", spec=NEW),
    (Phase.STARTING, "Exited"): clearing(Cause.CRASHED, failures=1, early=1, delay=0.5, reason="exit 1"),
    (Phase.STARTING, "TimerFired"): (
        {"phase": Phase.READY, "since": NOW, "ready_at": NOW, "early": 0},
        (Kind.READY,),
    ),
    (Phase.READY, "Lowered"): stopping(Cause.ASKED, LAST_CALL, wanted=False, reason="scaled down"),
    (Phase.READY, "Replaced"): stopping(Cause.REPLACED, LAST_CALL, wanted=True, reason="reload", spec=NEW),
    (Phase.READY, "Exited"): clearing(Cause.CRASHED, failures=1, early=0, delay=0.5, reason="exit 1"),
    (Phase.STOPPING, "Raised"): ({"wanted": True}, ()),
    (Phase.STOPPING, "Lowered"): ({"reason": "scaled down"}, ()),
    (Phase.STOPPING, "Replaced"): ({"wanted": True, "spec": NEW, "cause": Cause.REPLACED, "reason": "reload"}, ()),
    (Phase.STOPPING, "Exited"): ({"exit": FAILURE, "last_exit": FAILURE}, ()),
    (Phase.STOPPING, "Emptied"): down(),
    (Phase.STOPPING, "TimerFired"): ({"token": 41}, (*both("TERM", Target.LEADER), SetTimer("web.1", 41, NOW + 7.0))),
    (Phase.BACKOFF, "Lowered"): down(reason="scaled down"),
    (Phase.BACKOFF, "Replaced"): afresh(NEW),
    (Phase.BACKOFF, "TimerFired"): spawning(restarts=1),
    (Phase.FAILED, "Raised"): afresh(),
    (Phase.FAILED, "Lowered"): down(reason="scaled down"),
    (Phase.FAILED, "Replaced"): afresh(NEW),
    (Phase.DONE, "Raised"): afresh(),
    (Phase.DONE, "Lowered"): down(reason="scaled down"),
    (Phase.DONE, "Replaced"): afresh(NEW),
}

CELLS = [pytest.param(phase, event, id=f"{phase.name}-{event}") for phase in Phase for event in EVENTS]


@pytest.mark.parametrize(("phase", "event"), CELLS)
def test_each_cell_of_the_table_does_what_it_says_and_an_empty_one_nothing(phase, event):
    before = instance_in(phase)
    changes, actions = MOVES.get((phase, event), ({}, ()))
    after, happened = step(before, EVENTS[event], NOW)
    assert after == replace(before, **changes)
    assert essence(happened) == actions


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
    assert docstring_cells() == {p.name: {event for phase, event in MOVES if phase is p} for p in Phase}


LATE = [
    Spawned("web.1", 6, 77),
    SpawnFailed("web.1", 6, 127, "gone"),
    Exited("web.1", 6, FAILURE),
    Emptied("web.1", 6),
    Adopted("web.1", 6, 77, in_group=True),
    Adopted("web.1", 6, 77, in_group=False),
    Spawned("web.1", 8, 77),
    Exited("web.1", 8, FAILURE),
    TimerFired("web.1", 39),
    TimerFired("web.1", 41),
]


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.name)
@pytest.mark.parametrize("event", LATE, ids=lambda event: f"{type(event).__name__}-{event}"[-40:])
def test_an_event_of_another_life_or_another_deadline_changes_nothing(phase, event):
    before = instance_in(phase)
    assert step(before, event, NOW) == (before, ())


# ---- rows beyond the table: what the same cell does in other circumstances

KILLED = {"stage": Stage.KILLED, "deadline": NOW, "token": 41}
KILL_ALL = (Signal("web.1", 7, "KILL", Target.ALL), SetTimer("web.1", 41, NOW + 5.0))
KILLED_NOW = {"phase": Phase.STOPPING, "wanted": False, "cause": Cause.ASKED, "since": NOW} | KILLED
RETURN = spawning(failures=0, early=0)
BACK_OFF = (
    {"phase": Phase.BACKOFF, "pid": None, "cause": None, "stage": None, "since": NOW, "token": 41}
    | {"deadline": NOW + 4.0},
    (SetTimer("web.1", 41, NOW + 4.0), Kind.BACKOFF),
)


def at_rest(phase):
    return {"phase": phase, "pid": None, "cause": None, "stage": None, "since": NOW, "token": 41}


CIRCUMSTANCES = {
    "stop during spawn kills the new process": (
        instance_in(Phase.SPAWNING, wanted=False, reason="scaled down"),
        EVENTS["Spawned"],
        stopping(Cause.ASKED, NOT_READY_YET, wanted=False, reason="scaled down", pid=PID, born=NOW),
    ),
    "restart during spawn stops the new process and starts the next": (
        instance_in(Phase.SPAWNING, cause=Cause.REPLACED, reason="reload"),
        EVENTS["Spawned"],
        stopping(Cause.REPLACED, NOT_READY_YET, wanted=True, reason="reload", pid=PID, born=NOW),
    ),
    "restart and then stop during spawn leaves it down": (
        instance_in(Phase.SPAWNING, wanted=False, cause=Cause.REPLACED, reason="scaled down"),
        EVENTS["Spawned"],
        stopping(Cause.ASKED, NOT_READY_YET, wanted=False, reason="scaled down", pid=PID, born=NOW),
    ),
    "kill during spawn kills the new process": (
        instance_in(Phase.SPAWNING, wanted=False, stage=Stage.KILLED),
        EVENTS["Spawned"],
        (KILLED_NOW | {"pid": PID, "born": NOW}, KILL_ALL),
    ),
    "a spawn that failed and is not wanted any more is down": (
        instance_in(Phase.SPAWNING, wanted=False),
        EVENTS["SpawnFailed"],
        down(exit=ExitStatus(127), last_exit=ExitStatus(127)),
    ),
    "a spawn that failed and was to be replaced is tried anew at once": (
        instance_in(Phase.SPAWNING, cause=Cause.REPLACED, spec=NEW, failures=3),
        EVENTS["SpawnFailed"],
        spawning(NEW, failures=0, early=0, last_exit=ExitStatus(127)),
    ),
    "wanted again while stopping starts once all is gone": (
        instance_in(Phase.STOPPING, wanted=True),
        EVENTS["Emptied"],
        RETURN,
    ),
    "replaced starts the new spec once all is gone": (
        instance_in(Phase.STOPPING, wanted=True, cause=Cause.REPLACED, spec=NEW),
        EVENTS["Emptied"],
        spawning(NEW, failures=0, early=0),
    ),
    "a crash waits once all is gone": (
        instance_in(Phase.STOPPING, wanted=True, cause=Cause.CRASHED, delay=4.0),
        EVENTS["Emptied"],
        BACK_OFF,
    ),
    "given up is failed once all is gone": (
        instance_in(Phase.STOPPING, wanted=True, cause=Cause.GAVE_UP),
        EVENTS["Emptied"],
        (at_rest(Phase.FAILED), (Kind.FAILED,)),
    ),
    "ended is done once all is gone": (
        instance_in(Phase.STOPPING, wanted=True, cause=Cause.ENDED),
        EVENTS["Emptied"],
        (at_rest(Phase.DONE), (Kind.DONE,)),
    ),
    "a crash that was stopped meanwhile is down": (
        instance_in(Phase.STOPPING, wanted=False, cause=Cause.ASKED, exit=FAILURE, last_exit=FAILURE),
        EVENTS["Emptied"],
        down(),
    ),
    "a stop during the clean-up of a crash is a stop that was asked for": (
        instance_in(Phase.STOPPING, wanted=True, cause=Cause.CRASHED, stage=Stage.LAST_CALL),
        EVENTS["Lowered"],
        ({"wanted": False, "cause": Cause.ASKED, "reason": "scaled down"}, ()),
    ),
    "a second end of the same life is not noted": (
        instance_in(Phase.STOPPING, wanted=True, cause=Cause.CRASHED, exit=FAILURE, last_exit=FAILURE),
        Exited("web.1", 7, TERMINATED),
        ({}, ()),
    ),
    "a good end is done": (
        instance_in(Phase.READY),
        Exited("web.1", 7, ExitStatus(0)),
        clearing(Cause.ENDED, failures=1, early=0, delay=0.5, reason="exit 0", status=ExitStatus(0)),
    ),
    "kill a starting one": (instance_in(Phase.STARTING), KillAsked(), (KILLED_NOW, KILL_ALL)),
    "kill a ready one": (instance_in(Phase.READY), KillAsked(), (KILLED_NOW, KILL_ALL)),
    "kill a stopping one": (instance_in(Phase.STOPPING), KillAsked(), (KILLED | {"since": NOW}, KILL_ALL)),
    "kill during a spawn is remembered": (
        instance_in(Phase.SPAWNING),
        KillAsked(),
        ({"wanted": False, "stage": Stage.KILLED}, ()),
    ),
    "kill a killed one again without more patience": (
        instance_in(Phase.STOPPING, stage=Stage.KILLED),
        KillAsked(),
        ({}, KILL_ALL[:1]),
    ),
    "kill is tried once more on the unkillable": (
        instance_in(Phase.STOPPING, stage=Stage.UNKILLABLE),
        KillAsked(),
        ({}, KILL_ALL[:1]),
    ),
    "kill ends a backoff": (instance_in(Phase.BACKOFF), KillAsked(), down(reason="killed")),
    "kill leaves the stopped as it is": (instance_in(Phase.DOWN), KillAsked(), ({}, ())),
    "kill leaves the failed as it is": (instance_in(Phase.FAILED), KillAsked(), ({}, ())),
    "kill leaves the done as it is": (instance_in(Phase.DONE), KillAsked(), ({}, ())),
    "a daemon of a living instance is kept for its type": (
        instance_in(Phase.READY),
        Adopted("web.1", 7, 77, in_group=False),
        ({}, (ShareDaemon("web.1", 77), Kind.ADOPTED)),
    ),
    "an adopted member of a living group is left alone": (
        instance_in(Phase.READY),
        Adopted("web.1", 7, 77, in_group=True),
        ({}, ()),
    ),
    "a member adopted during a stop gets the signal": (
        instance_in(Phase.STOPPING),
        Adopted("web.1", 7, 77, in_group=True),
        ({}, (SignalProcess(77, "TERM"), SignalProcess(77, "CONT"))),
    ),
}


@pytest.mark.parametrize("name", CIRCUMSTANCES)
def test_circumstances_decide_where_a_cell_leads(name):
    before, event, (changes, actions) = CIRCUMSTANCES[name]
    after, happened = step(before, event, NOW)
    assert after == replace(before, **changes)
    assert essence(happened) == actions


def test_a_life_is_stopped_by_the_rules_it_was_started_with():
    """A reload may change the grace; what runs was promised the old one."""
    before = instance_in(Phase.READY, stop=SPEC.stop)
    after, _ = step(before, RestartWanted(NEW, "reload"), NOW)
    assert after.deadline == NOW + SPEC.stop.grace
    again, _ = step(replace(after, exit=TERMINATED), EVENTS["Emptied"], NOW)
    assert again.stop == NEW.stop


@pytest.mark.parametrize(
    ("status", "loud"),
    [(ExitStatus(0), False), (TERMINATED, False), (ExitStatus(143), False), (ExitStatus(1), True)],
    ids=str,
)
def test_a_stop_is_clean_with_0_and_with_its_own_signal(status, loud):
    _, actions = step(instance_in(Phase.STOPPING, exit=status, last_exit=status), EVENTS["Emptied"], NOW)
    assert actions[0].change.quiet is not loud
