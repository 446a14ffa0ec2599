"""`procman why`: how an instance is and since when, what comes next, what a person can do."""

from __future__ import annotations

import pytest
from making import Story, plan_of, spec_of
from msgspec.structs import replace

from procman.core.events import Commanded, Hold, Probed, Restart, ShutdownAsked, Stop
from procman.core.policies import (
    Dependency,
    Drain,
    ExecProbe,
    Group,
    Health,
    HttpProbe,
    LogProbe,
    NotifyProbe,
    Readiness,
    Recycle,
    Strategy,
    TcpProbe,
    Until,
)

READY = Readiness(probe=TcpProbe(), timeout=60.0)
WEB = spec_of("web", depends_on=(Dependency(type="db"), Dependency(type="redis")), ready=READY)


def why(story: Story, name: str = "web.1") -> list[str]:
    return list(story.fleet.why(name, story.now))


def test_one_that_waits_says_for_whom_and_how_long_they_take():
    story = Story(plan_of({"db": 1, "redis": 1, "web": 1}, WEB))
    story.now += 4.0
    assert why(story) == [
        "web.1 has been waiting for 4.0 s, for db: not ready, 4.0 s; redis: not ready, 4.0 s",
        "it is started as soon as db is ready and redis is ready",
    ]


def test_one_that_waits_in_vain_says_what_would_help():
    story = Story(plan_of({"db": 1, "redis": 1, "web": 1}, WEB, spec_of("db", restart={"max_restarts": 0})))
    story.spawned("db.1")
    story.ends("db.1", 3)
    assert why(story)[-1] == "`procman restart db.1` starts what it waits for"
    assert why(story, "db.1")[0].startswith("db.1 failed 0.0 s ago: exit 3")


@pytest.mark.parametrize(
    ("recycle", "told"),
    [
        (Recycle(age=43200.0), "it is replaced when it is older than 12h 0m"),
        (Recycle(memory=300 << 20), "it is replaced when it is larger than 300 MiB"),
        (Recycle(age=60.0, memory=1 << 20), "it is replaced when it is older than 1m 0s or larger than 1 MiB"),
    ],
)
def test_one_that_is_ready_says_when_it_is_replaced(recycle, told):
    story = Story(plan_of({"web": 1}, spec_of("web", recycle=recycle)))
    story.spawned("web.1")
    story.timer("web.1")
    assert why(story) == ["web.1 has been ready for 0.0 s", told]


@pytest.mark.parametrize(("crashes", "told"), [(1, "exit 3"), (2, "exit 3, twice in a row")])
def test_one_that_starts_again_says_how_the_runs_before_have_ended(crashes, told):
    story = Story(plan_of({"web": 1}, spec_of(ready=READY)))
    for _ in range(crashes):
        story.spawned("web.1")
        story.ends("web.1", 3)
        story.timer("web.1")
    story.spawned("web.1")
    assert why(story)[1] == f"the previous run ended: {told}"
    assert why(story)[2].startswith("not ready so far: ")


def test_one_that_starts_says_what_its_probe_has_found():
    story = Story(plan_of({"web": 1}, spec_of(ready=READY)))
    story.spawned("web.1")
    story.happens(Probed("web.1", 1, ok=False, answer="tcp port 5000: connection refused"), after=6.0)
    assert why(story) == [
        "web.1 has been starting for 6.0 s",
        "not ready so far: tcp port 5000: connection refused; restarted in 54 s if that stays so",
        "`procman logs web.1` shows its output",
    ]


def test_one_that_is_unhealthy_says_by_what():
    story = Story(plan_of({"web": 1}, spec_of(health=Health(probe=HttpProbe("/health")))))
    story.ready("web.1")
    story.happens(Probed("web.1", 1, ok=False, answer="http /health answered 503"))
    assert why(story)[:2] == [
        "web.1 has been unhealthy for 0.0 s: http /health answered 503",
        "it is back in rotation at the next good check, and restarted after 3 failed ones in a row (1 so far)",
    ]


def test_one_that_drains_says_what_follows():
    story = Story(plan_of({"web": 2}, spec_of(stop={"drain": Drain(seconds=5.0)})))
    story.ready("web.1")
    story.ready("web.2")
    story.happens(Commanded(Restart(("web.1",)), 1))
    story.happens(Commanded(Stop(("web.2",)), 2))
    assert why(story)[:2] == [
        "web.1 has been draining for 0.0 s: procman restart; stop signal in 5.0 s",
        "after the stop signal it is started again",
    ]
    assert why(story, "web.2")[1] == "after the stop signal it stays down"


def test_one_that_a_balancer_holds_says_what_is_waited_for():
    story = Story(plan_of({"web": 1}))
    story.ready("web.1")
    story.happens(Commanded(Hold("@balancer/web", ("web",), 10.0), 1))
    story.happens(Commanded(Stop(("web.1",)), 2))
    assert (
        why(story)[1]
        == "it gets no new requests; when none is left, @balancer/web lets it stop at once; then it stays down"
    )


def test_one_that_was_stopped_says_by_whom_and_how_it_is_started():
    story = Story(plan_of({"web": 1, "db": 1}))
    story.ready("web.1")
    story.happens(Commanded(Stop(("web.1",)), 1))
    story.ends("web.1", 143, "TERM")
    story.now += 3.0
    assert why(story) == ["web.1 was stopped by procman stop 3.0 s ago", "`procman restart web.1` starts it"]


def test_one_that_has_crashed_says_when_it_comes_back():
    story = Story(plan_of({"web": 1}))
    story.ready("web.1")
    story.ends("web.1", 1)
    first, then, hint = why(story)
    assert first.startswith("web.1 has been in backoff for 0.0 s: exit 1; again in 0.5 s")
    assert then == "it is started again in 0.5 s"
    assert hint == "`procman logs web.1` shows its output"


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        (LogProbe("up$"), "no line matches 'up$'"),
        (NotifyProbe(), "it has not sent READY=1"),
        (ExecProbe("check"), "its probe has not answered"),
    ],
)
def test_one_of_which_nothing_was_heard_says_what_is_missing(probe, told):
    story = Story(plan_of({"web": 1}, spec_of(ready=Readiness(probe=probe, timeout=60.0))))
    story.spawned("web.1")
    assert why(story)[1] == f"not ready so far: {told}; restarted in 1m 0s if that stays so"
    story.now += 60.0
    assert f"not ready within 1m 0s: {told}" in str(story.timer("web.1"))


def test_one_that_is_to_be_restarted_after_what_failed_says_so_and_what_helps():
    web = spec_of("web", depends_on=(Dependency(type="redis", restart=True),))
    story = Story(plan_of({"web": 1, "redis": 1}, web, spec_of("redis", restart={"max_restarts": 0})))
    story.ready("redis.1")
    story.ready("web.1")
    story.ends("redis.1", 3)
    due = "restart due after redis: redis.1 failed: exit 3; not restarted (max_restarts: 0)"
    assert story.fleet.view(story.now).instances[0].reason == due
    assert why(story) == [
        f"web.1 has been ready for 0.0 s: {due}",
        "it is restarted when redis is ready again",
        "`procman restart redis.1` starts what it waits for",
    ]


def test_one_that_is_to_be_restarted_after_what_comes_back_by_itself_needs_nobody():
    web = spec_of("web", depends_on=(Dependency(type="redis", restart=True),))
    story = Story(plan_of({"web": 1, "redis": 1}, web))
    story.ready("redis.1")
    story.ready("web.1")
    story.ends("redis.1", 3)
    assert why(story)[1:] == ["it is restarted when redis is ready again"]


def test_one_that_waits_for_what_was_stopped_says_so_and_what_helps():
    story = Story(plan_of({"web": 1, "redis": 1}, spec_of("web", depends_on=(Dependency(type="redis"),))))
    story.ready("redis.1")
    story.ready("web.1")
    for name in ("web.1", "redis.1"):
        story.happens(Commanded(Stop((name,)), 1))
        story.ends(name, 143, "TERM")
    story.happens(Commanded(Restart(("web.1",)), 2))
    assert why(story) == [
        "web.1 has been waiting for 0.0 s, for redis: redis.1 is stopped by procman stop",
        "it is started as soon as redis is ready",
        "`procman restart redis.1` starts what it waits for",
    ]


def test_one_that_is_not_asked_to_end_yet_says_after_whom_and_until_when():
    story = Story(plan_of({"web": 1, "redis": 1}, spec_of("web", depends_on=(Dependency(type="redis"),))))
    story.ready("redis.1")
    story.ready("web.1")
    story.happens(ShutdownAsked("SIGTERM"), after=3.0)
    assert story.fleet.view(story.now).instances[1].reason == "stops after web.1"
    assert why(story, "redis.1") == [
        "redis.1 has been ready for 4.0 s: stops after web.1",
        "it is asked to end when web.1 has ended, in 8.0 s at the latest",
    ]
    story.ends("web.1", 143, "TERM")
    assert why(story)[0] == "web.1 is stopped: SIGTERM 0.0 s ago"


def test_one_that_has_been_replaced_says_how_long_it_must_stay_ready():
    story = Story(plan_of({"web": 2}))
    story.ready("web.1", "web.2")
    story.happens(Commanded(Restart(("web",)), 1))
    story.ends("web.1", 143, "TERM")
    story.ready("web.1")
    story.now += 1.0
    assert why(story)[1] == "it must stay ready for another 2.0 s: the rollout of web is at 1 of 2"
    assert why(story, "web.2")[1:] == [
        "it is replaced in its turn (procman restart): the rollout of web is at 1 of 2",
        "web.1 has to stay ready for another 2.0 s first",
    ]


def test_one_off_says_that_it_is_to_be_done_and_who_needs_it_since_when():
    web = spec_of("web", depends_on=(Dependency(type="job", until=Until.DONE),))
    story = Story(plan_of({"web": 1, "job": 1}, web, spec_of("job", oneshot=True)))
    story.ready("job.1")
    assert why(story, "job.1")[1:] == ["it is a one-off: done when it has ended with success"]
    assert why(story)[0] == "web.1 has been waiting for 1.0 s, for job: not done, 1.0 s"


def test_one_whose_group_is_restarted_says_so_while_it_still_runs():
    story = Story(
        replace(
            plan_of({"a": 1, "b": 1, "c": 1}),
            groups=(Group(name="g", members=("a", "b", "c"), strategy=Strategy.ONE_FOR_ALL),),
        )
    )
    for name in ("a.1", "b.1", "c.1"):
        story.ready(name)
    story.ends("a.1", 1)
    assert story.fleet.view(story.now).instances[1].reason == "to be restarted with a.1 (group g)"
    story.ends("c.1", 143, "TERM")
    assert story.fleet.view(story.now).instances[2].reason == "waiting for b: not stopped, 0.0 s; a: not ready, 0.0 s"
