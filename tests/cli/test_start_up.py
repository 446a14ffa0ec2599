"""What the program does before a verb runs."""

from __future__ import annotations

import subprocess
import sys


def test_the_garbage_collector_works_again_once_a_verb_is_loaded(nobody):
    code = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print(gc.isenabled(), file=sys.stderr))\n"
        "from procman.cli import main\n"
        "main(['check'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "True\n"
