from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from procman.core.spec import ProcessSpec
from procman.kernel.process.descent import descendants
from procman.kernel.process.process import Process

FORKS = """
import os, signal
if not os.fork():
    os.setsid()
    if not os.fork():
        os.write(1, b"%d %d\\n" % (os.getppid(), os.getpid()))
signal.pause()
"""

ABSENT = range(2**22 + 1, 2**22 + 6001)
"""Numbers that no process has (PID_MAX_LIMIT, proc_sys_kernel(5)), so many that one listing of all processes is quicker."""


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
@pytest.mark.parametrize("besides", [(), ABSENT], ids=["one by one", "by one listing"])
def test_all_descendants_are_found_and_nothing_else(besides: Sequence[int]) -> None:
    leader = subprocess.Popen([sys.executable, "-I", "-S", "-c", FORKS], stdout=subprocess.PIPE, text=True)
    assert leader.stdout is not None
    child, grandchild = map(int, leader.stdout.readline().split())
    try:
        process = Process("a.1", 1, ProcessSpec(type="a", command="a", cwd="/"), leader.pid, 0.0)
        found = descendants({leader.pid: process, **dict.fromkeys(besides, process)}, [leader.pid])
        assert [(one.pid, one.parent, whose) for one, whose in found] == [
            (child, leader.pid, process),
            (grandchild, child, process),
        ]
    finally:
        for pid in (grandchild, child, leader.pid):
            os.kill(pid, signal.SIGKILL)
        leader.wait()
        leader.stdout.close()
