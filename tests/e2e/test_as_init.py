"""As PID 1 of a PID namespace, the way a container runs it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from harness import BIN, Supervisor, World, alive, all_children_of, children_of, eventually, open_world, state_of

UNSHARE = ("unshare", "-p", "-f", "--mount-proc", "--kill-child")


def _can_unshare() -> str:
    if shutil.which("unshare") is None:
        return "unshare(1) is not installed"
    done = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"no PID namespace may be made here: {done.stderr.strip()}"


WHY_NOT = _can_unshare()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


class Init:
    """A procman that is PID 1 inside, and its pid outside."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.pid = eventually(lambda: children_of(supervisor.pid), "PID 1 of the namespace")[0]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """unshare passes the exit code on."""
        return self.supervisor.wait()

    def zombies(self) -> int:
        return sum(state_of(pid) == "Z" for pid in children_of(self.pid))


def start(world: World, *args: str, unshare: tuple[str, ...] = UNSHARE) -> Init:
    return Init(world.start(*args, before=unshare))


def test_term_from_outside_stops_everything_and_exits_0(world: World) -> None:
    world.procfile(a="trap 'echo bye; exit 3' TERM; echo up as $$; while :; do sleep 0.05; done", b="sleep 1000")
    init = start(world)
    assert init.supervisor.expect(r"up as (\d+)")
    init.signal(signal.SIGTERM)
    assert init.wait() == 0
    assert "bye" in init.supervisor.seen


def test_int_stops_and_a_second_one_kills_with_130(world: World) -> None:
    world.procfile(a="trap '' TERM; echo up; while :; do sleep 0.05; done")
    init = start(world)
    init.supervisor.expect("up$")
    init.signal(signal.SIGINT)
    init.supervisor.expect("stopping 1 instance")
    init.signal(signal.SIGINT)
    assert init.wait() == 130


def test_the_exit_code_is_passed_on(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {policy: never}}\n")
    world.procfile(a="exit 42")
    assert start(world).wait() == 42


def test_init_has_no_guardian_as_the_kernel_ends_all(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    init = start(world)
    init.supervisor.expect("up$")
    eventually(
        lambda: world.run("ps").code == 0, "it serves, so that it has done all that comes after the first spawns"
    )
    assert len(all_children_of(init.pid)) == 1
    init.signal(signal.SIGTERM)
    assert init.wait() == 0


def test_lines_have_no_time_as_init(world: World) -> None:
    world.procfile(a="echo hello")
    init = start(world)
    assert init.wait() == 0
    assert re.search(r"^a\.1 +\| hello$", init.supervisor.seen, re.MULTILINE)


def test_orphans_are_reaped_and_none_is_taken_for_a_worker(world: World) -> None:
    """A thousand double forks: each orphan becomes init's child and ends at once."""
    orphans = world.script(
        "orphans.py",
        "import os, signal\n"
        "for n in range(1000):\n"
        "    if os.fork() == 0:\n"
        "        if os.fork() == 0:\n"
        "            os._exit(7)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "os.write(1, b'done\\n')\n"
        "while True: signal.pause()\n",
    )
    world.procfile(a=orphans, b="sleep 1000")
    init = start(world)
    init.supervisor.expect("done$")
    eventually(lambda: init.zombies() == 0, "no zombies")
    assert len(children_of(init.pid)) == 2
    assert "ended" not in init.supervisor.seen
    init.signal(signal.SIGTERM)
    assert init.wait() == 0


def test_an_orphan_of_nobody_is_left_alone_until_the_end_and_then_ended(world: World) -> None:
    """`docker exec` and nsenter bring processes that procman has not started."""
    if shutil.which("nsenter") is None:
        pytest.skip("nsenter(1) is not installed")
    world.procfile(a="echo up; exec sleep 1000")
    init = start(world)
    init.supervisor.expect("up$")
    entered = subprocess.run(
        ["nsenter", "-t", str(init.pid), "-p", "-m", "sh", "-c", "sleep 999 >/dev/null 2>&1 & exit 0"],
        env={"PATH": world.env["PATH"]},
    )
    assert entered.returncode == 0
    stranger = eventually(
        lambda: [pid for pid in children_of(init.pid) if b"999" in Path(f"/proc/{pid}/cmdline").read_bytes()],
        "an orphan",
    )[0]
    init.signal(signal.SIGQUIT)
    init.supervisor.expect("state: a=1")
    assert alive(stranger)
    init.signal(signal.SIGTERM)
    assert init.wait() == 0
    assert not alive(stranger)


def test_the_last_lines_of_every_child_are_written_before_the_end(world: World) -> None:
    world.procfile(a="trap 'seq 200; echo last of $PS; exit 0' TERM; echo up; while :; do sleep 0.02; done")
    init = start(world, "-m", "a=5")
    for _ in range(5):
        init.supervisor.expect("up$")
    init.signal(signal.SIGTERM)
    assert init.wait() == 0
    assert set(re.findall(r"last of (\S+)", init.supervisor.seen)) == {f"a.{n}" for n in range(1, 6)}


def test_a_daemon_that_its_starter_left_is_ended_with_its_instance(world: World) -> None:
    world.procfile(a="(setsid sleep 1000 >/dev/null 2>&1 &) ; echo up; exec sleep 1000")
    init = start(world)
    init.supervisor.expect("up$")
    eventually(lambda: len(children_of(init.pid)) == 2, "adopted")
    init.signal(signal.SIGTERM)
    assert init.wait() == 0
    assert world.left() == []


def test_what_may_be_left_of_an_instance_that_is_stopped_is_named(world: World) -> None:
    """It has left session, group, parent, environment and output, so that nothing shows whose it is."""
    world.procfile(a="env -i setsid -f sleep 999 <&- >&- 2>&-; echo made; exec sleep 1000", b="exec sleep 1000")
    init = start(world, "-t", "10")
    init.supervisor.expect("made$")
    eventually(lambda: init.supervisor.ask("ps")["fleet"]["orphans"], "it is listed")
    assert "may be left" not in init.supervisor.seen
    init.supervisor.ask("stop", names=["a"])
    init.supervisor.expect(r"pid \d+ \(sleep\) may be left of a\.1: it runs until procman ends")
    assert init.supervisor.ask("ps")["fleet"]["orphans"]
    init.signal(signal.SIGTERM)
    assert init.wait() == 0


def test_signals_that_others_ignore_do_not_end_init(world: World) -> None:
    world.procfile(web="echo up; exec sleep 1000")
    init = start(world)
    init.supervisor.expect("up$")
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGHUP):
        init.signal(number)
    init.supervisor.expect("reloaded")
    init.signal(signal.SIGTERM)
    assert init.wait() == 0


def test_procman_as_init_needs_no_home_no_user_and_nothing_to_write() -> None:
    """A read-only root, a uid without an entry in passwd, no HOME, no temporary folder: it is reached by a name."""
    if shutil.which("setpriv") is None or os.getuid() != 0:
        pytest.skip("needs root and setpriv(1)")
    if not _readable_by_others(BIN):
        pytest.skip("another user may not execute the procman that is tested")
    with open_world() as world:
        world.procfile(a="id -u; touch x 2>&1; trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
        read_only = "mount --bind / / && mount -o remount,bind,ro / && "
        bare = "exec env -u HOME -u XDG_RUNTIME_DIR TMPDIR=/nonexistent "
        drop = 'setpriv --reuid 54321 --regid 54321 --clear-groups "$@"'
        init = Init(world.start(before=("unshare", "-m", *UNSHARE[1:], "sh", "-c", read_only + bare + drop, "-")))
        init.supervisor.expect("54321$")
        init.supervisor.expect("up$")
        assert "cannot touch" in init.supervisor.seen
        assert "cannot make a control socket" not in init.supervisor.seen
        init.signal(signal.SIGTERM)
        assert init.wait() == 0


def _readable_by_others(path: str) -> bool:
    done = subprocess.run(
        ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", path, "--version"], capture_output=True
    )
    return done.returncode == 0


def test_an_upgrade_leaves_it_pid_1_and_everything_else_as_it_was(world: World) -> None:
    """No signal is lost or ends it meanwhile: PID 1 is sent those alone for which it has a handler (pid_namespaces(7))."""
    world.procfile(a="trap 'echo bye; exit 3' TERM; echo up as $$; while :; do sleep 0.05; done")
    init = start(world)
    init.supervisor.expect(r"up as (\d+)")
    before = init.supervisor.ask("ps")["fleet"]["instances"][0]["pid"]
    for count in (1, 2):
        done = world.run("upgrade")
        assert done.code == 0
        assert "the version is the same" in done.err
        assert "(pid 1)" in done.out
        assert init.supervisor.ask("hello")["upgrades"] == count
    assert init.supervisor.ask("ps")["fleet"]["instances"][0]["pid"] == before
    init.signal(signal.SIGUSR2)
    init.signal(signal.SIGTERM)
    init.supervisor.expect("bye$")
    assert init.wait() == 0
