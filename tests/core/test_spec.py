"""The wanted world: ports, each instance's own environment, and counts that cannot be."""

from __future__ import annotations

import pytest
from making import plan_of, spec_of

from procman.core.requests import MAX_COUNT
from procman.core.spec import instance_environment, port_variable, refuse_count


def test_an_instance_has_its_types_port_and_its_number():
    assert [spec_of(port=5000).port_of(index) for index in (1, 2, 100)] == [5000, 5001, 5099]
    assert spec_of().port_of(3) is None


def test_the_environment_names_the_instance_and_its_port():
    assert instance_environment(spec_of("my-web", port=5000), 2) == {
        "PORT": "5001",
        "PS": "my-web.2",
        "PROCMAN_TYPE": "my-web",
        "PROCMAN_INDEX": "2",
    }


def test_everyones_first_port_is_told_where_there_is_one():
    plan = plan_of({"my-web": 2, "job": 1, "mute": 1}, spec_of("my-web", port=5000), spec_of("job", port=5100))
    assert plan.port_variables() == {"PROCMAN_PORT_MY_WEB": "5000", "PROCMAN_PORT_JOB": "5100"}


def test_without_a_port_there_is_no_port_not_an_empty_one():
    assert "PORT" not in instance_environment(spec_of("mute"), 1)


def test_a_variable_has_no_dash():
    assert port_variable("my-web") == "PROCMAN_PORT_MY_WEB"


@pytest.mark.parametrize(
    ("count", "spec", "word"),
    [
        (0, spec_of(port=70000), None),
        (1, spec_of(), None),
        (MAX_COUNT, spec_of(), None),
        (MAX_COUNT + 1, spec_of(), "1000"),
        (-1, spec_of(), "fewer than 0"),
        (1, spec_of(max=1), None),
        (2, spec_of(max=1), "max"),
        (100, spec_of(port=5000), None),
        (101, spec_of(port=5000), "room for 100 ports"),
        (2, spec_of(port=65534), None),
        (3, spec_of(port=65534), "65535"),
    ],
)
def test_a_count_is_refused_above_its_limits_and_not_below(count, spec, word):
    refusal = refuse_count(plan_of({"web": 1}, spec), "web", count)
    assert (refusal is None) if word is None else (word in refusal[0])
