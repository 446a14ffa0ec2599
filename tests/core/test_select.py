"""Which instances a person means."""

from __future__ import annotations

import sys

import pytest
from making import instance_in, spec_of

from procman.core.phases import Ready
from procman.core.select import MOST_PATTERNS, Selector, listed, matching, refuse_type

NAMES = ("web.1", "web.2", "worker.1", "job.1")
TYPES = ("web", "worker", "job", "idle")
SLOTS = [instance_in(Ready, name=name, index=int(name[-1]), spec=spec_of(name.partition(".")[0])) for name in NAMES]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ((), NAMES),
        (("web",), ("web.1", "web.2")),
        (("web.2",), ("web.2",)),
        (("w*",), ("web.1", "web.2", "worker.1")),
        (("*.1",), ("web.1", "worker.1", "job.1")),
        (("web.[2-9]",), ("web.2",)),
        (("job", "web.1", "web.1"), ("web.1", "job.1")),  # in the formation's order, each once
        (("idle",), ()),
        (("idle", "job"), ("job.1",)),
        (("id*",), ()),
    ],
)
def test_types_instances_and_patterns_name_instances(asked, meant):
    assert tuple(i.name for i in matching(asked, SLOTS, TYPES)) == meant


@pytest.mark.parametrize("asked", [("wbe",), ("web", "wbe"), ("web.3",), ("x*",), ("WEB",)])
def test_a_name_that_fits_nothing_is_refused(asked):
    message, hint = matching(asked, SLOTS, TYPES)
    assert asked[-1] in message
    assert hint


def test_a_type_is_one_by_its_exact_name():
    assert refuse_type("web", TYPES) is None
    assert refuse_type("web.1", TYPES) == ("cannot find a process type 'web.1'", "did you mean 'web'?")


@pytest.mark.parametrize(("count", "end"), [(8, "x.8"), (9, " and 1 more"), (48, " and 40 more")])
def test_a_long_list_of_names_is_counted_from_the_ninth_on(count, end):
    slots = [instance_in(Ready, name=f"x.{n}") for n in range(1, count + 1)]
    assert listed(slots).endswith(end)
    assert listed(slots).count(", ") == 7


def test_a_thousand_names_are_not_compared_with_a_thousand_instances():
    slots = [instance_in(Ready, name=f"x.{n}") for n in range(1000)]
    names = [i.name for i in slots]
    assert calls_in(lambda: matching(names, slots, ["x"])) < 20_000


def test_many_patterns_mean_what_each_of_them_means():
    patterns = [f"[{letter}]*.1" for letter in "abcdefghijklmnopqrstuvw"]
    assert Selector(patterns).matches("web.1")
    assert not Selector(patterns).matches("web.2")
    assert not Selector(patterns).matches("system")


def calls_in(function):
    """How many functions it calls: unlike seconds, the same on every machine."""
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def test_too_many_patterns_are_refused_before_any_is_compiled():
    names = [f"[{'[' * 100}{n}" for n in range(MOST_PATTERNS + 1)]
    message, _hint = Selector(names).refuse({"web": 1}, ["web.1"])
    assert "51 patterns" in message
