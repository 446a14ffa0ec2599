"""A procman whose own files are removed while it runs, as a package manager does before it installs the next version."""

from __future__ import annotations

import os
import shutil
import signal

from harness import World
from upgrades import Installed

SLEEPER = "sleep 1000"


def test_a_procman_without_its_files_does_what_it_did_before(world: World) -> None:
    """The clients are of the version that is installed by now."""
    world.procfile(a=SLEEPER, b=SLEEPER)
    package = Installed(world).copy(compiled=True)
    supervisor = world.start()
    supervisor.phase(a_1="ready", b_1="ready")
    shutil.rmtree(package)
    os.kill(supervisor.pids()["b.1"], signal.SIGKILL)
    supervisor.until(lambda rows: rows["b.1"]["restarts"] == 1, "b.1 is restarted")
    for words in ("ps", "why a", "scale a=2", "restart a", "reload", "scale a=1"):
        done = world.run(*words.split())
        assert done.code == 0, (words, done)
    supervisor.up("a.1", "b.1")
    assert supervisor.stop() == 0
    assert not [line for line in supervisor.own() if "cannot" in line]
