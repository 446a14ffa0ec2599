"""The look of a line: prefixes, colours, JSON objects, and what is taken out for a table."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.text import lines as display
from procman.text.colour import PALETTE, color_of


def luminance(number):
    """Relative luminance (WCAG 2) of a colour of the 256-colour cube."""
    levels = (0, 95, 135, 175, 215, 255)
    cube = number - 16
    parts = [levels[cube // 36] / 255, levels[cube // 6 % 6] / 255, levels[cube % 6] / 255]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("number", PALETTE)
def test_each_colour_is_readable_on_black_and_on_white(number):
    light = luminance(number)
    assert (light + 0.05) / 0.05 >= 3.5
    assert 1.05 / (light + 0.05) >= 3.5


def test_a_dozen_types_have_colours_of_their_own_and_then_they_repeat():
    colors = [color_of(n) for n in range(len(PALETTE))]
    assert len(set(colors)) == len(colors) >= 12
    assert color_of(len(colors)) == colors[0]


def test_a_prefix_is_padded_to_the_widest_name():
    assert display.text_prefix("web.1", 8, "12:00:01", None) == b"12:00:01 web.1    | "


def test_a_prefix_without_a_clock_begins_with_the_name():
    assert display.text_prefix("web.1", 6, "", None) == b"web.1  | "


def test_a_coloured_prefix_ends_its_colour_before_the_line():
    assert display.text_prefix("web.1", 5, "", b"\x1b[38;5;31m") == b"\x1b[38;5;31mweb.1 | \x1b[0m"


def test_every_line_of_a_chunk_gets_the_prefix_and_the_rest_is_left_out():
    assert bytes(display.text_lines(b"a | ", b"a | one\n\nthree\nunfin", 5)) == b"a | one\na | \na | three\n"


def shown(lines):
    prefix = display.json_prefix("web.1", "T", None)
    return [json.loads(line) for line in bytes(display.json_lines(prefix, lines)).splitlines()]


def test_a_json_line_names_time_instance_and_message_in_this_order():
    prefix = display.json_prefix("web.1", "2025-03-01T12:00:01.250+01:00", None)
    assert bytes(display.json_lines(prefix, b"hello\n")) == (
        b'{"time":"2025-03-01T12:00:01.250+01:00","instance":"web.1","message":"hello"}\n'
    )


def test_a_json_line_names_the_stream_where_they_are_split():
    prefix = display.json_prefix("web.1", "T", "stderr")
    assert json.loads(bytes(display.json_lines(prefix, b"x\n")))["stream"] == "stderr"


@pytest.mark.parametrize(
    "line",
    ["", "plain", "ünï", 'a "quoted" word', r"C:\new \\n", "\x00\x1b[31mred\r", "\u2028", "\x7f", '{"a": "\\n"}'],
)
def test_json_messages_hold_the_line_whatever_is_in_it(line):
    assert [each["message"] for each in shown(f"first\n{line}\n".encode())] == ["first", line]


def test_bytes_that_are_not_utf_8_become_replacement_characters_in_json():
    assert [each["message"] for each in shown(b"ok\n\xff\xf0\x9f\x98\n")] == ["ok", "\ufffd\ufffd"]


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), min_size=1))
def test_there_is_one_json_object_for_each_line_of_any_bytes(lines):
    messages = [each["message"] for each in shown(b"".join(line + b"\n" for line in lines))]
    assert messages == [line.decode(errors="replace") for line in lines]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain ü 日本", "plain ü 日本"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\tb\nc\rd", "a b c d"),
        ("\x1b[2J\x1b[Hgone\x1bc", "gone"),
        ("nul\x00del\x7fc1\x9b31m", "nul del c1 31m"),
        ("turn\u202eed\u2069", "turn ed "),
        ("lone \x1b", "lone  "),
        ("half \udc80", "half  "),
    ],
)
def test_text_for_a_table_has_no_control_characters(text, clean):
    assert display.clean(text) == clean
