"""The words of `--formation` and of `procman scale`, and the counts that a start begins with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.config.formation import RequestedCounts, choose_counts, parse_changes, parse_formation
from procman.errors import ConfigError


@pytest.mark.parametrize(
    ("texts", "counts"),
    [
        ([], {}),
        (["web=2"], {"web": 2}),
        ([" web = 2 ,\tworker=0 "], {"web": 2, "worker": 0}),
        (["web=1", "worker=2"], {"web": 1, "worker": 2}),
        (["all=3,web=1000"], {"all": 3, "web": 1000}),
        (["web=007"], {"web": 7}),
        (["my-web_2=1"], {"my-web_2": 1}),
        (["web=0000000001"], {"web": 1}),
    ],
)
def test_a_formation_is_read(texts, counts):
    assert parse_formation(texts) == (counts, [])


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ",", "web", "web=", "=", "=1", "web==2", "web=x", "web=-1", "web=+1", "web=1.5", "web=1001", "web=1,",
        "web=1 2", "web=\u0662", "web=1_0", "web=" + "9" * 5000, "we b=1", "web.1=1", "wéb=1", "all=1001", "web=1;a=2",
        "w" * 64 + "=1", "web=1\0",
    ],
)  # fmt: skip
def test_a_formation_is_refused(text):
    faults = parse_formation([text])[1]
    assert faults
    assert all(fault.message.startswith("cannot use ") and str(fault).isprintable() for fault in faults)


def test_the_same_name_twice_is_refused_over_several_texts():
    assert [fault.message for fault in parse_formation(["web=1,a=1", "web=1"])[1]] == [
        "cannot use 'web=1' as a count: 'web' is named twice"
    ]


def test_every_fault_of_a_formation_is_found():
    counts, faults = parse_formation(["a=x,b=1", "c=", "d"])
    assert counts == {"b": 1}
    assert len(faults) == 3


@pytest.mark.parametrize(
    ("args", "to", "by"),
    [
        ([], {}, {}),
        (["web=4"], {"web": 4}, {}),
        (["web=4", "api+2", "my-web-1"], {"web": 4}, {"api": 2, "my-web": -1}),
        (["web=4,api+2"], {"web": 4}, {"api": 2}),
        (["web-1-2"], {}, {"web-1": -2}),
        (["web+0", "a=0"], {"a": 0}, {"web": 0}),
        ([" web = 4 "], {"web": 4}, {}),
    ],
)
def test_changes_are_read(args, to, by):
    assert parse_changes(args) == (to, by)


@pytest.mark.parametrize(
    "arg",
    ["", "web", "web=", "web+", "web-", "=1", "+1", "-1", "web=-1", "web=+1", "web==1", "web=1.5", "web+1001", "w b=1", "web=1,"],
)  # fmt: skip
def test_changes_are_refused(arg):
    with pytest.raises(ConfigError, match="cannot use"):
        parse_changes([arg])


def test_a_type_is_changed_once():
    with pytest.raises(ConfigError, match="'web' is named twice"):
        parse_changes(["web=1", "web+1"])


def test_every_fault_of_the_changes_is_told():
    with pytest.raises(ConfigError) as caught:
        parse_changes(["a=x", "b=1", "c"])
    assert len(caught.value.faults) == 2


@given(st.lists(st.text("web+-=, 019", max_size=8)))
def test_any_words_are_read_or_refused(texts):
    parse_formation(texts)
    try:
        to, by = parse_changes(texts)
    except ConfigError:
        return
    assert not to.keys() & by.keys()


COUNTS = [
    ("by default one each and no release", RequestedCounts(), {"web": 1, "worker": 1, "release": 0}),
    (
        "the config file's counts",
        RequestedCounts(configured={"web": 3, "release": 1}),
        {"web": 3, "worker": 1, "release": 1},
    ),
    (
        "the command line wins, the others keep theirs",
        RequestedCounts(formation={"web": 2}, configured={"web": 3, "worker": 4}),
        {"web": 2, "worker": 4, "release": 0},
    ),
    (
        "all is for the unnamed but release",
        RequestedCounts(formation={"all": 2, "web": 0}),
        {"web": 0, "worker": 2, "release": 0},
    ),
    (
        "all wins over the config file",
        RequestedCounts(formation={"all": 2}, configured={"web": 3}),
        {"web": 2, "worker": 2, "release": 0},
    ),
    ("only the named", RequestedCounts(types=("worker",)), {"web": 0, "worker": 1, "release": 0}),
    (
        "only the named and those of the formation",
        RequestedCounts(types=("worker",), formation={"web": 2}),
        {"web": 2, "worker": 1, "release": 0},
    ),
    (
        "a named type has the config file's count",
        RequestedCounts(types=("web",), configured={"web": 3}),
        {"web": 3, "worker": 0, "release": 0},
    ),
    (
        "a named type runs",
        RequestedCounts(types=("web",), configured={"web": 0}),
        {"web": 1, "worker": 0, "release": 0},
    ),
    (
        "all counts for the named only",
        RequestedCounts(types=("web",), formation={"all": 2}),
        {"web": 2, "worker": 0, "release": 0},
    ),
    ("release by name", RequestedCounts(types=("release",)), {"web": 0, "worker": 0, "release": 1}),
    ("release by formation", RequestedCounts(formation={"release": 1}), {"web": 1, "worker": 1, "release": 1}),
    ("left out", RequestedCounts(leave_out=("web",), configured={"web": 2}), {"web": 0, "worker": 1, "release": 0}),
    (
        "left out wins",
        RequestedCounts(leave_out=("web",), types=("web",), formation={"web": 2}),
        {"web": 0, "worker": 0, "release": 0},
    ),
]


@pytest.mark.parametrize(("asked", "counts"), [row[1:] for row in COUNTS], ids=[row[0] for row in COUNTS])
def test_counts_at_the_start(asked, counts):
    assert choose_counts(["web", "worker", "release"], asked) == counts
