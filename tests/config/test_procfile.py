"""The Procfile's grammar."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.config.procfile import Entry, claimed_names, parse_procfile

CASES = json.loads((Path(__file__).parent.parent / "cases" / "procfile.json").read_text())


def entries(data):
    found, faults = parse_procfile(data if isinstance(data, bytes) else data.encode())
    assert not faults
    return [(entry.name, entry.command) for entry in found]


def faults_of(data):
    return parse_procfile(data if isinstance(data, bytes) else data.encode())[1]


def lines_of(data):
    return [fault.line for fault in faults_of(data)]


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_case(case):
    found, faults = parse_procfile(case["input"].encode())
    assert [fault.line for fault in faults] == case.get("errors", [])
    if "expect" in case:
        assert [[entry.name, entry.command] for entry in found] == case["expect"]


def test_an_entry_knows_its_line():
    assert parse_procfile(b"\n# x\nweb: a\n") == ([Entry("web", "a", 3)], [])


def test_a_fault_names_the_file_the_line_and_what_to_do():
    (fault,) = parse_procfile(b"web a", "sub/Procfile")[1]
    assert str(fault) == "sub/Procfile:1: cannot read 'web a': it has no ':' (write 'name: command')"


@pytest.mark.parametrize(
    "text",
    [
        "web a", ": a", "web:", "a b: c", "all: x", "web: \0", "x.y: z", "web: a\nweb: b", "", "é: x", "\ufeff", "web: a\rb",
    ],
)  # fmt: skip
def test_every_message_starts_with_cannot(text):
    assert all(fault.message.startswith("cannot ") for fault in faults_of(text))
    assert faults_of(text)


def test_a_name_may_have_63_characters_and_no_more():
    assert entries("a" * 63 + ": x") == [("a" * 63, "x")]
    assert lines_of("a" * 64 + ": x") == [1]


def test_an_empty_name_is_refused():
    assert lines_of(": a\n  : b\nok: c") == [1, 2]


def test_names_differ_by_case():
    assert [name for name, _ in entries("web: a\nWEB: b\nAll: c")] == ["web", "WEB", "All"]


def test_each_line_has_one_fault():
    assert lines_of("x.y:\nall:\n.:") == [1, 2, 3]


def test_a_duplicate_names_the_first_line():
    first, second = faults_of("web: a\nok: b\nweb: c\nweb: d")
    assert (first.line, second.line) == (3, 4)
    assert "line 1" in first.message
    assert "line 1" in second.message


def test_a_name_is_taken_by_its_first_line_even_if_that_has_no_command():
    assert lines_of("web:\nweb: b") == [1, 2]


@pytest.mark.parametrize("character", ["\0", "\x01", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\r"])
def test_a_control_character_is_refused_wherever_it_stands(character):
    assert lines_of(f"ok: x\nweb: a{character}b\n# a{character}b\nw{character}b: x\n") == [2, 3, 4]


def test_a_tab_is_a_blank_and_stays_inside_a_command():
    assert entries("\tweb\t:\ta\tb\t") == [("web", "a\tb")]


def test_only_ascii_blanks_are_trimmed():
    assert entries("web: \u00a0a\u3000\n") == [("web", "\u00a0a\u3000")]
    assert entries("web: a\u2028b") == [("web", "a\u2028b")]


def test_a_lone_cr_is_named_with_the_line_ends_that_are_right():
    (fault,) = faults_of("web: a\rworker: b\r")
    assert "U+000D" in fault.message
    assert "LF or CRLF" in fault.hint


def test_a_byte_that_is_not_utf8_has_its_line_and_hides_no_other_fault():
    first, second = faults_of(b"ok: a\nweb: \xff\nx.y: b\n")
    assert (first.line, second.line) == (2, 3)
    assert "0xff" in first.message
    assert "UTF-8" in first.hint


def test_utf16_is_said_once():
    (fault,) = faults_of("web: a\nb: c\n".encode("utf-16"))
    assert "UTF-16" in fault.message


def test_a_bom_is_skipped_at_the_start_only():
    assert entries("\ufeff# x\nweb: a") == [("web", "a")]
    assert lines_of("ok: a\n\ufeffweb: a") == [2]


def test_a_faulty_line_after_a_backslash_is_told_that_lines_cannot_be_continued():
    faults = faults_of("web: a \\  \n  --b \\\r\n  --c\n")
    assert [fault.line for fault in faults] == [2, 3]
    assert all("cannot be continued" in fault.hint for fault in faults)


def test_a_good_line_after_a_backslash_is_an_entry():
    assert entries("web: a \\\nworker: b\\\n\nc: d") == [("web", "a \\"), ("worker", "b\\"), ("c", "d")]


def test_a_file_without_an_entry_is_said_once_and_only_where_nothing_else_is_wrong():
    (fault,) = parse_procfile(b"\n# a\n  \n", "sub/Procfile")[1]
    assert fault.line == 0
    assert "sub/Procfile" in str(fault)
    assert lines_of("web a") == [1]


def test_messages_obey_no_terminal_sequence_and_stay_on_one_line():
    (fault,) = faults_of("\u202eweb: a")
    assert str(fault).isprintable()


def test_claimed_names_hold_those_of_faulty_lines():
    assert {"web", "x.y", "ok"} <= claimed_names(b"\xef\xbb\xbfweb:\r\n x.y : a\nok: \xff")


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_give_entries_and_faults_and_nothing_else(data):
    found, faults = parse_procfile(data)
    assert bool(found) or bool(faults)
    assert all(fault.message.startswith("cannot ") and "\n" not in str(fault) for fault in faults)
    claimed_names(data)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_-]{1,63}", fullmatch=True).filter(lambda name: name != "all"),
        st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).filter(
            lambda text: text == text.strip(" ")
        ),
        min_size=1,
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_what_is_read(types, end):
    text = "".join(f"{name}: {command}{end}" for name, command in types.items())
    assert entries(text) == list(types.items())


@pytest.mark.parametrize(
    "text",
    [
        "[supervisord]\nnodaemon=true\n",
        "; the web\n\n[program:web]\ncommand=/bin/x --addr :80\n",
        "# a\n[unix_http_server]\nfile = /a\n",
    ],
)
def test_an_ini_file_is_called_one_and_what_makes_a_procfile_of_it_is_named(text):
    entries, (fault,) = parse_procfile(text.encode(), "supervisord.conf")
    assert entries == []
    assert "it is an INI file" in str(fault)
    assert "procman init --from supervisord.conf" in str(fault)


def test_a_template_of_a_procfile_is_called_one():
    text = "{% if redis %}\nredis: redis-server\n{% endif %}\nweb: {{ command }}\n"
    entries, (fault,) = parse_procfile(text.encode(), "Procfile")
    assert entries == []
    assert "Procfile:1: cannot read the file as a Procfile" in str(fault)
    assert "it is a template" in str(fault)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"apps": [{"name": "web"}]}\n', "a JSON file"),
        ("services:\n  web:\n    image: x\n", "a YAML file"),
        ("# mine\nversion: 3\nprocesses:\n  web:\n", "a YAML file"),
    ],
)
def test_another_tools_file_is_recognised(text, what):
    _, (fault,) = parse_procfile(text.encode(), "app")
    assert f"it is {what}" in str(fault)
    assert "`procman init --from app`" in str(fault)
