"""The one owner of wait: which children have ended.

A zombie keeps its pid and its group's number. So a dead child is first read without reaping it (WNOWAIT), its group can
be killed safely, and only then is it reaped. Until it is reaped the same child is returned again and hides all others,
so it must be reaped in the same turn.
"""

from __future__ import annotations

import os

from procman.core.events import ExitStatus
from procman.text.signals import signal_name


def peek() -> tuple[int, ExitStatus] | None:
    """A child that has ended and is not reaped; None if there is none."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13: looking also reaps it
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        return (pid, _status(os.waitstatus_to_exitcode(status))) if pid else None
    try:
        info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if info is None:
        return None
    return info.si_pid, _status(info.si_status if info.si_code == os.CLD_EXITED else -info.si_status)


def reap(pid: int) -> None:
    """Reap a child that peek() has returned."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # already reaped by looking, see peek()
        return


def _status(code: int) -> ExitStatus:
    return ExitStatus(code) if code >= 0 else ExitStatus(128 - code, signal_name(-code))
