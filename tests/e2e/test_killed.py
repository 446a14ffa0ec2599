"""procman itself is killed: what it ran ends all the same, and the next start has nothing in its way."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time

import pytest
from harness import PYTHON, World, alive, all_children_of, children_of, eventually, guardian_of, is_guardian

SLEEPER = "sleep 1000"
STUBBORN = "trap '' TERM; echo up; while :; do sleep 1; done"


def test_twenty_children_of_every_kind_are_gone_within_the_grace(world: World) -> None:
    """Some leave session and group, some ignore TERM, some have a shell above them; the next start finds nothing."""
    world.procfile(
        plain=SLEEPER,
        stubborn=STUBBORN,
        daemon="(setsid sleep 1000 &); exec sleep 1000",
        bare="(setsid env -i sleep 1000 &); exec sleep 1000",
        shell="cd / && sleep 1000; true",
    )
    supervisor = world.start("-m", "all=4", "-t", "2")
    supervisor.until(lambda now: len(now) == 20 and all(row["phase"] == "ready" for row in now.values()), "ready")
    supervisor.until(lambda now: sum(len(row["adopted"]) for row in now.values()) >= 4, "the daemons are adopted")
    guardian = guardian_of(supervisor)
    supervisor.signal(signal.SIGKILL)
    began = time.monotonic()
    supervisor.wait()
    eventually(lambda: not alive(guardian), "the guardian is done")
    assert time.monotonic() - began < 3 * (2 + 1)
    assert world.left() == []
    assert "ended what it left: " in world.errors()
    again = world.start("-m", "plain=1", "--except", "stubborn", "-t", "2")
    again.up("plain.1")
    assert again.stop() == 0


def test_a_start_meanwhile_waits_says_so_and_goes_on(world: World) -> None:
    world.procfile(a=STUBBORN)
    first = world.start("-t", "3")
    first.expect("up$")
    guardian = guardian_of(first)
    old = first.pids()["a.1"]
    first.signal(signal.SIGKILL)
    first.wait()
    second = world.start("-t", "1")
    second.expect("up$")
    assert not alive(old)
    assert not alive(guardian)
    waits = f"procman: procman (pid {first.pid}) has gone; waiting until what it left has ended\n"
    assert world.errors().count(waits) == 1


def test_a_start_that_waits_can_be_interrupted(world: World) -> None:
    world.procfile(a=STUBBORN)
    first = world.start("-t", "4")
    first.expect("up$")
    guardian = guardian_of(first)
    first.signal(signal.SIGKILL)
    first.wait()
    second = world.popen("start")
    eventually(lambda: "waiting until" in world.errors(), "it waits")
    second.send_signal(signal.SIGINT)
    assert second.wait(20) == 130
    assert second.stdout is not None
    second.stdout.close()
    assert alive(guardian)
    eventually(lambda: not alive(guardian), "the guardian is done")
    assert world.left() == []


def test_clients_are_told_that_none_runs_while_the_guardian_works(world: World) -> None:
    world.procfile(a=STUBBORN)
    first = world.start("-t", "3")
    first.expect("up$")
    guardian = guardian_of(first)
    first.signal(signal.SIGKILL)
    first.wait()
    assert world.run("ps").code == 3
    eventually(lambda: not alive(guardian), "the guardian is done")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_is_as_good_as_a_kill(world: World, number: int) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start("-t", "2")
    supervisor.up("a.1")
    guardian = guardian_of(supervisor)
    supervisor.signal(number)
    assert supervisor.wait() == -number
    eventually(lambda: not alive(guardian), "the guardian is done")
    world_left = world.left()
    assert world_left == []


def test_a_kill_in_the_midst_of_starting_a_large_formation_leaves_nothing(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start("-m", "a=200", "--port-step", "200", "-t", "2")
    guardian = guardian_of(supervisor)
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: not alive(guardian), "the guardian is done")
    assert world.left() == []


@pytest.mark.parametrize("command", ["exec sleep 1000", "(setsid sleep 1000 &); exec sleep 1000", STUBBORN])
def test_a_first_worker_that_kills_procman_at_once_is_ended(world: World, command: str) -> None:
    """There is no moment at which procman has a worker and no guardian."""
    world.procfile(a=f"kill -9 $PPID; {command}")
    assert world.start("-t", "1").wait() == -signal.SIGKILL
    eventually(lambda: not world.left(), "nothing is left")


def test_a_kill_by_procmans_name_spares_the_guardian(world: World) -> None:
    """`pkill -9 -f procman` looks at the whole command line."""
    world.procfile(a=SLEEPER)
    supervisor = world.start("-t", "2")
    supervisor.up("a.1")
    guardian = guardian_of(supervisor)
    done = subprocess.run(
        ["pgrep", "-f", "procman", "-P", str(supervisor.pid)], capture_output=True, text=True, check=False
    )
    assert str(guardian) not in done.stdout.split()


def test_an_orderly_end_leaves_no_guardian_and_the_next_start_need_not_wait(world: World) -> None:
    world.procfile(a=SLEEPER)
    for _ in range(2):
        supervisor = world.start()
        supervisor.up("a.1")
        guardian = guardian_of(supervisor)
        assert supervisor.stop() == 0
        assert not os.path.exists(f"/proc/{guardian}")
    assert "waiting" not in world.errors()


def test_procman_ends_by_itself_although_it_has_a_guardian(world: World) -> None:
    world.procfile(a="exit 0")
    assert world.start().wait() == 0


def test_a_guardian_that_was_killed_is_started_again_with_one_line(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start("-t", "2")
    supervisor.up("a.1")
    descriptors = supervisor.descriptors()
    first = guardian_of(supervisor)
    os.kill(first, signal.SIGKILL)
    supervisor.expect(rf"the guardian \(pid {first}\) has ended; starting it again$")
    second = eventually(
        lambda: [pid for pid in all_children_of(supervisor.pid) if is_guardian(pid) and pid != first], "another"
    )[0]
    assert supervisor.ps()["a.1"]["restarts"] == 0
    assert supervisor.ps()["a.1"]["adopted"] == []
    eventually(lambda: supervisor.descriptors() == descriptors, "descriptors as before")
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: not alive(second), "the guardian is done")
    assert world.left() == []


def test_a_nested_procman_is_ended_with_the_one_that_runs_it(world: World) -> None:
    world.file("inner/Procfile", f"deep: {SLEEPER}\n")
    world.procfile(inner="exec procman start -f inner/Procfile -t 2", other=SLEEPER)
    supervisor = world.start("-t", "4")
    supervisor.expect(r"deep 1; ports")
    parents = eventually(lambda: [p for p in children_of(supervisor.pid) if all_children_of(p)], "one has children")
    (inner,) = parents  # its socket is no help here: there are two
    eventually(lambda: len(all_children_of(inner)) == 2, "the inner one has its child and a guardian")
    guardians = [guardian_of(supervisor), *(pid for pid in all_children_of(inner) if is_guardian(pid))]
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: not any(map(alive, guardians)), "both are done")
    assert world.left() == []


def test_a_program_that_reacts_to_the_loss_of_its_output_is_ended_all_the_same(world: World) -> None:
    """Its pipe has no reader any more: it swallows that, and hangs when it is asked to end."""
    hangs = world.script(
        "hangs.py",
        "import os, signal, time\n"
        "def end(*_):\n"
        "    while True: time.sleep(1)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "os.write(1, b'up\\n')\n"
        "while True: signal.pause()\n",
    )
    world.procfile(a=f"exec {PYTHON} {hangs.split()[-1]}")
    supervisor = world.start("-t", "2")
    supervisor.expect("up$")
    guardian = guardian_of(supervisor)
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: not alive(guardian), "the guardian is done")
    assert world.left() == []
    assert "1 process, 1 by KILL" in world.errors()


def test_the_guardian_sleeps_while_procman_lives(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    supervisor.phase(a_1="ready")
    guardian = guardian_of(supervisor)

    def switches() -> str:
        with open(f"/proc/{guardian}/status") as status:
            return next(line for line in status if line.startswith("voluntary"))

    before = switches()
    select.select([], [], [], 0.3)  # an interval to measure over, not a wait for anything
    assert switches() == before


COUNTING = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: print("asked", file=open("asked", "a")))
open("up", "w").close()
while True:
    signal.pause()
"""


def test_a_program_that_finishes_its_work_is_asked_once_also_by_the_guardian(world: World) -> None:
    """A second TERM is a cold shutdown for Celery and rq; it is ready by a check of its own, so it is not taken for young."""
    world.procfile(worker=world.script("worker.py", COUNTING))
    world.file("procman.yml", "processes: {worker: {ready: {file: up}}}\n")
    supervisor = world.start("-t", "2")
    supervisor.phase(worker_1="ready")
    guardian = guardian_of(supervisor)
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: not alive(guardian), "the guardian is done")
    assert (world.folder / "asked").read_text() == "asked\n"
    assert "1 by KILL" in world.errors()
