"""`procman ps --watch`: again and again, in place on a terminal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pyte
import pytest
from scripted import fleet, instance

from procman.cli.show.screen import picture

WATCH = [sys.executable, "-m", "procman", "ps", "--watch", "--interval", "0.1"]


@pytest.fixture
def watching(script):
    """`procman ps --watch --json` on a scripted procman."""
    script.fleets = [fleet(instance("web.1"))]
    child = subprocess.Popen([*WATCH, "--json"], stdout=-1, stderr=-1, text=True)
    yield child
    child.kill()
    child.communicate()


def names(line: str) -> list[str]:
    return [row["name"] for row in json.loads(line)["instances"]]


def test_each_poll_is_an_object_on_a_line_of_its_own(script, watching):
    assert names(watching.stdout.readline()) == ["web.1"]
    script.fleets = [fleet(instance("web.1"), instance("web.2"))]
    while names(watching.stdout.readline()) != ["web.1", "web.2"]:
        continue


def test_ctrl_c_ends_it_quietly(watching):
    watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=20)
    assert (watching.returncode, said) == (130, "")


def test_it_goes_on_when_procman_is_replaced(script, watching):
    watching.stdout.readline()
    script.fleets = [fleet(instance("new.1"))]
    script.drop()
    while names(watching.stdout.readline()) != ["new.1"]:
        continue


def test_it_ends_with_three_when_procman_has_ended(script, watching):
    watching.stdout.readline()
    script.close()
    _, said = watching.communicate(timeout=20)
    assert watching.returncode == 3
    assert said == "procman: cannot keep polling: procman has ended\n"


def test_without_a_terminal_one_table_comes_after_the_other(script):
    script.fleets = [fleet(instance("web.1"))]
    with subprocess.Popen(WATCH, stdout=-1, stderr=-1, text=True) as child:
        heads = [child.stdout.readline() for _ in range(4)][::3]
        child.kill()
    assert [head.split()[0] for head in heads] == ["NAME", "NAME"]


# ---- the picture


def drawn(*texts: str, rows: int = 5, columns: int = 20) -> list[str]:
    """What a terminal shows after these."""
    screen = pyte.Screen(columns, rows)
    stream = pyte.Stream(screen)
    screen.set_mode(pyte.modes.LNM)  # what the tty's onlcr does
    for text in texts:
        stream.feed(picture(text, rows))
    assert pyte.modes.DECAWM in screen.mode
    return [line.rstrip() for line in screen.display]


def test_a_picture_takes_the_place_of_the_one_before():
    assert drawn("one long\ntwo\nthree", "1\n2") == ["1", "2", "", "", ""]


def test_a_picture_of_the_same_height_leaves_nothing_behind():
    assert drawn("one long\ntwo", "1\n2") == ["1", "2", "", "", ""]


def test_what_does_not_fit_is_counted():
    assert drawn("1\n2\n3\n4\n5\n6") == ["1", "2", "3", "… and 3 more", ""]


def test_a_line_too_long_is_cut_and_not_wrapped():
    assert drawn("x" * 30 + "\ny")[1] == "y"
