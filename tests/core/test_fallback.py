"""What decides when the fleet has raised: one row a rule, without processes."""

from making import NOW, SUCCESS, essence, plan_of, spec_of, told

from procman.core.actions import Finish, Publish, Refuse, Reply, SetTimer, Signal, SignalProcess, Target
from procman.core.events import (
    Adopted,
    Commanded,
    Emptied,
    Exited,
    FormationStarted,
    InterruptAsked,
    KillAsked,
    Orphaned,
    Restart,
    Shutdown,
    ShutdownAsked,
    Spawned,
    TimerFired,
)
from procman.core.fallback import GIVE_UP, KILL, Fallback
from procman.core.survivor import Survivor
from procman.core.timers import CrashLoopTimer, FallbackTimer, OrphansTimer, SlotTimer, WaitingLineTimer
from procman.core.view import Kind

SPEC = spec_of("web", stop={"grace": 10.0, "signal": "QUIT"})


def resort(count: int = 2, spec=SPEC) -> Fallback:
    left = [Survivor(f"web.{n}", 3, 100 + n, spec) for n in range(1, count + 1)]
    return Fallback(plan_of({"web": count}, spec), {"web": count}, left)


def acts(actions) -> list:
    """Without what is only told."""
    return [a for a in actions if not isinstance(a, Publish)]


def signals(name: str, target: Target, *names: str) -> list[Signal]:
    return [Signal(name, 3, signal, target) for signal in names]


def test_nothing_happens_until_a_stop_is_asked_for():
    last = resort()
    assert last.handle(FormationStarted(), NOW) == []
    assert last.handle(Spawned("web.1", 3, 101), NOW) == []
    assert last.handle(Orphaned(7), NOW) == []
    assert not last.ending


def test_a_stop_is_the_types_signal_to_the_top_and_kill_at_its_grace():
    last = resort(1, spec_of("web", stop={"grace": 10.0, "signal": "QUIT"}))
    begun = acts(last.handle(ShutdownAsked("TERM"), NOW))
    assert begun == [*signals("web.1", Target.TOP, "QUIT", "CONT"), SetTimer(FallbackTimer("web.1"), KILL, NOW + 10.0)]
    killed = acts(last.handle(TimerFired(FallbackTimer("web.1"), KILL), NOW + 10.0))
    assert killed == [*signals("web.1", Target.ALL, "KILL"), SetTimer(FallbackTimer("web.1"), GIVE_UP, NOW + 15.0)]
    given_up = last.handle(TimerFired(FallbackTimer("web.1"), GIVE_UP), NOW + 15.0)
    assert essence(given_up) == (Kind.UNKILLABLE, Finish(1))


def test_a_second_stop_changes_nothing():
    last = resort()
    last.handle(ShutdownAsked("TERM"), NOW)
    assert last.handle(ShutdownAsked("TERM"), NOW) == []


def test_a_kill_kills_at_once_also_in_a_stop():
    last = resort(1)
    last.handle(ShutdownAsked("INT"), NOW)
    assert signals("web.1", Target.ALL, "KILL")[0] in last.handle(KillAsked(), NOW + 1.0)


def test_it_ends_with_one_when_the_last_life_is_over():
    last = resort()
    last.handle(ShutdownAsked("TERM"), NOW)
    assert acts(last.handle(Emptied("web.1", 3), NOW)) == []
    assert acts(last.handle(Emptied("web.2", 3), NOW)) == [Finish(1)]
    assert last.handle(Emptied("web.2", 3), NOW) == []


def test_with_nothing_to_keep_it_ends_at_once():
    assert resort(0).handle(FormationStarted(), NOW) == [Finish(1)]


def test_a_stop_that_had_begun_goes_on():
    assert signals("web.2", Target.TOP, "QUIT")[0] in resort().handle(ShutdownAsked("SIGTERM"), NOW)


def test_what_ends_by_itself_is_told_cleared_and_not_started_again():
    last = resort()
    actions = last.handle(Exited("web.1", 3, SUCCESS), NOW)
    assert acts(actions)[:1] == signals("web.1", Target.ALL, "KILL")
    assert "nothing is started or restarted" in told(actions, Kind.ENDED)[0]


def test_an_interrupt_stops_and_a_second_one_kills():
    last = resort(1)
    assert signals("web.1", Target.TOP, "QUIT")[0] in last.handle(InterruptAsked(terminal=True), NOW)
    assert signals("web.1", Target.ALL, "KILL")[0] in last.handle(InterruptAsked(terminal=True), NOW + 1.0)


def test_an_adopted_process_is_asked_only_in_a_stop_and_killed_after_it():
    last = resort(1)
    adopted = Adopted("web.1", 3, 55, in_group=True)
    assert last.handle(adopted, NOW) == []
    last.handle(ShutdownAsked("TERM"), NOW)
    assert last.handle(adopted, NOW) == [SignalProcess(55, "QUIT"), SignalProcess(55, "CONT")]
    last.handle(KillAsked(), NOW)
    assert last.handle(adopted, NOW) == [SignalProcess(55, "KILL")]


def test_what_is_adopted_from_nobody_that_is_left_is_killed():
    assert resort(1).handle(Adopted("job.1", 1, 55, in_group=False), NOW) == [SignalProcess(55, "KILL")]


def test_timers_of_the_fleet_mean_nothing():
    last = resort(1)
    last.handle(ShutdownAsked("TERM"), NOW)
    for key in (SlotTimer("web.1"), WaitingLineTimer(), OrphansTimer(), CrashLoopTimer("web")):
        assert last.handle(TimerFired(key, 2), NOW) == []


def test_commands_are_refused_but_for_shutdown():
    last = resort(1)
    (refused,) = last.handle(Commanded(Restart(), 8), NOW)
    assert isinstance(refused, Refuse)
    assert refused.request == 8
    assert Reply(9, ("web.1",), {"web": 1}) in last.handle(Commanded(Shutdown(), 9), NOW)
    assert last.stopping


def test_it_shows_what_is_left_and_why():
    last = resort(2)
    last.handle(Emptied("web.1", 3), NOW)
    view = last.view(NOW)
    assert [(row.name, row.pid, row.phase) for row in view.instances] == [("web.2", 102, "ready")]
    assert "at fault" in (view.instances[0].reason or "")
    last.handle(ShutdownAsked("TERM"), NOW)
    assert last.view(NOW).instances[0].phase == "stopping"
