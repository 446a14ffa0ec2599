"""`procman attach` at a terminal: what a developer who types into an instance sees."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import pytest
from displays import Display, is_raw, start_at_terminal
from harness import PYTHON, World, eventually

REPL = f"{sys.executable} -i -q"
LEAVE = "\x1d"  # Ctrl-]
Attach = Callable[..., Display]


# ---- programs that a person talks to


def test_a_debugger(world: World, attach: Attach) -> None:
    world.file("script.py", "answer = 40\nanswer += 2\nprint('the answer is', answer)\nwhile True: input()\n")
    start_at_terminal(world, f"{PYTHON} -m pdb script.py")
    shown = attach("a.1")
    screen = shown.shows(r"\(Pdb\)$")
    assert screen.index("attached to a.1; Ctrl-] detaches") < screen.index("(Pdb)")
    shown.type("break 3\r")
    shown.shows("Breakpoint 1 at")
    shown.type("continue\r")
    shown.shows("^-> print")
    shown.type("p answer\r")
    shown.shows("^42$")
    shown.type("c\r")
    shown.shows("^the answer is 42$")
    shown.type(LEAVE)
    shown.shows(r"^\[procman: detached from a\.1\]$")
    assert shown.code() == 0


def test_a_repl_with_line_editing(world: World, attach: Attach) -> None:
    pytest.importorskip("readline")
    start_at_terminal(world, REPL)
    shown = attach("a")
    shown.shows("^>>>")
    shown.type("40 + 2\r")
    shown.shows("^42$")
    shown.type("\x1b[A\x7f3\r")  # up, backspace, 3
    shown.shows("^43$")
    shown.type("prin\t")
    shown.shows(r"^>>> print\($")
    shown.type("\x03")
    shown.shows("^KeyboardInterrupt$")


def test_a_repl_goes_on_when_procman_is_upgraded(world: World, attach: Attach) -> None:
    start_at_terminal(world, REPL)
    shown = attach("a.1")
    shown.shows("^>>>")
    shown.type("answer = 42\r")
    shown.shows(r"answer = 42\n>>>")
    assert world.run("upgrade").code == 0
    shown.until(lambda screen: screen.count("attached to a.1") == 2, "it is attached again")
    shown.type("answer + 1\r")
    shown.shows("^43$")
    shown.type(LEAVE)
    assert shown.code() == 0


def test_less(world: World, attach: Attach) -> None:
    world.file("numbers", "".join(f"{n}\n" for n in range(1, 1001)))
    start_at_terminal(world, "less numbers")
    shown = attach("a.1", rows=20)
    shown.until(lambda screen: screen.splitlines()[0] == "1" and "19" in screen, "the first page")
    shown.type(" ")
    shown.until(lambda screen: screen.splitlines()[0] == "20", "the second")
    shown.type("/777\r")
    shown.until(lambda screen: screen.splitlines()[0] == "777", "the place it looked for")
    shown.type(LEAVE)
    shown.shows("detached")
    assert shown.code() == 0
    assert "777" not in str(shown)  # the screen that was there before


def test_vi(world: World, attach: Attach) -> None:
    start_at_terminal(world, "vi -u NONE -i NONE -n text")
    shown = attach("a.1")
    shown.shows("^~$")
    shown.type("ihello from vi\x1b:wq\r")
    eventually((world.folder / "text").exists, "the file")
    assert (world.folder / "text").read_text() == "hello from vi\n"
    shown.shows(r"^\[procman: a\.1 is done: exit 0")


def test_a_password_is_not_echoed(world: World, attach: Attach) -> None:
    start_at_terminal(world, f"{PYTHON} -c 'import getpass; print(\"got\", len(getpass.getpass())); input()'")
    shown = attach("a.1")
    shown.shows("^Password: ?$")
    shown.type("secret\r")
    assert "secret" not in shown.shows("^got 6$")


def test_ctrl_c_and_ctrl_z_are_the_instances(world: World, attach: Attach) -> None:
    traps = "trap 'echo got INT' INT; trap 'echo got TSTP' TSTP; echo up; while :; do sleep 0.05; done"
    supervisor = start_at_terminal(world, traps)
    shown = attach("a.1")
    shown.shows("^up$")
    shown.type("\x03")
    shown.shows(r"got INT$")
    shown.type("\x1a")
    shown.shows(r"got TSTP$")
    assert supervisor.ps()["a.1"]["generation"] == 1


def test_a_shell_has_job_control(world: World, attach: Attach) -> None:
    start_at_terminal(world, "PS1='sh> ' exec bash --norc --noprofile -i")
    shown = attach("a.1", columns=400)  # which no path overflows
    shown.shows("^sh>$")
    shown.controls_jobs()


# ---- several at a time


def test_one_types_and_a_second_is_told_who(world: World, attach: Attach) -> None:
    start_at_terminal(world, REPL)
    first = attach("a.1")
    first.shows("^>>>")
    second = attach("a.1")
    second.shows(rf"watching a\.1, because pid {first.child.pid} \(since [0-9:]+\) types there; Ctrl-\] detaches")
    second.type("x")
    second.shows(rf"cannot type into a\.1: pid {first.child.pid} ")
    first.type("40 + 2\r")
    assert "x40" not in first.shows("^42$")
    second.shows("^42$")
    first.type(LEAVE)
    first.shows("detached")
    second.shows(r"you can type into a\.1 now: the other client has detached")
    second.type("50 + 1\r")
    second.shows("^51$")


def test_who_only_watches_types_nothing(world: World, attach: Attach) -> None:
    start_at_terminal(world, f"{REPL} -c 'print(\"ready\")'")
    shown = attach("a.1", "--read-only")
    shown.shows("watching a.1; Ctrl-C detaches")
    shown.shows("^>>>")
    shown.type("40 + 2\r")
    typist = attach("a.1")
    typist.shows("attached to a.1")
    typist.type("50 + 1\r")
    assert "42" not in shown.shows("^51$")
    shown.type("\x03")
    assert shown.code() == 0


SHARED = f"24 {80 - len('12:00:00 system | ')}"
SIZES = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done"


def test_the_terminal_has_the_size_of_the_typists_screen(world: World, attach: Attach) -> None:
    supervisor = start_at_terminal(world, SIZES)
    supervisor.expect(SHARED)
    first = attach("a.1", rows=30, columns=90)
    first.shows("^30 90")
    second = attach("a.1", rows=20, columns=70)
    second.shows("watching a.1")
    first.child.setwinsize(33, 99)
    first.shows("^33 99")
    second.shows("^33 99")
    first.type(LEAVE)
    second.shows(f"^{SHARED}$")  # nobody types: as large as the shared view
    second.type("\r")
    second.shows("^20 70")
    second.type(LEAVE)
    supervisor.expect("20 70")
    supervisor.expect(SHARED)


# ---- the instance comes and goes


def test_a_restart_is_followed_and_told_and_so_is_a_crash(world: World, attach: Attach) -> None:
    supervisor = start_at_terminal(world, REPL)
    shown = attach("a.1", rows=40)
    shown.shows("^>>>")
    world.run("restart", "a.1")
    shown.shows(r"^\[procman: a\.1 started \(pid \d+\)\]$")
    shown.until(lambda screen: screen.rstrip().endswith(">>>"), "a new prompt")
    shown.type("import os; os._exit(3)\r")
    shown.shows(r"a\.1 ended: exit 3 after .*; starting again in")
    shown.until(lambda screen: screen.count(" started (pid ") == 2 and screen.rstrip().endswith(">>>"), "a third")
    shown.type("40 + 2\r")
    shown.shows("^42$")
    assert supervisor.ps()["a.1"]["generation"] == 3


def test_a_new_run_has_the_typists_size_and_the_screen_as_it_was(world: World, attach: Attach) -> None:
    start_at_terminal(world, "printf '\\033[?1049h\\033[2Jtaken '; stty size; read -r key; kill -9 $$")
    shown = attach("a.1", rows=30, columns=90)
    shown.shows("^taken")
    shown.type("\r")
    shown.shows("^taken 30 90$")
    assert "attached to a.1" not in str(shown)  # the alternate screen hides it
    assert world.run("stop", "a.1").code == 0
    assert "attached to a.1" in shown.shows(r"^\[procman: a\.1 started \(pid \d+\)\]$")


def test_what_is_scaled_away_ends_the_attachment(world: World, attach: Attach) -> None:
    world.procfile(a=REPL)
    supervisor = world.start("--tty", "-m", "a=2")
    supervisor.up("a.2")
    shown = attach("a.2")
    shown.shows("^>>>")
    supervisor.ask("scale", to={"a": 1})
    shown.shows(r"^\[procman: a\.2 was removed\]$")
    assert shown.code() == 0
    assert not is_raw(shown)


def test_who_is_stopped_can_be_attached_to_and_is_followed_once_it_starts(world: World, attach: Attach) -> None:
    start_at_terminal(world, REPL)
    world.run("stop", "a.1")
    shown = attach("a.1")
    shown.shows(r"watching a\.1, which is stopped and writes nothing until it runs; Ctrl-C detaches")
    shown.type("x")
    shown.shows(r"cannot type into a\.1")
    world.run("restart", "a.1")
    shown.until(lambda screen: screen.rstrip().endswith(">>>"), "its prompt")
    shown.type("40 + 2\r")
    shown.shows("^42$")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_procman_ends(world: World, attach: Attach, number: int) -> None:
    supervisor = start_at_terminal(world, REPL)
    shown = attach("a.1")
    shown.shows("^>>>")
    assert is_raw(shown)
    supervisor.signal(number)
    shown.shows(r"^procman: cannot continue with a\.1: procman has ended$")
    assert shown.code() == 3
    assert not is_raw(shown)


def test_an_instance_without_a_terminal_gives_its_output_and_a_hint(world: World, attach: Attach) -> None:
    world.procfile(a="echo before; sleep 0.5; echo one; echo two; exec sleep 1000")
    supervisor = world.start("--no-tty")
    supervisor.expect("before")
    shown = attach("a.1", columns=200)
    shown.shows("^before$")
    shown.shows("watching a.1, which has no terminal .*`tty: true` in procman.yml .*; Ctrl-C detaches")
    shown.shows("^one\ntwo$")
    shown.type("x")
    shown.shows(r"cannot type into a\.1: it has no terminal")
    shown.type("\x03")
    assert shown.code() == 0
    assert not is_raw(shown)
