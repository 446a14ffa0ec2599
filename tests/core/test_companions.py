"""Companions: supervised like instances, and no part of the formation."""

from __future__ import annotations

from making import Story, asked_to_end, of_type, plan_of, spawned_names, spec_of, told
from msgspec.structs import replace

from procman.companions import registry
from procman.core.actions import Finish, Publish, Refuse, Reply, SetTimer, Signal
from procman.core.events import Commanded, KillAsked, Reload, Reported, Restart, SendSignal, ShutdownAsked, Stop
from procman.core.phases import Backoff, Ready
from procman.core.spec import Plan, When
from procman.core.timers import SlotTimer, WaitingLineTimer
from procman.core.view import Kind

WORDS = {row.name: row.words for row in registry.COMPANIONS}
WATCH = spec_of("@watch", restart={"policy": When.ALWAYS}, words=WORDS["@watch"])


def beside(counts: dict[str, int], *specs, companion=WATCH) -> Plan:
    """A plan with a companion."""
    return replace(plan_of(counts, *specs), companions={"@watch": companion} if companion else {})


def running(counts: dict[str, int], *specs) -> Story:
    story = Story(beside(counts, *specs))
    story.ready(*(i.name for i in story.fleet.instances()), "@watch.1")
    return story


def test_it_starts_after_the_formation():
    assert spawned_names(Story(beside({"web": 2})).seen) == ["web.1", "web.2", "@watch.1"]


def test_it_is_neither_counted_nor_listed():
    view = running({"web": 1}).fleet.view(0.0)
    assert view.formation == {"web": 1}
    assert [i.name for i in view.instances] == ["web.1"]


def test_it_comes_back_after_its_backoff_whatever_it_ended_with():
    story = running({"web": 1})
    story.ends("@watch.1", 0)
    assert story.phase("@watch.1") is Backoff
    assert spawned_names(story.timer("@watch.1")) == ["@watch.1"]


def test_it_does_not_keep_a_formation_going_that_has_ended():
    story = running({"job": 1})
    assert "@watch.1" in asked_to_end(story.ends("job.1", 0))
    assert of_type(story.ends("@watch.1", 143, "TERM"), Finish) == [Finish(0)]


def test_its_end_is_no_failure_of_the_formation():
    story = running({"job": 1}, spec_of("job", restart={"policy": When.NEVER}))
    story.ends("@watch.1", 9)
    story.ends("job.1", 0)
    assert of_type(story.seen, Finish) == [Finish(0)]


def test_a_formation_of_nothing_goes_on_beside_it():
    story = running({"web": 0})
    story.ends("@watch.1", 1)
    assert of_type(story.seen, Finish) == []


def test_a_shutdown_ends_it_with_all_others_and_waits_for_it():
    story = running({"web": 1})
    actions = story.happens(ShutdownAsked("asked"))
    assert asked_to_end(actions) == ["web.1", "@watch.1"]
    assert told(actions, Kind.SHUTDOWN) == ["stopping 1 instance: asked"]
    assert of_type(story.ends("web.1", 143, "TERM"), Finish) == []
    assert of_type(story.ends("@watch.1", 143, "TERM"), Finish) == [Finish(0)]


def test_it_is_not_told_among_those_who_ended():
    story = running({"web": 1})
    story.happens(ShutdownAsked("asked"))
    story.ends("@watch.1", 143, "TERM")
    assert told(story.ends("web.1", 143, "TERM"), Kind.FINISHED) == ["stopped: web.1 SIGTERM"]


def test_who_waits_for_it_is_told_so():
    story = running({"web": 0})
    story.happens(ShutdownAsked("asked"))
    assert "@watch.1" in told(story.fleet_timer(WaitingLineTimer()), Kind.WAITING)[0]


def test_a_kill_is_for_it_too():
    story = running({"web": 1})
    killed = [s.name for s in of_type(story.happens(KillAsked()), Signal) if s.signal == "KILL"]
    assert {"web.1", "@watch.1"} <= {*killed}


def test_no_command_for_all_reaches_it():
    story = running({"web": 1})
    for command in (Restart(()), Stop((), all=True), SendSignal("HUP", ("*",))):
        actions = story.happens(Commanded(command, 1))
        assert [reply.instances for reply in of_type(actions, Reply)] in ([("web.1",)], [])
        assert all(s.name == "web.1" for s in of_type(actions, Signal))


def test_no_command_can_name_it():
    story = running({"web": 1})
    for name in ("@watch", "@watch.1", "@*"):
        assert of_type(story.happens(Commanded(Stop((name,)), 1)), Refuse)
    assert story.phase("@watch.1") is Ready


# ---- what it reports of itself


def test_one_that_cannot_do_its_work_says_so_and_is_not_restarted_for_it():
    story = running({"web": 1})
    actions = story.happens(Reported("@watch.1", 1, "no HAProxy"))
    assert [a.change.logged for a in of_type(actions, Publish)] == [False]
    (row,) = story.fleet.view(story.now).companions
    assert (row.phase, row.reason, row.reason_code) == ("unhealthy", "unhealthy: no HAProxy", "unhealthy")
    assert asked_to_end(story.happens(Reported("@watch.1", 1, "another fault"))) == []
    assert story.fleet.view(story.now).companions[0].probe == "another fault"
    story.happens(Reported("@watch.1", 1, ""))
    assert story.phase("@watch.1") is Ready


def test_what_a_run_before_reported_means_nothing():
    story = running({"web": 1})
    story.happens(Reported("@watch.1", 0, "no HAProxy"))
    assert story.phase("@watch.1") is Ready


def test_one_that_cannot_do_its_work_ends_with_all_others():
    story = running({"web": 1})
    story.happens(Reported("@watch.1", 1, "no HAProxy"))
    assert asked_to_end(story.happens(ShutdownAsked("asked"))) == ["web.1", "@watch.1"]


# ---- reload


def reload(story: Story, plan: Plan) -> list:
    return story.happens(Commanded(Reload(plan), 9))


def test_a_reload_leaves_it_alone_when_it_is_the_same():
    story = running({"web": 1})
    assert asked_to_end(reload(story, beside({"web": 1}))) == []


def test_a_reload_that_changes_it_restarts_it_and_nobody_else():
    story = running({"web": 1})
    changed = spec_of("@watch", command="watch more", restart={"policy": When.ALWAYS})
    assert asked_to_end(reload(story, beside({"web": 1}, companion=changed))) == ["@watch.1"]
    story.ends("@watch.1", 143, "TERM")
    assert story.instance("@watch.1").spec.command == "watch more"


def test_a_reload_without_it_ends_it():
    story = running({"web": 1})
    assert asked_to_end(reload(story, beside({"web": 1}, companion=None))) == ["@watch.1"]
    story.ends("@watch.1", 143, "TERM")
    assert story.fleet.get("@watch.1") is None


def test_a_reload_may_bring_it():
    story = Story(plan_of({"web": 1}))
    assert spawned_names(reload(story, beside({"web": 1}))) == ["@watch.1"]


def test_it_has_deadlines_of_its_own():
    story = running({"web": 1})
    story.ends("web.1", 1)
    story.ends("@watch.1", 1)
    assert {a.key for a in of_type(story.seen, SetTimer)} >= {SlotTimer("web.1"), SlotTimer("@watch.1")}


def test_why_says_what_it_is_for_and_what_it_reports():
    story = running({"web": 1})
    story.happens(Reported("@watch.1", 1, "no folder to watch"), after=3.0)
    assert story.fleet.why("@watch.1", story.now + 2.0) == (
        "@watch.1 has been unhealthy for 2.0 s: no folder to watch",
        "it restarts the types whose files change",
        "it tries again by itself: fix what it reports; nothing has to be restarted",
        "until then changed files restart nothing",
        "`procman logs @watch.1` shows what it reported",
    )


def test_why_says_that_one_that_crashed_comes_back():
    story = running({"web": 1})
    story.ends("@watch.1", 1)
    state, purpose, following, without, _ = story.fleet.why("@watch.1", story.now)
    assert state.startswith("@watch.1 has been in backoff for 0.0 s: exit 1")
    assert purpose == "it restarts the types whose files change"
    assert following.startswith("it is started again in ")
    assert without == "until then changed files restart nothing"


def test_why_has_no_advice_for_one_that_works():
    story = running({"web": 1})
    assert story.fleet.why("@watch.1", story.now)[1:] == (
        "it restarts the types whose files change",
        "`procman logs @watch.1` shows what it reported",
    )


def test_every_companion_says_what_it_is_for_and_what_does_not_happen_without_it():
    assert all(words.purpose and words.without for words in WORDS.values())


def test_why_says_less_of_one_that_a_version_without_these_words_started():
    story = Story(beside({"web": 1}, companion=spec_of("@watch")))
    story.ready("web.1", "@watch.1")
    assert story.fleet.why("@watch.1", story.now)[1:] == ("`procman logs @watch.1` shows what it reported",)


def test_a_reload_gives_such_a_one_its_words_without_a_restart():
    story = Story(beside({"web": 1}, companion=replace(WATCH, words=None)))
    story.ready("web.1", "@watch.1")
    assert asked_to_end(reload(story, beside({"web": 1}))) == []
    assert story.fleet.why("@watch.1", story.now)[1] == "it restarts the types whose files change"
