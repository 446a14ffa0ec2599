"""Stopping a program in its first two seconds, in which some lose the signal and others count it."""

from __future__ import annotations

import sys

from harness import World

COUNTS_SIGNALS = """
# As a queue's worker: the first TERM lets it finish, a second one drops the work. It took a task at once.
import os, signal, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
os.write(1, b"up\\n")
while not asked:
    signal.pause()
until = time.monotonic() + 1.5
while time.monotonic() < until and len(asked) == 1:
    time.sleep(0.05)
print("finished" if len(asked) == 1 else "dropped")
"""


def test_a_young_program_that_hears_its_signal_gets_it_once(world: World) -> None:
    """The repeat of a second later is for those that lose one."""
    world.procfile(worker=world.script("worker.py", COUNTS_SIGNALS))
    supervisor = world.start()
    supervisor.expect("up$")
    assert supervisor.stop() == 0
    assert supervisor.expect("(finished|dropped)$")[0].endswith("finished")


LOSES_SIGNALS = """
# It ignores the signal until it has started.
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(1, b"up\\n")
time.sleep(0.7)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    signal.pause()
"""


def test_a_young_program_that_loses_its_signal_gets_it_again(world: World) -> None:
    world.procfile(server=world.script("server.py", LOSES_SIGNALS))
    supervisor = world.start()
    supervisor.expect("up$")
    assert supervisor.stop() == 0
    assert "KILL" not in supervisor.seen


DROPS_THE_FIRST = """
# As Erlang's virtual machine does in its first 300 ms: it catches the signal and drops it.
import os, signal
got = []
def end(*_):
    got.append(1)
    if len(got) > 1:
        os._exit(0)
signal.signal(signal.SIGTERM, end)
os.write(1, b"up\\n")
while True:
    signal.pause()
"""


def test_erlang_gets_its_signal_again_although_it_catches_the_first_one(world: World) -> None:
    """It is known by the name of its virtual machine."""
    (world.folder / "beam.smp").symlink_to(sys.executable)
    world.script("vm.py", DROPS_THE_FIRST)
    world.procfile(vm="./beam.smp vm.py")
    supervisor = world.start()
    supervisor.expect("up$")
    assert supervisor.stop() == 0
    assert "vm.1 exit 0" in supervisor.seen
