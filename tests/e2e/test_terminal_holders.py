"""Who leads the session of a terminal is seen by nobody: not by a stop, a crash, a kill, an upgrade, or `ps`."""

from __future__ import annotations

import os
import signal

import pytest
from harness import World, alive, all_children_of, children_of, eventually, guardian_of, is_holder
from scripts import POLITE


def holders(pid: int) -> list[int]:
    return [child for child in all_children_of(pid) if is_holder(child)]


@pytest.fixture
def command(world: World) -> str:
    return f"cd . && {world.script('polite.py', POLITE)}"


@pytest.mark.parametrize("stop", ["HUP", "INT", "QUIT"])
def test_any_stop_signal_reaches_a_program_at_a_terminal(world: World, stop: str) -> None:
    world.file("procman.yml", f"defaults: {{stop: {{signal: {stop}, grace: 20}}}}\n")
    world.procfile(a=f"trap 'echo asked; exit 0' {stop}; echo up; while :; do sleep 0.05; done")
    supervisor = world.start("--tty")
    supervisor.expect("up$")
    supervisor.phase(a_1="ready")
    assert supervisor.stop() == 0
    assert supervisor.seen.count("asked") == 1
    assert "a.1 exit 0" in supervisor.seen


@pytest.mark.parametrize("tty", ["--tty", "--no-tty"])
def test_a_job_of_an_interactive_shell_is_asked_with_the_group_although_it_has_its_own(world: World, tty: str) -> None:
    world.procfile(a=f"bash -ic '{world.script('polite.py', POLITE)}; true'")
    supervisor = world.start(tty, "-t", "6")
    supervisor.expect("up")
    supervisor.phase(a_1="ready")
    assert supervisor.stop() == 0
    assert "asked to end" in supervisor.seen
    assert "killed" not in supervisor.seen


@pytest.mark.parametrize("tty", ["--tty", "--no-tty"])
def test_a_shell_that_left_its_group_and_ignores_everything_is_killed(world: World, tty: str) -> None:
    world.procfile(a="bash -ic 'trap \"\" HUP TERM; echo up; while :; do sleep 0.05; done; true'")
    supervisor = world.start(tty, "-t", "1")
    supervisor.expect("up")
    supervisor.phase(a_1="ready")
    assert supervisor.stop() == 0
    assert "a.1 SIGKILL" in supervisor.seen


LEAVES = """
# Leaves the session of its terminal, as php-fpm does, and ignores every request to end; a child of it hides its environment.
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
os.setsid()
if os.fork() == 0:
    os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", "import os, signal; os.write(1, b'up %d\\\\n' % os.getpid()); signal.pause()"], {})
while True:
    signal.pause()
"""


@pytest.fixture(params=["python", "setsid", "a shell's last command"])
def leaves(world: World, request: pytest.FixtureRequest) -> World:
    """A program that leads a session of its own, in which another one hides: after "up PID"."""
    inner = "trap '' TERM HUP; env -i sh -c 'echo up $$; exec sleep 1000' & while :; do wait; done"
    (world.folder / "inner.sh").write_text(inner)
    shapes = {
        "python": world.script("leaves.py", LEAVES),
        "setsid": "setsid sh inner.sh",
        "a shell's last command": f"cd . && exec {world.script('leaves.py', LEAVES)}",
    }
    world.file("procman.yml", "defaults: {restart: {delay: 0}}\n")
    world.procfile(a=shapes[request.param])
    return world


def test_a_program_with_a_session_of_its_own_is_killed_with_all_of_it_at_the_end_of_its_grace(leaves: World) -> None:
    supervisor = leaves.start("--tty", "-t", "1")
    inner = int(supervisor.expect(r"up (\d+)")[1])
    supervisor.ask("stop", names=["a"])
    supervisor.phase(a_1="stopped")
    assert not alive(inner)
    assert leaves.run("restart", "a").code == 0
    inner = int(supervisor.expect(r"up (\d+)")[1])
    assert supervisor.stop() == 0
    assert not alive(inner)
    assert "unkillable" not in supervisor.seen


def test_what_is_left_of_a_session_of_its_own_ends_with_a_crash(leaves: World) -> None:
    supervisor = leaves.start("--tty", "-t", "1")
    inner = int(supervisor.expect(r"up (\d+)")[1])
    os.kill(supervisor.pids()["a.1"], signal.SIGKILL)
    supervisor.expect(r"up (\d+)")
    assert not alive(inner)
    assert supervisor.stop() == 0
    assert "which is unknown" not in supervisor.seen


def test_a_signal_to_an_instance_reaches_a_session_of_its_own(leaves: World) -> None:
    supervisor = leaves.start("--tty", "-t", "1")
    inner = int(supervisor.expect(r"up (\d+)")[1])
    assert leaves.run("signal", "KILL", "a").code == 0
    eventually(lambda: not alive(inner), "killed")
    supervisor.expect(r"up (\d+)")
    assert supervisor.stop() == 0


def test_each_instance_has_one_and_it_goes_with_it(world: World, command: str) -> None:
    world.procfile(a=command)
    supervisor = world.start("--tty", "-m", "a=3")
    for _ in range(3):
        supervisor.expect("up")
    eventually(lambda: len(holders(supervisor.pid)) == 3, "three holders")
    assert sorted(supervisor.pids().values()) == sorted(children_of(supervisor.pid))
    supervisor.ask("scale", to={"a": 1})
    supervisor.until(lambda now: len(now) == 1, "one")
    eventually(lambda: len(holders(supervisor.pid)) == 1, "one holder")
    assert supervisor.stop() == 0
    assert world.left() == []


def test_after_a_crash_and_a_restart_there_is_one_again(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {delay: 0}}\n")
    world.procfile(a="(trap '' HUP; exec sleep 1000) & echo up; exec sleep 1000")
    supervisor = world.start("--tty")
    supervisor.expect("up$")
    (before,) = eventually(lambda: holders(supervisor.pid), "a holder")
    os.kill(supervisor.pids()["a.1"], signal.SIGKILL)
    supervisor.expect("up$")
    assert not alive(before)
    (after,) = eventually(
        lambda: holders(supervisor.pid), "a holder again"
    )  # it may still be on its way to its program
    assert after != before
    assert len(children_of(supervisor.pid)) == 1


def test_one_that_is_killed_takes_nobody_along_who_can_stand_hup(world: World) -> None:
    world.procfile(a="trap '' HUP; echo up; while :; do sleep 0.05; done")
    supervisor = world.start("--tty")
    supervisor.expect("up$")
    pid = supervisor.pids()["a.1"]
    (holder,) = eventually(lambda: holders(supervisor.pid), "a holder")
    os.kill(holder, signal.SIGKILL)
    eventually(lambda: not alive(holder), "reaped")
    assert supervisor.pids()["a.1"] == pid
    assert supervisor.stop() == 0


def test_when_procman_is_killed_none_is_left_and_nobody_waits_for_it(world: World, command: str) -> None:
    world.procfile(a=command)
    supervisor = world.start("--tty", "-t", "15")
    supervisor.expect("up")
    eventually(lambda: holders(supervisor.pid), "a holder")
    guardian = guardian_of(supervisor)
    supervisor.process.kill()
    eventually(lambda: not alive(guardian), "the guardian has done its work", 10.0)  # within the grace
    assert world.left() == []


def test_an_upgrade_keeps_it(world: World, command: str) -> None:
    world.procfile(a=command)
    supervisor = world.start("--tty")
    supervisor.expect("up")
    before = eventually(lambda: holders(supervisor.pid), "a holder"), supervisor.pids()
    assert world.run("upgrade").code == 0
    assert (holders(supervisor.pid), supervisor.pids()) == before
    assert "adopted" not in str(supervisor.own())
    assert supervisor.stop() == 0
    assert world.left() == []


def test_it_is_not_listed(world: World, command: str) -> None:
    world.procfile(a=command)
    supervisor = world.start("--tty")
    supervisor.expect("up")
    row = supervisor.phase(a_1="ready")["a.1"]
    assert row["adopted"] == []
    assert row["pid"] not in holders(supervisor.pid)
