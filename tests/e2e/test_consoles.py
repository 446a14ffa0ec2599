"""`procman run` at a terminal: it becomes the command, so that line editing, Ctrl-C and Ctrl-Z are the command's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pexpect
import pytest
from displays import Display, display
from harness import BIN, DEADLINE, World

REPL = f"{sys.executable} -i -q"


@pytest.fixture
def repl(world: World) -> Iterator[Display]:
    """A Python of the Procfile's, in which something has been typed."""
    world.procfile(console=REPL)
    with display(world, "run", "console") as shown:
        shown.shows("^>>>$")
        shown.type("40 + 2\r")
        shown.shows("^42$")
        yield shown


def test_a_line_can_be_called_back_and_edited(repl: Display) -> None:
    pytest.importorskip("readline")
    repl.type("\x1b[A\x7f3\r")  # up, backspace, 3
    repl.shows("^43$")


def test_ctrl_c_is_the_programs_own(repl: Display) -> None:
    repl.type("\x03")
    repl.shows("^KeyboardInterrupt$")
    repl.type("7 * 6 + 1\r")
    repl.shows("^43$")


def test_its_end_is_the_commands_end(repl: Display) -> None:
    repl.type("exit(5)\r")
    assert repl.code() == 5


def test_there_is_no_procman_between(repl: Display) -> None:
    repl.type("import os; os.getppid(), os.isatty(0), os.tcgetpgrp(0) == os.getpgrp()\r")
    repl.shows(rf"^\({os.getpid()}, True, True\)$")


def test_ctrl_z_suspends_it_and_fg_brings_it_back(world: World) -> None:
    world.procfile(console=REPL)
    with display(world, "--norc", "--noprofile", program="/bin/bash") as shown:
        shown.type("PS1='sh> '\r")
        shown.shows("^sh>$")
        shown.type(f"{BIN} run console\r")
        shown.shows("^>>>$")
        shown.type("\x1a")
        shown.shows("Stopped")
        shown.type("fg\r")
        shown.until(lambda screen: screen.count("run console") == 3, "bash names what it brings back")
        shown.type("40 + 2\r")
        shown.shows("^42$")
        shown.type("\x04")
        shown.until(lambda screen: screen.rstrip().endswith("sh>"), "the shell again")


def test_a_shell_has_job_control(world: World) -> None:
    with display(world, "run", "bash", "--norc", "--noprofile", columns=300) as shown:
        shown.type("PS1='sh> '\r")
        shown.shows("^sh>$")
        shown.controls_jobs()


def test_a_password_prompt_does_not_echo(world: World) -> None:
    child = pexpect.spawn(
        BIN,
        ["run", sys.executable, "-c", "import getpass; print('got', len(getpass.getpass()))"],
        cwd=str(world.folder),
        env=world.env,
        timeout=DEADLINE,
        encoding="utf-8",
    )
    child.expect("Password: ")
    child.sendline("secret")
    child.expect("got 6")
    assert "secret" not in child.before
    child.expect(pexpect.EOF)
    child.close()
