"""What is said of settings that another process manager would read."""

from __future__ import annotations

import pytest

from procman.known.unread import notes


@pytest.mark.parametrize(
    ("variable", "own"),
    [
        ("OVERMIND_PROCFILE", "PROCMAN_START_PROCFILE"),
        ("OVERMIND_IGNORED_PROCESSES", "PROCMAN_START_EXCEPT"),
        ("OVERMIND_DAEMONIZE", "PROCMAN_START_DETACH"),
        ("HIVEMIND_PORT_STEP", "PROCMAN_START_PORT_STEP"),
    ],
)
def test_a_variable_of_the_shell_is_named_with_the_one_that_takes_its_place(variable, own):
    assert notes([], [variable], []) == [f"note: {variable} has no effect; set {own} in the shell's environment"]


def test_one_without_a_like_is_named_with_the_page():
    (line,) = notes([], ["OVERMIND_CAN_DIE"], [])
    assert line.startswith("note: OVERMIND_CAN_DIE has no effect; ")
    assert "migrating.md" in line


@pytest.mark.parametrize(
    "variable", ["PORT", "OVERMIND", "OVERMIND_PROCESS_web_PORT", "PROCMAN_START_PORT", "PROCFILE"]
)
def test_what_is_no_setting_or_has_an_effect_is_not_named(variable):
    assert notes([], [variable], []) == []


@pytest.mark.parametrize("variable", ["PROCMAN_START_FORMATION", "OVERMIND_PORT", "PROCFILE"])
def test_what_has_no_effect_in_an_environment_file_is_named(variable):
    (line,) = notes([], [], [variable])
    assert line.startswith(f"note: {variable} in the environment file has no effect; set ")


def test_files_are_named_with_their_program():
    assert [line.split(";")[0] for line in notes([".foreman", ".overmind.env"], [], [])] == [
        "note: procman does not read .foreman, a file of foreman",
        "note: procman does not read .overmind.env, a file of overmind",
    ]
