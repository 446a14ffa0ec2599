"""One press of Ctrl-C is one request, whatever stands in front of procman and passes its own signal on."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from displays import Display, display
from harness import World, eventually

PASSES_ON = """
# As cross-env, dotenv-cli and env-cmd do: a program in front that passes on what it gets.
import os, signal, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: child.send_signal(number))
while child.poll() is None:
    try:
        child.wait()
    except KeyboardInterrupt:
        pass
sys.exit(child.returncode if child.returncode >= 0 else 128 - child.returncode)
"""

SLOW = """
import os, select, signal
def end(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    select.select([], [], [], 1.5)
    os.write(1, b"ended in order\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
os.write(1, b"up\\n")
while True:
    signal.pause()
"""


LEAVES = PASSES_ON.replace("child.send_signal(number))", "(child.send_signal(number), os._exit(130)))")
"""As env-cmd does: it does not wait for what it has passed the signal on to."""


AS_TERM = PASSES_ON.replace("child.send_signal(number))", "child.terminate())")
"""It may be faster than the terminal, whose INT then comes second."""


BY_KILL = PASSES_ON.replace("child.send_signal(number))", "subprocess.run(['kill', '-INT', str(child.pid)]))")
"""As nodemon does: the sender has ended when procman asks who it was."""


def before(world: World, wrappers: int) -> list[str]:
    return [sys.executable, str(world.file("passes_on.py", PASSES_ON))] * wrappers


@pytest.fixture(params=[1, 2])
def shown(request: pytest.FixtureRequest, world: World):
    """A terminal in which procman runs behind that many programs that pass signals on."""
    world.procfile(a=world.script("slow.py", SLOW))
    program, *args = [*before(world, request.param), world.bin, "start", "-t", "30"]
    with display(world, *args, program=program) as made:
        made.shows(r"\| up$")
        yield made


def test_one_press_is_a_stop_in_order(shown: Display) -> None:
    shown.type("\x03")
    shown.shows("ended in order")
    assert shown.code() == 0


@pytest.mark.parametrize("how", [AS_TERM, BY_KILL], ids=["as TERM", "by kill(1)"])
def test_one_press_is_a_stop_in_order_if_it_is_passed_on_otherwise(world: World, how: str) -> None:
    world.procfile(a=world.script("slow.py", SLOW))
    passes_on = str(world.file("passes_on.py", how))
    with display(world, passes_on, world.bin, "start", "-t", "30", program=sys.executable) as shown:
        shown.shows(r"\| up$")
        shown.type("\x03")
        shown.shows("ended in order")
        assert shown.code() == 0


def test_one_press_is_one_wish_although_the_program_in_front_leaves_at_once(world: World) -> None:
    world.procfile(a=world.script("slow.py", SLOW))
    command = world.script("leaves.py", LEAVES).replace(" -u ", " ")
    line = f"trap : INT; {command} {world.bin} start -t 30; echo it has left; read -r line"
    with display(world, "-c", line, program="bash") as shown:
        shown.shows(r"\| up$")
        shown.type("\x03")
        shown.shows("it has left")
        shown.shows("ended in order")
        shown.shows("stopped: a.1 exit 0")


def test_two_presses_kill(shown: Display) -> None:
    shown.type("\x03")
    shown.shows("stopping 1 instance")
    shown.type("\x03")
    assert shown.code() == 130
    assert "ended in order" not in str(shown)


def test_a_signal_to_the_whole_group_without_a_terminal_is_one_wish(world: World) -> None:
    world.procfile(a=world.script("slow.py", SLOW))
    supervisor = world.start("-t", "30", before=tuple(before(world, 1)))
    supervisor.expect("up$")
    os.killpg(supervisor.pid, signal.SIGINT)
    supervisor.expect("ended in order")
    assert supervisor.wait() == 0


def test_two_of_one_program_are_two_wishes_however_soon(world: World) -> None:
    world.procfile(a=world.script("slow.py", SLOW))
    supervisor = world.start("-t", "30")
    supervisor.expect("up$")
    supervisor.signal(signal.SIGINT)
    supervisor.expect("stopping 1 instance")
    supervisor.signal(signal.SIGINT)
    assert supervisor.wait() == 130


def test_a_press_after_an_upgrade_is_one_wish_too(world: World) -> None:
    world.procfile(a=world.script("slow.py", SLOW))
    program, *args = [*before(world, 1), world.bin, "start", "-t", "30"]
    with display(world, *args, program=program) as shown:
        shown.shows(r"\| up$")
        eventually(lambda: world.run("upgrade").code == 0, "upgraded")
        shown.shows("upgraded:")
        shown.type("\x03")
        shown.shows("ended in order")
        assert shown.code() == 0
