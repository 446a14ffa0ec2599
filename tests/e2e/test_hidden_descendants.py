"""Nothing of an instance outlives its stop, or it is said by name: also what hides everything that it can hide."""

from __future__ import annotations

import os
import shutil

import pytest
from harness import World, alive, eventually

HIDES = """
# Leaves session and group, hides its environment, and lives on: under a parent that stays, or (argv 1) under none.
import ctypes, os, signal, sys
if sys.argv[1:] and "stays" not in sys.argv and os.fork():
    os._exit(0)
os.setsid()
ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE: as ssh-agent
os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", '''
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
if sys.argv[1:2] == ["saves"]:
    saved = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
    signal.signal(signal.SIGINT, lambda *_: (os.write(saved, b"saved"), os._exit(0)))
os.write(1, b"hidden %d\\\\n" % os.getpid())
if sys.argv[1:2] in (["silent"], ["saves"]):
    os.closerange(0, 3)
while True: signal.pause()
''', *sys.argv[1:]], {})
"""


@pytest.fixture
def hides(world: World) -> str:
    return world.script("hides.py", HIDES)


@pytest.mark.parametrize("tty", ["--tty", "--no-tty"])
@pytest.mark.parametrize("shape", ["{} & wait", "({} & wait) & wait", "sh -c '{} & exec sleep 1000'"])
def test_a_descendant_that_hides_everything_is_ended_with_its_instance(
    world: World, hides: str, shape: str, tty: str
) -> None:
    world.procfile(a=shape.format(hides), b="exec sleep 1000")
    supervisor = world.start(tty, "-t", "10")
    pid = int(supervisor.expect(r"hidden (\d+)")[1])
    supervisor.ask("stop", names=["a"])
    supervisor.phase(a_1="stopped")
    assert not alive(pid)
    assert "a.1 did not stop" not in supervisor.seen
    assert supervisor.ps()["b.1"]["pid"]


def test_a_restart_does_not_leave_the_last_lifes_behind(world: World, hides: str) -> None:
    world.procfile(a=f"{hides} & wait")
    supervisor = world.start("-t", "10")
    first = int(supervisor.expect(r"hidden (\d+)")[1])
    assert world.run("restart", "a", "--wait").code == 0
    second = int(supervisor.expect(r"hidden (\d+)")[1])
    assert alive(second)
    assert not alive(first)


@pytest.mark.parametrize("tty", ["--tty", "--no-tty"])
@pytest.mark.parametrize(
    "shape", ["{} alone; exec sleep 1000", "({} alone &); exec sleep 1000", "setsid -f {} alone; exec sleep 1000"]
)
def test_one_that_has_left_everything_but_its_output_ends_with_its_type(
    world: World, hides: str, shape: str, tty: str
) -> None:
    world.procfile(a=shape.format(hides), b="exec sleep 1000")
    supervisor = world.start(tty, "-t", "10")
    pid = int(supervisor.expect(r"hidden (\d+)")[1])
    supervisor.until(lambda now: now["a.1"]["adopted"] == [pid], "it is listed under its instance")
    supervisor.ask("stop", names=["a"])
    supervisor.phase(a_1="stopped")
    assert not alive(pid)
    assert "which is unknown" not in supervisor.seen


def test_what_is_made_again_and_again_is_ended_with_a_stop_too(world: World) -> None:
    """The last one was left behind some milliseconds before, and nobody has looked since."""
    world.procfile(a="(while :; do setsid -f env -i sleep 999; echo made; sleep 0.1; done) & exec sleep 1000")
    supervisor = world.start("-t", "10")
    for _ in range(15):
        supervisor.expect("made$")
    supervisor.ask("stop", names=["a"])
    supervisor.phase(a_1="stopped")
    assert world.left() == []


def test_one_that_can_be_traced_to_nobody_is_named_and_listed_and_ends_with_procman(world: World, hides: str) -> None:
    world.procfile(a=f"{hides} silent; exec sleep 1000")
    supervisor = world.start("-t", "10")
    pid = int(supervisor.expect(r"hidden (\d+)")[1])
    supervisor.expect(rf"pid {pid} \(.*\) has left its instance, which is unknown")
    orphans = supervisor.ask("ps")["fleet"]["orphans"]
    assert [orphan["pid"] for orphan in orphans] == [pid]
    assert orphans[0]["name"].startswith("python")
    assert f"orphans (their instance is unknown): pid {pid} (" in world.run("ps").out
    supervisor.ask("stop", names=["a"])
    supervisor.phase(a_1="stopped")
    assert alive(pid)
    assert supervisor.stop() == 0
    eventually(lambda: not alive(pid), "ended with procman")


FORKS_ON = """
# A daemon that hides everything, and goes on in a new process again and again.
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
libc.prctl(4, 0)
os.closerange(0, 3)
libc.prctl(15, b"forks-on")  # PR_SET_NAME
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize("pause", ["0.02", "0.1"])
def test_a_daemon_that_goes_on_in_new_processes_is_listed_and_logged_once(world: World, pause: str) -> None:
    """The first number is less than the time in which a new process may still be in an exec, the second more."""
    forks_on = world.script("forks_on.py", FORKS_ON)
    world.procfile(a=f"env -i {forks_on} {pause}; exec sleep 1000", b="exec sleep 1000")
    supervisor = world.start("-t", "10")

    def listed() -> list[str]:
        return [orphan["name"] for orphan in supervisor.ask("ps")["fleet"]["orphans"]]

    eventually(lambda: "forks-on" in listed(), "it is listed")
    seen = {orphan["pid"] for orphan in supervisor.ask("ps")["fleet"]["orphans"]}
    eventually(lambda: not seen & {o["pid"] for o in supervisor.ask("ps")["fleet"]["orphans"]}, "in a new process")
    supervisor.ask("stop", names=["a"])
    supervisor.phase(a_1="stopped")
    eventually(lambda: "forks-on" in listed(), "it is listed still")
    assert supervisor.stop() == 0
    assert supervisor.seen.count("(forks-on) has left its instance") <= 1
    assert world.left() == []


@pytest.mark.parametrize("shape", ["{} silent stays & wait", "sh -c '{} silent stays & exec sleep 1000'"])
def test_at_the_end_of_everything_nothing_hidden_is_left_either(world: World, hides: str, shape: str) -> None:
    world.procfile(a=shape.format(hides), b="exec sleep 1000")
    supervisor = world.start("-t", "10")
    pid = int(supervisor.expect(r"hidden (\d+)")[1])
    assert supervisor.stop() == 0
    assert not alive(pid)


def test_at_the_end_of_everything_it_gets_the_stop_signal_of_its_type(world: World, hides: str) -> None:
    saved = world.folder / "saved"
    world.procfile(a=f"{hides} saves {saved} stays & wait")
    world.file("procman.yml", "processes: {a: {stop: {signal: INT}}}\n")
    supervisor = world.start("-t", "10")
    supervisor.expect(r"hidden (\d+)")
    supervisor.phase(a_1="ready")
    assert supervisor.stop() == 0
    assert saved.read_text() == "saved"
    assert "which is unknown" not in supervisor.seen


def test_ssh_agent_is_ended_or_named(world: World) -> None:
    if shutil.which("ssh-agent") is None:
        pytest.skip("ssh-agent is not installed")
    world.procfile(a="eval $(ssh-agent -s); echo agent $SSH_AGENT_PID; exec sleep 1000")
    supervisor = world.start("-t", "5")
    pid = int(supervisor.expect(r"agent (\d+)$")[1])
    supervisor.phase(a_1="ready")

    def is_named() -> bool:
        answer = supervisor.ask("ps")["fleet"]
        return pid in [*(orphan["pid"] for orphan in answer["orphans"]), *answer["instances"][0]["adopted"]]

    eventually(is_named, "it is listed")
    assert supervisor.stop() == 0
    assert not alive(pid)


def test_of_another_user_too(world: World) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv(1)")
    drop = "setpriv --reuid 54321 --regid 54321 --clear-groups"
    world.procfile(a=f"{drop} sh -c '(setsid sleep 999 & echo hidden); exec sleep 1000'")
    supervisor = world.start("-t", "10")
    supervisor.expect("hidden")
    supervisor.phase(a_1="ready")
    assert supervisor.stop() == 0
    assert world.left() == []
