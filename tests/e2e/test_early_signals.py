"""No signal is lost from the first line of procman on, and a stop before the first spawn spawns nothing.

The moment is the test's: a pipe in the place of the Procfile holds procman up where it reads it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from harness import Supervisor, World, eventually, status_of

UP = "a: echo up; exec sleep 1000\n"


@pytest.fixture
def held_up(world: World) -> Iterator[Callable[..., Supervisor]]:
    """Starts a procman that waits for its Procfile, which `go` gives it."""
    with _pipe(world) as start:
        yield start


@contextmanager
def _pipe(world: World) -> Iterator[Callable[..., Supervisor]]:
    ends = []

    def start(*args: str, **how: object) -> Supervisor:
        reader, writer = os.pipe()
        supervisor = world.start("-f", "-", *args, stdin=reader, **how)
        os.close(reader)
        ends.append(writer)
        supervisor.go = lambda: (os.write(writer, UP.encode()), os.close(ends.pop()))
        return supervisor

    yield start
    for fd in ends:
        os.close(fd)


def reads(supervisor: Supervisor) -> None:
    """It waits for its Procfile: it sleeps in a poll(2) of the pipe."""
    eventually(lambda: "poll" in _wchan(supervisor.pid) or _polls(supervisor.pid), "it reads")


def _wchan(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/wchan") as file:
            return file.read()
    except OSError:
        return ""


def _polls(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/syscall") as file:
            return file.read().split()[0] in ("7", "73")  # poll of x86-64, ppoll of arm64
    except OSError:
        return False


def printed(supervisor: Supervisor) -> str:
    """All that it wrote, without the line that says what it waits for, which comes after two seconds."""
    return re.sub(r"procman: waiting for <stdin>: .*\n", "", supervisor.seen)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_what_asks_for_an_end_ends_a_start_that_has_started_nothing(
    held_up: Callable[..., Supervisor], number: int, code: int
) -> None:
    supervisor = held_up()
    reads(supervisor)
    supervisor.signal(number)
    assert supervisor.wait() == code
    assert printed(supervisor) == ""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTTIN])
def test_what_means_something_later_waits_for_its_handler(held_up: Callable[..., Supervisor], number: int) -> None:
    supervisor = held_up()
    reads(supervisor)
    supervisor.signal(number)
    supervisor.go()
    supervisor.expect("up$")
    if number == signal.SIGQUIT:
        assert "state: a=1" in supervisor.seen
    if number == signal.SIGTTIN:
        supervisor.up("a.2")
    assert supervisor.stop() == 0


def test_as_pid_1_too(world: World) -> None:
    if subprocess.run(["unshare", "-p", "-f", "--mount-proc", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs unshare(1) and the right to use it")
    with _pipe(world) as start:
        outer = start(before=("unshare", "-p", "-f", "--mount-proc", "--kill-child"))
        inner = eventually(lambda: _child(outer.pid), "PID 1")
        eventually(lambda: int(status_of(inner)["SigCgt"], 16) >> (signal.SIGTERM - 1) & 1, "its first line")
        os.kill(inner, signal.SIGTERM)
        assert outer.wait() == 0
        assert printed(outer) == ""


def _child(pid: int) -> int:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        pids = file.read().split()
    return int(pids[0]) if pids else 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_comes_between_the_lock_and_the_first_spawn_spawns_nothing(world: World, number: int) -> None:
    """Sent by itself, when it has just taken its lock: the signal is there before the handler is."""
    world.file("Procfile", UP)
    code = (
        "import os, sys; from procman.kernel import signals; install = signals.install\n"
        f"signals.install = lambda *all: (os.kill(os.getpid(), {int(number)}), install(*all))\n"
        "sys.argv = ['procman', 'start']; from procman.cli import main; main()"
    )
    python = os.path.join(os.path.dirname(world.bin), "python")
    done = subprocess.run(
        [python, "-c", code], cwd=world.folder, env=world.env, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done
    assert "| up" not in done.stdout
    assert "stopping" not in done.stdout
    assert world.run("ps").code == 3


def test_a_start_that_goes_to_the_background_can_be_ended_while_it_waits(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {delay: 30}}\n")
    world.procfile(a="sleep 1000")
    waiting = world.popen("start", "--detach")
    eventually(lambda: world.run("ps").code == 0, "it listens")
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(20) in (-signal.SIGTERM, 0)  # it may have been done already
    assert world.run("shutdown").code == 0
    assert waiting.stdout is not None
    waiting.stdout.close()


IMPORTS = """
import os, signal, sys
def press(event, details):
    if event == "import" and details[0] == {name!r}:
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(press)
sys.argv = ["procman", {verb!r}]
from procman.cli import main
main()
"""


@pytest.mark.parametrize("verb", ["ps", "start"])
@pytest.mark.parametrize("name", ["procman.bytecode", "procman.cli.early", "procman.cli.outcome"])
def test_a_ctrl_c_while_procman_is_imported_is_quiet(world: World, name: str, verb: str) -> None:
    world.file("Procfile", UP)
    done = python(world, IMPORTS.format(name=name, verb=verb))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("handler", ["SIG_IGN", "SIG_DFL", "default_int_handler"])
def test_a_program_that_imports_the_command_line_keeps_its_own_ctrl_c(world: World, handler: str) -> None:
    code = f"import signal; signal.signal(2, signal.{handler}); import procman.cli; print(signal.getsignal(2) == signal.{handler})"
    assert python(world, code).stdout == "True\n"


def python(world: World, code: str) -> subprocess.CompletedProcess[str]:
    """Code run by the Python that has procman."""
    argv = [os.path.join(os.path.dirname(world.bin), "python"), "-c", code]
    return subprocess.run(argv, cwd=world.folder, env=world.env, capture_output=True, text=True, timeout=30)
