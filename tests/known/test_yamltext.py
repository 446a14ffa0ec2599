"""Values go into YAML text, and every other character stays."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from procman.known.yamltext import CannotInsertError, insert, scalar

PATH = ("processes", "web", "stop", "signal")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "processes:\n  web:\n    stop: {signal: QUIT}  # why\n"),
        ("# mine\n", "# mine\nprocesses:\n  web:\n    stop: {signal: QUIT}  # why\n"),
        ("# mine", "# mine\nprocesses:\n  web:\n    stop: {signal: QUIT}  # why\n"),
        ("formation: {web: 2} # x\n", "formation: {web: 2} # x\nprocesses:\n  web:\n    stop: {signal: QUIT}  # why\n"),
        ("processes: {}\n", "processes: {web: {stop: {signal: QUIT}}}\n"),
        ("processes: {web: {max: 2}}", "processes: {web: {max: 2, stop: {signal: QUIT}}}"),
        ("processes: {web: {stop: {grace: 3,}}}", "processes: {web: {stop: {grace: 3, signal: QUIT,}}}"),
        ("processes:\n  web:\n  b: {max: 1}\n", "processes:\n  web: {stop: {signal: QUIT}}\n  b: {max: 1}\n"),
        (
            "processes:\n    web:\n        stop:\n            grace: 3",
            "processes:\n    web:\n        stop:\n            grace: 3\n            signal: QUIT  # why\n",
        ),
        (
            "processes:\n  web:\n    max: 3   # three\n\n  # the worker\n  b:\n    max: 1\n",
            "processes:\n  web:\n    max: 3   # three\n    stop: {signal: QUIT}  # why\n\n  # the worker\n  b:\n    max: 1\n",
        ),
        (
            "processes:\r\n  web:\r\n    max: 1\r\n",
            "processes:\r\n  web:\r\n    max: 1\r\n    stop: {signal: QUIT}  # why\r\n",
        ),
        (
            "processes:\n  web:\n    watch:\n    - a\n    - b\n...\n",
            "processes:\n  web:\n    watch:\n    - a\n    - b\n    stop: {signal: QUIT}  # why\n...\n",
        ),
        (
            "processes:\n  web:\n    env:\n      A: |\n        text\n  b: {max: 1}\n",
            "processes:\n  web:\n    env:\n      A: |\n        text\n    stop: {signal: QUIT}  # why\n  b: {max: 1}\n",
        ),
    ],
)
def test_a_value_is_put_where_it_belongs(before, after):
    assert insert(before, PATH, "QUIT", "why") == after


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("processes:\n  web: &a\n    max: 2\n  x: *a\n", 2),
        ("processes:\n  x: &a {max: 2}\n  web: *a\n", 3),
        ("processes:\n  web: [1]\n", 2),
        ("processes:\n  web:\n    stop: {signal: TERM}\n", 3),
        ("processes:\n  web: ~\n", 2),
        ("a: 'x\n", 0),
        ("a: b\n\tc: d\n", 0),
        ("a: 1\n---\nb: 2\n", 0),
    ],
)
def test_what_cannot_be_extended_is_refused_with_its_line(text, line):
    with pytest.raises(CannotInsertError) as refused:
        insert(text, PATH, "QUIT")
    assert refused.value.line == line


SCALARS = st.one_of(st.text(max_size=12), st.integers(-5, 5), st.booleans(), st.none())
DOCUMENTS = st.recursive(
    st.dictionaries(st.sampled_from(["processes", "web", "stop", "max", "a", "yes", "1"]), SCALARS, max_size=3),
    lambda inner: st.dictionaries(
        st.sampled_from(["processes", "web", "stop", "b", "null"]),
        inner | SCALARS | st.lists(SCALARS, max_size=2),
        max_size=3,
    ),
    max_leaves=8,
)


def changed(data: object, path: tuple[str, ...], value: object) -> object:
    """`data` with the value at the path, None and nothing being empty mappings."""
    if not path:
        return value
    data = data if isinstance(data, dict) else {}
    return {**data, path[0]: changed(data.get(path[0]), path[1:], value)}


@given(DOCUMENTS, st.booleans(), st.integers(2, 6), st.sampled_from(["QUIT", 30, True, "no", 1.5, {"tcp": 80}]))
def test_any_file_keeps_its_text_and_gains_the_value(data, flow, indent, value):
    text = yaml.safe_dump(data, default_flow_style=flow, indent=indent, allow_unicode=True)
    try:
        after = insert(text, PATH, value, "why")
    except CannotInsertError:
        return
    assume(yaml.safe_load(text) == data)
    assert yaml.safe_load(after) == changed(data, PATH, value)
    kept = iter(after)
    assert all(character in kept for character in text)  # every character is there still, in its order


@given(st.text(max_size=60) | st.text(alphabet="ab:{}[]-#&*!|>'\"\n ,?", max_size=60))
def test_any_text_is_extended_or_refused(text):
    try:
        after = insert(text, PATH, "QUIT", "why")
    except CannotInsertError:
        return
    assert yaml.safe_load(after)["processes"]["web"]["stop"]["signal"] == "QUIT"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
def test_a_text_reads_as_it_was_written(text):
    assume("\0" not in text)
    assert yaml.safe_load(f"a: {scalar(text)}") == {"a": text}


def test_a_list_stands_in_brackets():
    text = insert("processes:\n  w:\n    max: 1\n", ("processes", "w", "depends_on"), ["redis", "on"])
    assert text == 'processes:\n  w:\n    max: 1\n    depends_on: [redis, "on"]\n'
