"""The help of `start`, `check` and `run`: in groups, with one line about variables."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from procman.app.options import START
from procman.cli.line.grouped import GROUPS


def help_of(verb: str) -> str:
    command = [sys.executable, "-m", "procman", verb, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("verb", ["start", "check", "run"])
def test_options_stand_in_groups_and_their_variables_in_one_line(verb):
    told = help_of(verb)
    assert "env var" not in told
    assert f"PROCMAN_{verb.upper()}_" in " ".join(told.split())
    titles = re.findall(r"^([\w, ]+):$", told, re.MULTILINE)
    assert [title for title in titles if title in GROUPS] == [title for title in GROUPS if title in titles]
    assert titles[-1] == "Help"
    assert re.findall(r"^  (-\S+)", told.partition("\nHelp:\n")[2], re.MULTILINE) == ["-h,"]  # all others have a group


def test_start_has_every_group_and_every_option():
    told = help_of("start")
    assert [title for title in GROUPS if f"\n{title}:\n" not in told] == []
    names = [name for option in START for spelling in option.names for name in spelling.split("/")]
    assert [name for name in names if name not in told] == []
