"""When colours are used: one rule for every verb."""

from __future__ import annotations

import colorsys

import pytest

from procman.text import colour
from procman.text.colour import wants_color


@pytest.mark.parametrize(
    ("environ", "terminal", "colored"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": ""}, True, False),
        ({}, True, False),
        ({"NO_COLOR": "1", "TERM": "xterm"}, True, False),
        ({"NO_COLOR": "", "TERM": "xterm"}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "xterm"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "3"}, False, True),
        ({"FORCE_COLOR": "true"}, False, True),
        ({"FORCE_COLOR": "0", "TERM": "xterm"}, True, False),
        ({"FORCE_COLOR": "false", "TERM": "xterm"}, True, False),
        ({"FORCE_COLOR": "", "TERM": "xterm"}, True, True),
        ({"FORCE_COLOR": ""}, False, False),
    ],
)
def test_the_environment_decides_before_the_terminal(environ, terminal, colored):
    assert wants_color(environ, terminal=terminal) is colored


@pytest.mark.parametrize(("choice", "colored"), [("always", True), ("never", False)])
def test_an_option_decides_before_the_environment(choice, colored):
    for environ in ({"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}, {"FORCE_COLOR": "0"}):
        assert wants_color(environ, terminal=colored, choice=choice) is colored


def hue_and_saturation(number: int) -> tuple[float, float]:
    """Of a colour of the 256-colour cube; the hue in degrees, 0 is red."""
    levels = (0, 95, 135, 175, 215, 255)
    cube = number - 16
    parts = [levels[n] / 255 for n in (cube // 36, cube // 6 % 6, cube % 6)]
    hue, saturation, _ = colorsys.rgb_to_hsv(*parts)
    return hue * 360, saturation


def test_fifteen_types_have_colours_of_their_own_and_none_is_red():
    colors = [colour.color_of(n) for n in range(15)]
    assert len(set(colors)) == 15
    for number in colour.PALETTE:
        hue, _ = hue_and_saturation(number)
        assert 20 < hue < 330, number


def test_lines_of_procman_are_no_type_s_colour_and_red_where_something_went_wrong():
    own = {colour.system_color(), colour.system_color(trouble=True)}
    assert own.isdisjoint(colour.color_of(n) for n in range(len(colour.PALETTE)))
    assert hue_and_saturation(196)[0] == 0
    assert b"196" in colour.system_color(trouble=True)
