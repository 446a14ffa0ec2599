"""Keys that are checked and that no decision follows yet: whoever uses one is told."""

from __future__ import annotations

import pytest

from procman.app.promises import not_carried_out
from procman.core.policies import Dependency, Group, Rolling
from procman.core.spec import Plan, ProcessSpec


def plan_of(groups: tuple[Group, ...] = (), **fields: object) -> Plan:
    spec = ProcessSpec(type="web", command="true", cwd="/", env={}, **fields)
    return Plan(root="/", types={"web": spec}, counts={"web": 1}, positions={"web": 0}, groups=groups)


@pytest.mark.parametrize(
    ("plan", "key"),
    [
        (plan_of((Group(name="g", members=("web",)),)), "groups"),
        (plan_of(depends_on=(Dependency(type="db", restart=True),)), "processes.web.depends_on.db.restart"),
    ],
)
def test_a_key_that_is_not_carried_out_is_named(plan, key):
    assert not_carried_out(plan) == f"read in procman.yml, and not carried out yet: {key}"


def test_what_is_carried_out_is_no_line():
    assert not_carried_out(plan_of(rolling=Rolling(surge=1), depends_on=(Dependency(type="db"),))) == ""
