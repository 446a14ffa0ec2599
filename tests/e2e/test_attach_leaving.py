"""How an attachment ends: by keys, by signals, by KILL, with its input; and what is left of the terminal then."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from displays import Display, display, is_raw, settings, start_at_terminal
from harness import BIN, DEADLINE, World, alive, children_of, eventually

REPL = f"{sys.executable} -i -q"
LEAVE = "\x1d"  # Ctrl-]
Attach = Callable[..., Display]


# ---- leaving


def test_other_keys_to_leave_with(world: World, attach: Attach) -> None:
    start_at_terminal(world, "stty -echo; echo ready; exec cat -v")
    shown = attach("a.1", "--detach-keys", "ctrl-p,q")
    shown.shows("attached to a.1; Ctrl-p then q detaches")
    shown.shows("^ready$")
    shown.type(f"{LEAVE} q \x10p\r")
    shown.shows(r"^\^\] q \^Pp$")
    shown.type("\x10q")
    assert shown.code() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_gives_the_terminal_back(world: World, attach: Attach, number: int) -> None:
    start_at_terminal(world, REPL)
    shown = attach("a.1")
    before = settings(shown)
    shown.shows("^>>>")
    assert is_raw(shown)
    shown.child.kill(number)
    assert shown.code() == 128 + number
    assert settings(shown) == before


def test_killing_the_client_harms_neither_the_terminal_nor_the_instance(world: World) -> None:
    """Below a shell, as its user's: the one that has the terminal when the client is gone."""
    supervisor = start_at_terminal(world, "printf '\\033[?1049h\\033[?25l\\033[31mtaken'; exec sleep 1000")
    with display(world, "-c", f"{BIN} attach a.1; exec cat", program="/bin/sh") as shown:
        before = settings(shown)
        shown.shows("^taken$")
        (client,) = children_of(shown.child.pid)
        assert is_raw(shown)
        os.kill(client, signal.SIGKILL)
        eventually(lambda: settings(shown) == before, "the terminal's settings")
        shown.shows("attached to a.1")  # the usual screen
        shown.until(lambda _: not shown.screen.cursor.hidden, "the cursor")
        shown.type("echoed\r")
        shown.until(lambda screen: screen.count("echoed") == 2, "a terminal that echoes, and cat that does")
        row = next(y for y, line in enumerate(shown.screen.display) if "echoed" in line)
        assert shown.screen.buffer[row][0].fg == "default"
    assert supervisor.ps()["a.1"]["generation"] == 1
    with display(world, "attach", "a.1") as again:
        again.shows("^taken$")


def test_a_shell_that_takes_the_terminal_back_first_gets_its_screen_too(world: World) -> None:
    start_at_terminal(world, "printf '\\033[?1049h\\033[2Jtaken'; exec sleep 1000")
    with display(world, "--norc", "--noprofile", program="/bin/bash") as shown:
        shown.type("PS1='sh> '\r")
        shown.shows("^sh>$")
        shown.type(f"{BIN} attach a.1\r")
        shown.shows("^taken$")
        (client,) = children_of(shown.child.pid)
        os.kill(client, signal.SIGKILL)
        shown.shows("attached to a.1")
        shown.type("echo $((40 + 2))\r")
        shown.shows("^42$")


def test_killing_everything_of_that_name_spares_who_gives_the_terminal_back(world: World) -> None:
    start_at_terminal(world, REPL)
    with display(world, "-c", f"{BIN} attach a.1; exec cat", program="/bin/sh") as shown:
        before = settings(shown)
        shown.shows("^>>>")
        (client,) = children_of(shown.child.pid)
        (keeper,) = children_of(client)
        assert b"procman" not in Path(f"/proc/{keeper}/cmdline").read_bytes()
        assert os.getsid(keeper) == keeper
        os.killpg(os.getpgid(client), signal.SIGSTOP)  # as the shell does not matter
        os.kill(client, signal.SIGKILL)
        eventually(lambda: settings(shown) == before, "the terminal's settings")
        eventually(lambda: not alive(keeper), "its end")
        os.killpg(os.getpgid(shown.child.pid), signal.SIGCONT)


def test_nothing_is_left_of_an_attachment(world: World) -> None:
    supervisor = start_at_terminal(world, REPL)
    before = supervisor.descriptors()
    for _ in range(3):
        with display(world, "attach", "a.1") as shown:
            shown.shows("^>>>")
            shown.type(LEAVE)
            assert shown.code() == 0
    assert supervisor.descriptors() == before


def test_suspended_by_a_shell_it_goes_on_where_it_was(world: World) -> None:
    start_at_terminal(world, REPL)
    with display(world, "--norc", "--noprofile", program="/bin/bash") as shown:
        shown.type("PS1='sh> '\r")
        shown.shows("^sh>$")
        shown.type(f"{BIN} attach a.1\r")
        shown.shows("^>>>")
        (client,) = children_of(shown.child.pid)
        os.kill(client, signal.SIGTSTP)
        shown.shows("Stopped")
        shown.type("fg\r")
        eventually(lambda: is_raw(shown), "raw again")
        shown.type("40 + 2\r")
        shown.shows("^42$")
        shown.type(LEAVE)
        shown.until(lambda screen: screen.rstrip().endswith("sh>"), "the shell")


# ---- without a person


def test_what_is_piped_in_is_typed(world: World) -> None:
    supervisor = start_at_terminal(world, "stty -echo; echo ready; while read -r line; do echo got $line; done")
    supervisor.expect("ready")
    (world.folder / "input").write_text("".join(f"line {n}\n" for n in range(5000)))
    with (world.folder / "input").open("rb") as source:
        done = world.run("attach", "a.1", stdin=source)
    assert done.code == 0
    supervisor.expect("got line 4999")
    got = [line for line in supervisor.lines("a.1") if line.startswith("got")]
    assert got == [f"got line {n}" for n in range(5000)]


def test_nothing_can_be_piped_into_what_reads_nothing(world: World) -> None:
    world.procfile(a="exec sleep 1000")
    world.start("--no-tty").up("a.1")
    (world.folder / "input").write_text("hello\n")
    with (world.folder / "input").open("rb") as source:
        done = world.run("attach", "a.1", stdin=source)
    assert (done.code, done.out) == (1, "")
    assert "procman: cannot type into a.1: it has no terminal, or is not running\n" in done.err


def test_output_can_be_piped_on(world: World) -> None:
    start_at_terminal(world, "while :; do echo y; done", "--quiet", "a")  # nobody reads procman's own output here
    read = pexpect.spawn("/bin/sh", ["-c", f"{BIN} attach a.1 | head -n 3"], cwd=str(world.folder), env=world.env)
    read.expect(pexpect.EOF, timeout=DEADLINE)
    assert read.before.split().count(b"y") == 3, read.before  # how to leave may stand between them
    assert termios.tcgetattr(read.child_fd)[1] & termios.OPOST
    read.close()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["b"], 1, "cannot find an instance 'b'"),
        (["a"], 1, "cannot attach to a: it has 2 instances"),
        (["a.1", "--detach-keys", "f1"], 2, "'f1' is not a key"),
    ],
)
def test_what_cannot_be_attached_to(world: World, args: list[str], code: int, said: str) -> None:
    world.procfile(a="exec sleep 1000")
    world.start("-m", "a=2").up("a.2")
    done = world.run("attach", *args)
    assert done.code == code
    assert re.search(re.escape(said), done.err), done.err
