"""How long a start took and because of whom: the chain of types that the last one to be ready waited for."""

from __future__ import annotations

import pytest
from making import Story, of_type, plan_of, spec_of, told

from procman.core.actions import Publish
from procman.core.events import Commanded, Probed, Scale
from procman.core.fleet import Fleet
from procman.core.policies import Dependency, Readiness, TcpProbe, Until
from procman.core.snapshot import Moments, StartupState, decode, encode
from procman.core.startup import critical_path
from procman.core.view import Kind, PathStep

READY = Readiness(probe=TcpProbe())


def needing(type_name: str, *on: str | Dependency, **changes):
    needs = tuple(one if isinstance(one, Dependency) else Dependency(type=one) for one in on)
    return spec_of(type_name, depends_on=needs, ready=READY, **changes)


def done(type_name: str) -> Dependency:
    return Dependency(type=type_name, until=Until.DONE)


MIGRATE = needing("migrate", "redis", oneshot=True)


@pytest.mark.parametrize(
    ("specs", "moments", "path"),
    [
        pytest.param(
            [spec_of("redis", ready=READY), MIGRATE, needing("web", "redis", done("migrate"))],
            {"redis.1": Moments(0, 0.3), "migrate.1": Moments(0.3, None, 4.4), "web.1": Moments(4.4, 8.2)},
            [("redis", 0.3), ("migrate", 4.1), ("web", 3.8)],
            id="one after the other",
        ),
        pytest.param(
            [spec_of("db", ready=READY), spec_of("redis", ready=READY), needing("web", "db", "redis")],
            {"db.1": Moments(0, 5.0), "redis.1": Moments(0, 0.3), "web.1": Moments(5.0, 6.0)},
            [("db", 5.0), ("web", 1.0)],
            id="the later of two",
        ),
        pytest.param(
            [spec_of("db", ready=READY), needing("web", "db"), spec_of("slow", ready=READY)],
            {"db.1": Moments(0, 1.0), "web.1": Moments(1.0, 2.0), "slow.1": Moments(0, 9.0)},
            [("slow", 9.0)],
            id="one that nobody waits for",
        ),
        pytest.param(
            [spec_of("db", ready=READY), needing("web", "db")],
            {"db.1": Moments(0, 1.0), "db.2": Moments(0, 3.0), "web.1": Moments(1.0, 4.0)},
            [("db", 1.0), ("web", 3.0)],
            id="the first of a type lets the others begin",
        ),
        pytest.param(
            [spec_of("db", ready=READY), needing("web", Dependency(type="db", every=True))],
            {"db.1": Moments(0, 1.0), "db.2": Moments(0, 3.0), "web.1": Moments(3.0, 4.0)},
            [("db", 3.0), ("web", 1.0)],
            id="all of a type",
        ),
        pytest.param(
            [spec_of("db", ready=READY), needing("web", Dependency(type="db", until=Until.STARTED))],
            {"db.1": Moments(0.1, 1.0), "web.1": Moments(0.1, 4.0)},
            [("db", 0.1), ("web", 3.9)],
            id="one that has only to be started",
        ),
        pytest.param(
            [spec_of("web", ready=READY)],
            {"web.1": Moments(0, 0.3), "web.2": Moments(0, 0.5)},
            [("web", 0.5)],
            id="the slowest of a type",
        ),
        pytest.param(
            [spec_of("redis", ready=READY), MIGRATE],
            {"redis.1": Moments(0, 1.0), "migrate.1": Moments(1.0, 1.5, 3.0)},
            [("redis", 1.0), ("migrate", 2.0)],
            id="a one-off counts until it is done",
        ),
        pytest.param([spec_of("web", ready=READY)], {}, [], id="nobody"),
    ],
)
def test_the_critical_path_is_the_chain_that_determined_the_end(specs, moments, path):
    plan = plan_of({spec.type: 2 for spec in specs}, *specs)
    found = critical_path(StartupState(1, 0.0, moments), plan, plan.counts)
    assert [(step.type, round(step.seconds, 3)) for step in found] == path


def test_a_type_that_stands_at_nothing_is_no_part_of_it():
    plan = plan_of({"db": 0, "web": 1}, needing("web", "db"))
    state = StartupState(1, 0.0, {"web.1": Moments(0, 2.0)})
    assert critical_path(state, plan, plan.counts) == (PathStep("web", 2.0),)


def paths(actions) -> list[tuple[PathStep, ...] | None]:
    return [a.change.path for a in of_type(actions, Publish) if a.change.event is Kind.ALL_READY]


def ready(story: Story, name: str, after: float) -> list:
    """Its process is there at once, and its probe succeeds so much later."""
    story.spawned(name)
    return story.happens(Probed(name, story.instance(name).generation, ok=True, answer="accepts"), after)


def test_it_is_told_once_when_everything_is_ready():
    story = Story(plan_of({"redis": 1, "web": 2}, spec_of("redis", ready=READY), needing("web", "redis")))
    ready(story, "redis.1", 0.3)
    story.spawned("web.2")
    assert told(ready(story, "web.1", 2.0), Kind.ALL_READY) == []
    actions = story.happens(Probed("web.2", 1, ok=True, answer="accepts"), 1.0)
    assert told(actions, Kind.ALL_READY) == ["ready after 3.3 s: redis 0.3, web 3.0"]
    assert [(step.type, round(step.seconds, 3)) for step in paths(actions)[0] or ()] == [("redis", 0.3), ("web", 3.0)]
    story.ends("web.1", 1)
    story.timer("web.1")
    ready(story, "web.1", 1.0)
    assert len(told(story.seen, Kind.ALL_READY)) == 1


def test_a_start_without_such_keys_tells_nothing_of_it():
    story = Story(plan_of({"web": 1, "worker": 1}))
    story.ready("web.1")
    story.ready("worker.1")
    assert told(story.seen, Kind.ALL_READY) == []


def test_a_type_that_is_not_started_has_no_such_key():
    story = Story(plan_of({"web": 1, "release": 0}, spec_of("release", oneshot=True)))
    story.ready("web.1")
    assert told(story.seen, Kind.ALL_READY) == []


def test_a_crash_before_it_was_ready_is_a_part_of_its_time():
    story = Story(plan_of({"web": 1}, spec_of("web", ready=READY)))
    story.ends("web.1", 1)
    story.timer("web.1")
    story.now += 5.0
    (line,) = told(ready(story, "web.1", 1.0), Kind.ALL_READY)
    assert line.startswith("ready after 6.")


def test_a_start_that_is_superseded_tells_nothing():
    story = Story(plan_of({"web": 1, "db": 1}, spec_of("web", ready=READY)))
    story.happens(Commanded(Scale({"web": 0}), 7))
    story.ready("db.1")
    assert told(story.seen, Kind.ALL_READY) == []


def test_it_goes_on_in_another_program():
    story = Story(plan_of({"redis": 1, "web": 1}, spec_of("redis", ready=READY), needing("web", "redis")))
    ready(story, "redis.1", 0.3)
    story.fleet = Fleet(story.fleet.plan, decode(encode(story.fleet.state())))
    assert told(ready(story, "web.1", 2.0), Kind.ALL_READY) == ["ready after 2.3 s: redis 0.3, web 2.0"]


def test_one_that_dies_and_is_ready_again_meanwhile_counts_with_its_first_time():
    story = Story(plan_of({"redis": 1, "web": 1}, spec_of("redis", ready=READY), needing("web", "redis")))
    ready(story, "redis.1", 0.3)
    story.spawned("web.1")
    story.ends("redis.1", 1)
    story.timer("redis.1")
    ready(story, "redis.1", 1.0)
    actions = story.happens(Probed("web.1", 1, ok=True, answer="accepts"), 2.0)
    assert paths(actions)[0] == (
        PathStep("redis", pytest.approx(0.3)),
        PathStep("web", pytest.approx(story.now - 1000.3)),
    )
