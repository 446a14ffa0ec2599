"""`start --then COMMAND`: the formation for one command, and its status."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from harness import BIN, DEADLINE, PYTHON, World, alive, eventually

pytestmark = pytest.mark.processes

SERVER = f'{PYTHON} -c "import time; print(chr(117) + chr(112)); time.sleep(1000)"'


def then(world: World, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN, "start", *args], cwd=world.folder, env=world.env, capture_output=True, text=True, timeout=DEADLINE
    )


def test_the_commands_output_and_status_are_those_of_the_whole(world: World) -> None:
    world.procfile(web=SERVER)
    done = then(world, "--then", "echo for $PROCMAN_PORT_WEB; echo why >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, "for 5000\n")
    assert "why\n" in done.stderr
    assert "web.1  | up" in done.stderr
    assert "stopping 1 instance: the command of --then has ended: exit 3" in done.stderr
    assert world.left() == []


def test_a_python_without_ctypes_is_enough(world: World) -> None:
    world.procfile(web=SERVER)
    world.file("without/sitecustomize.py", "import sys; sys.modules['_ctypes'] = sys.modules['ctypes'] = None")
    world.env["PYTHONPATH"] = str(world.folder / "without")
    done = then(world, "--then", "echo ran")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert world.left() == []


def test_words_behind_two_dashes_are_a_command_as_it_is(world: World) -> None:
    world.procfile(web=SERVER, other="echo not this; sleep 1000")
    done = then(world, "web", "--", "printf", "%s;", "a b", "--", "$HOME")
    assert (done.returncode, done.stdout) == (0, "a b;--;$HOME;")
    assert "not this" not in done.stderr


def test_it_has_the_applications_environment_and_folder(world: World) -> None:
    world.procfile(web=SERVER)
    world.file(".env", "NAME=value\n")
    done = then(world, "--then", 'echo "$NAME"; pwd -P; procman ps --json | head -c 12')
    assert done.stdout.splitlines() == ["value", os.path.realpath(world.folder), '{"formation"']


@pytest.mark.parametrize(
    ("command", "code"), [("exit 0", 0), ("kill -9 $$", 137), ("no-such-program", 127), ("exec ./Procfile", 126)]
)
def test_each_way_to_end_is_told_as_a_shell_tells_it(world: World, command: str, code: int) -> None:
    world.procfile(web=SERVER)
    assert then(world, "--then", command).returncode == code
    assert world.left() == []


@pytest.mark.parametrize("line", ["echo the reason; exit 4", "no-such-program"])
def test_a_formation_that_cannot_be_ready_is_1_with_the_reason_and_no_command(world: World, line: str) -> None:
    world.procfile(web=line, other=SERVER)
    done = then(world, "--max-restarts", "1", "--then", "echo never")
    assert (done.returncode, done.stdout) == (1, "")
    assert "procman: cannot" in done.stderr
    assert "exit 4" in done.stderr or "not found" in done.stderr
    assert world.left() == []


def test_inputs_that_cannot_be_used_end_it_as_ever(world: World) -> None:
    world.file("Procfile", "web\n")
    assert then(world, "--then", "echo never").returncode == 2


@pytest.mark.parametrize("line", [("--then", "a", "--", "b"), ("-D", "--then", "a"), ("-D", "--", "b")])
def test_what_excludes_each_other_is_refused(world: World, line: tuple[str, ...]) -> None:
    world.procfile(web=SERVER)
    done = then(world, *line)
    assert (done.returncode, "at once" in done.stderr) == (2, True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_before_all_is_ready_stops_what_has_begun(world: World, number: int, code: int) -> None:
    world.procfile(web=f"touch begun; {SERVER}")
    process = subprocess.Popen([BIN, "start", "--then", "echo never"], cwd=world.folder, env=world.env)
    eventually((world.folder / "begun").exists, "begun")
    process.send_signal(number)
    assert process.wait(DEADLINE) == code
    assert world.left() == []


def test_term_while_the_command_runs_is_the_commands(world: World) -> None:
    world.procfile(web=SERVER)
    script = world.script(
        "polite.py",
        "import os, signal, sys\nsignal.signal(15, lambda *_: sys.exit(5))\nopen('runs', 'w')\nsignal.pause()\n",
    )
    process = subprocess.Popen([BIN, "start", "--then", script], cwd=world.folder, env=world.env)
    eventually((world.folder / "runs").exists, "runs")
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE) == 5
    assert world.left() == []


def test_procman_ends_with_who_started_it_even_by_kill(world: World) -> None:
    world.procfile(web=f"echo $$ > pid; {SERVER}")
    process = subprocess.Popen([BIN, "start", "--then", "sleep 1000"], cwd=world.folder, env=world.env)
    pid = int(eventually(lambda: Path(world.folder, "pid").exists() and Path(world.folder, "pid").read_text(), "a pid"))
    process.kill()
    process.wait()
    eventually(lambda: not alive(pid) and not world.left(), "all have ended")
