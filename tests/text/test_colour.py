"""When colours are used: one rule for every verb."""

from __future__ import annotations

import pytest

from procman.text.colour import wants_color


@pytest.mark.parametrize(
    ("environ", "terminal", "colored"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
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
