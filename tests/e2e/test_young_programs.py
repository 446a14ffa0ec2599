"""Stopping a program in its first two seconds, in which some lose the signal and others count it."""

from __future__ import annotations

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
