"""`start --release`, or `release: true`: the type `release` runs to success before anything else."""

from __future__ import annotations

import pytest
from folders import only_fault, write

from procman.config.load import Options, load
from procman.core.policies import Dependency, Until
from procman.core.spec import OnEnd

FIRST = Dependency(type="release", until=Until.DONE)


@pytest.fixture(params=["option", "key"])
def asked(request, folder):
    """Options with which the release is run first, by either way to say so."""
    if request.param == "option":
        return Options(release=True)
    write(folder, yml="release: true\n")
    return Options()


def test_every_other_type_waits_for_its_end(folder, asked):
    plan = load(asked, {})
    assert plan.types["web"].depends_on == plan.types["worker"].depends_on == (FIRST,)
    assert plan.types["release"].depends_on == ()
    assert plan.counts == {"web": 1, "worker": 1, "release": 1}


def test_its_failure_ends_everything_and_its_success_does_not(folder, asked):
    assert load(asked, {}).types["release"].on_end is OnEnd.EXIT_ON_FAILURE


def test_what_it_needs_itself_comes_before_it(folder):
    write(
        folder,
        Procfile="web: a\nredis: b\nnet: c\nrelease: d\n",
        yml="processes: {release: {depends_on: [redis]}, redis: {depends_on: [net]}, web: {depends_on: [redis]}}",
    )
    types = load(Options(release=True), {}).types
    assert [one.type for one in types["web"].depends_on] == ["release", "redis"]
    assert [one.type for one in types["redis"].depends_on] == ["net"]
    assert types["net"].depends_on == ()


def test_it_runs_also_where_other_types_are_named(folder):
    assert load(Options(release=True, types=("web",)), {}).counts == {"web": 1, "worker": 0, "release": 1}
    assert load(Options(release=True, formation=("release=0",)), {}).counts["release"] == 1
    assert load(Options(release=True, leave_out=("release",)), {}).counts["release"] == 0


def test_without_it_nobody_waits(folder):
    plan = load(Options(), {})
    assert plan.types["web"].depends_on == ()
    assert plan.counts["release"] == 0


def test_a_procfile_without_such_a_type_is_told(folder):
    write(folder, Procfile="web: a\n")
    assert only_fault(Options(release=True)).startswith("cannot run release before anything else: Procfile has no such")
