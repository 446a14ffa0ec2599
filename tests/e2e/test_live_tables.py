"""`procman ps --watch` and `procman top`, on a real terminal, of a procman that really runs."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from displays import display
from harness import PYTHON, World

IDLE = f"{PYTHON} -c 'import time; time.sleep(1000)'"


def test_a_watched_table_changes_in_place(world: World) -> None:
    world.procfile(web=IDLE)
    supervisor = world.start()
    supervisor.up("web.1")
    with display(world, "ps", "--watch", "--interval", "0.1") as shown:
        shown.shows(r"^web\.1 .*(starting|ready)")
        supervisor.ask("scale", to={"web": 2})
        screen = shown.shows(r"^web\.2")
        assert screen.count("NAME") == 1
        supervisor.ask("scale", to={"web": 1})
        shown.until(lambda screen: "web.2" not in screen, "web.2 has gone")
        shown.child.sendintr()
        assert shown.code() == 130


def test_the_watched_cpu_is_that_of_the_last_poll(world: World) -> None:
    world.procfile(web=f"{PYTHON} {world.file('w.py', BURNS)}")
    supervisor = world.start()
    supervisor.expect("burnt")
    with display(world, "ps", "--watch", "--interval", "0.5") as shown:
        shown.shows(r"^web\.1 .* 0\.[0-9] %")  # the average over its run is much more


BURNS = """
import time
while time.process_time() < 0.5:
    pass
print("burnt")
time.sleep(1000)
"""


def test_a_watch_ends_with_three_when_procman_ends(world: World) -> None:
    world.procfile(web=IDLE)
    supervisor = world.start()
    supervisor.up("web.1")
    with display(world, "ps", "--watch", "--interval", "30") as shown:
        shown.shows(r"^web\.1")
        os.kill(supervisor.pid, signal.SIGTERM)
        assert shown.code() == 3
        shown.shows("procman has ended")


def test_the_live_screen_shows_and_changes_what_runs(world: World) -> None:
    pytest.importorskip("textual")
    world.procfile(web=f"{PYTHON} {world.file('talks.py', TALKS)}", worker=IDLE)
    supervisor = world.start()
    supervisor.up("web.1", "worker.1")
    with display(world, "top", rows=30) as shown:
        shown.shows("hello from web.1")
        shown.type("+")
        shown.shows(r"^ web\.2 +(starting|ready)")
        shown.type("j")
        shown.shows("hello from web.2")
        shown.type("r")
        supervisor.until(lambda rows: rows["web.2"]["generation"] == 2, "web.2 is restarted")
        shown.type("s")
        shown.shows(r"Stop web\.2\?")
        shown.type("y")
        supervisor.phase(web_2="stopped")
        shown.shows(r"^ web\.2 +stopped")
        shown.type("q")
        assert shown.code() == 0


TALKS = """
import os, time
print("\\x1b]0;title\\x07\\x1b[31mhello from", os.environ["PS"])
time.sleep(1000)
"""


def test_the_live_screen_steps_aside_for_an_attachment_and_comes_back(world: World) -> None:
    pytest.importorskip("textual")
    world.procfile(web=f"{sys.executable} -i -q", worker=IDLE)
    supervisor = world.start("--tty")
    supervisor.up("web.1", "worker.1")
    with display(world, "top", rows=30) as shown:
        shown.shows(r"^ web\.1 +(starting|ready)")
        for answer in ("42", "43"):
            shown.type("a")
            shown.shows(r"attached to web\.1; Ctrl-\] detaches")
            shown.shows(r"^>>>")
            shown.type(f"{answer} + 0\r")
            shown.shows(rf"^{answer}$")
            shown.type("\x1d")
            shown.shows(r"^ web\.1 +(starting|ready)")
        shown.type("j")
        shown.shows(r"^─+\n worker\.1")
        shown.type("q")
        assert shown.code() == 0
