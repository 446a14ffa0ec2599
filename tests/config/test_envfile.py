"""Environment files: python-dotenv's grammar, strictly, and references that see what the child will see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from env_values import merge, parse_env
from hypothesis import given
from hypothesis import strategies as st

from procman.config.envfile import MAX_VALUE, read_assignments

CASES = json.loads((Path(__file__).parent.parent / "cases" / "env.json").read_text())


def values(text, base=None, *, override=False):
    found, faults = parse_env(text.encode(), ".env", base or {}, override=override)
    assert not faults
    return found


def faults_of(data, base=None):
    return parse_env(data if isinstance(data, bytes) else data.encode(), ".env", base or {})[1]


def lines_of(data):
    return [fault.line for fault in faults_of(data)]


def merged(files, base=None, *, override=False):
    assignments = []
    for text in files:
        found, faults = read_assignments(text.encode(), "file")
        assert not faults
        assignments += found
    env, faults = merge(assignments, base or {}, override=override)
    assert not faults
    return env


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_case(case):
    found, faults = parse_env(case["input"].encode(), ".env", {})
    assert [fault.line for fault in faults] == case.get("errors", [])
    if "expect" in case:
        assert found == case["expect"]


def test_a_fault_has_the_line_of_its_statement_after_blank_lines_and_comments():
    assert lines_of("A=1\n\n\n# x\n\nFOO\n\n  \n'=3\n") == [6, 9]


def test_a_fault_after_a_value_of_several_lines_has_its_own_line():
    assert lines_of('A="1\n2\n3"\nFOO\n') == [4]


def test_every_fault_of_a_file_is_found():
    assert lines_of("FOO\n=x\nA='1\nB: 2\nC=3\n") == [1, 2, 3, 4]


def test_an_open_quote_says_so_without_the_value():
    (fault,) = faults_of("TOKEN='s3cret\n")
    assert "TOKEN" in fault.message
    assert "quotation" in fault.message
    assert "s3cret" not in str(fault)


def test_a_line_without_an_equals_sign_is_not_shown_for_it_may_be_a_part_of_a_key():
    (fault,) = faults_of("MIIEvAIBADANBg\n")
    assert "MIIE" not in str(fault)


@pytest.mark.parametrize(
    "text", ["=x", "''=x", '"\0"=x', "A\0=x", "A=\0", "'A=B'=x", "export", "export A", "A=1\0\n"],
)  # fmt: skip
def test_a_name_or_value_that_no_environment_can_hold_is_a_fault(text):
    assert lines_of(f"OK=1\n{text}") == [2]


def test_not_utf8_has_its_line():
    assert lines_of(b"A=1\nB=\xe9\n") == [2]


def test_utf16_is_a_fault():
    assert "UTF-16" in faults_of("A=1".encode("utf-16"))[0].message


def test_crlf_inside_a_quoted_value_is_a_newline():
    assert values('A="1\r\n2"\r\n') == {"A": "1\n2"}


def test_the_environment_wins_and_references_see_it():
    assert merged(["A=file\nB=${A}"], {"A": "os"}) == {"A": "os", "B": "os"}


def test_with_override_the_file_wins_and_references_see_it():
    assert merged(["A=file\nB=${A}"], {"A": "os"}, override=True) == {"A": "file", "B": "file"}


def test_the_later_file_wins_and_references_see_it_wherever_they_stand():
    assert merged(["A=1\nB=${A}", "A=2\nC=${A}"]) == {"A": "2", "B": "2", "C": "2"}
    assert merged(["B=${A}", "A=2"]) == {"A": "2", "B": "2"}


def test_a_reference_to_itself_is_the_value_before():
    assert merged(["PATH=/a:${PATH}"], {"PATH": "/bin"}, override=True) == {"PATH": "/a:/bin"}
    assert merged(["P=a", "P=${P}b", "P=${P}c"]) == {"P": "abc"}
    assert merged(["P=${P}x"]) == {"P": "x"}
    assert merged(["P=a\nP=${P}${P}"]) == {"P": "aa"}


def test_references_in_a_circle_come_to_an_end():
    assert merged(["A=${B}1\nB=${A}2"]) == {"A": "21", "B": "2"}


def test_a_default_is_for_what_is_not_set_at_all():
    assert merged(["A=${NO:-x}\nB=${E:-x}\nE="]) == {"A": "x", "B": "", "E": ""}


def test_a_value_of_the_environment_that_is_not_utf8_survives():
    assert merged(["B=${A}"], {"A": "\udcff"}) == {"A": "\udcff", "B": "\udcff"}


def test_other_forms_of_reference_are_literal():
    assert values("A=$HOME ${} $(x) `y`", {"HOME": "/h"})["A"] == "$HOME ${} $(x) `y`"


@pytest.mark.parametrize("value", ["ab${9#z}", "${X-y}", "${X%.*}", "${#X}", "pa${ss!word}", "${X?no}", "${ }"])
def test_what_no_variable_can_be_named_is_no_reference_but_part_of_the_value(value):
    assert parse_env(f'A={value}\nB="{value}"'.encode(), ".env", {})[0] == {"A": value, "B": value}


def test_a_name_of_another_form_that_is_set_can_be_referred_to():
    assert parse_env(b"X-y=1\nA=${X-y}", ".env", {})[0]["A"] == "1"


def test_appending_is_a_fault_with_what_to_write_instead():
    (fault,) = parse_env(b"A+=x", ".env", {})[1]
    assert "'A+'" in str(fault)
    assert "write A=${A}" in str(fault)


def test_without_files_the_environment_stays_as_it_is():
    assert merge([], {"A": "${B}"}) == ({"A": "${B}"}, [])


def test_values_that_double_and_double_are_refused():
    bomb = "A0=aaaaaaaaaa\n" + "".join(f"A{n}=${{A{n - 1}}}${{A{n - 1}}}\n" for n in range(1, 45))
    assert any("longer than 128 KiB" in fault.message for fault in faults_of(bomb))


def test_the_longest_value_that_linux_takes_is_taken():
    assert not faults_of("A=" + "x" * (MAX_VALUE - 3))
    assert lines_of("A=" + "x" * (MAX_VALUE - 2)) == [1]


def test_a_chain_of_references_without_end_is_a_fault():
    chain = "".join(f"A{n}=${{A{n + 1}}}\n" for n in range(2000))
    assert faults_of(chain)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_give_values_and_faults_and_nothing_else(data):
    found, faults = parse_env(data, ".env", {"A": "1"})
    assert all("\0" not in name + value and "=" not in name and name for name, value in found.items())
    assert all(fault.message.startswith("cannot ") and "\n" not in str(fault) for fault in faults)


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.text("ABC${}:-x", max_size=12)), max_size=8), st.booleans())
def test_any_references_come_to_an_end(pairs, override):
    text = "".join(f"{name}={value}\n" for name, value in pairs)
    parse_env(text.encode(), ".env", {"A": "os"}, override=override)


def run(code: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environ, timeout=30
    )
    return done.stdout + done.stderr


READ = (
    "from procman.config.envfile import layer_over, read_assignments\n"
    "print(layer_over(read_assignments(b'A=${B:-1}', '.env')[0], {}))\n"
)


def test_the_rest_of_dotenv_can_be_imported_after_a_file_was_read():
    assert run(READ + "import dotenv; print(dotenv.dotenv_values.__name__)") == "({'A': '1'}, [])\ndotenv_values\n"


def test_a_dotenv_whose_parser_needs_its_package_is_loaded_as_any_other(tmp_path):
    """None does, but nobody has promised that."""
    package = tmp_path / "dotenv"
    package.mkdir()
    (package / "__init__.py").write_text("WORD = 'seen'\n")
    (package / "parser.py").write_text(
        "from dotenv import WORD\ndef parse_stream(text):\n    print(WORD)\n    return []\n"
    )
    (package / "variables.py").write_text("")
    assert run(READ, PYTHONPATH=str(tmp_path)) == "seen\n({}, [])\n"


# ---- what is literal


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'${remote_addr} - ${status}'", "${remote_addr} - ${status}"),
        ("'Xy${HOME}9#z'", "Xy${HOME}9#z"),
        ("'${HOME:-x}'", "${HOME:-x}"),
        (" 'a${HOME}' # comment", "a${HOME}"),
        ("'two\n${HOME}'", "two\n${HOME}"),
        (r"'it\'s ${HOME}'", "it's ${HOME}"),
        (r"'\${HOME}'", r"\${HOME}"),
        (r"\${HOME}", "${HOME}"),
        (r'"\${HOME} ${HOME}"', "${HOME} /root"),
        (r"a\$b", "a$b"),
        (r"${NONE:-a\$b}", "a$b"),
        ("pa$$w$rd", "pa$$w$rd"),
        ("$HOME", "$HOME"),
        ('"it\'s ${HOME}"', "it's /root"),
        (r'"\\${HOME}"', r"\/root"),
    ],
)
def test_a_dollar_can_be_literal_in_every_form(written, value):
    assert values(f"A={written}\n", {"HOME": "/root"}) == {"A": value}
    assert values(f"export A={written}\n", {"HOME": "/root"}) == {"A": value}


def test_what_refers_to_a_literal_value_gets_it_as_it_is():
    assert values("A='${B}'\nB=${A}\nC=\"\\$${A}\"\n") == {"A": "${B}", "B": "${B}", "C": "$${B}"}


def test_a_file_may_hold_the_characters_that_stand_for_others_meanwhile():
    assert values("A=\ue000\\$\ue001\nB='\\$\ue000'\n") == {"A": "\ue000$\ue001", "B": "\\$\ue000"}
