"""The one owner of wait: who has ended, and which children the kernel says are ours.

A zombie keeps its pid and its group's number; so the dead is looked at first (WNOWAIT), its group can be killed safely,
and only then is it reaped. A peeked zombie hides all others from the next peek, so it must be reaped in the same turn.
"""

from __future__ import annotations

import os
import signal
import sys

from procman.core.events import ExitStatus

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphaned descendants become this process's children instead of init's."""


def peek() -> tuple[int, ExitStatus] | None:
    """A child that has ended and is not reaped, or None where there is none."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13: it is reaped by the look itself
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
    """Let go of a child that peek() has named."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # already reaped by the look, see peek()
        return


def _status(code: int) -> ExitStatus:
    return ExitStatus(code) if code >= 0 else ExitStatus(128 - code, signal_name(-code))


def signal_name(number: int) -> str:
    """`KILL` for 9; real-time signals by their number."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


def signal_number(name: str) -> int:
    """9 for `KILL`."""
    return int(name) if name.isdecimal() else signal.Signals[f"SIG{name}"].value


def become_subreaper() -> bool:
    """Ask to be the parent of every orphaned descendant (PID 1 is that already); False where there is no such thing."""
    if os.getpid() == 1:
        return True
    if sys.platform != "linux":
        return False
    import ctypes  # noqa: PLC0415  2 ms and 0.5 MB, which PID 1 does not need

    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def children() -> list[int]:
    """The pids of our children, zombies included: the kernel's own list, else by a look at every process."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", "rb") as listing:
            return [int(pid) for pid in listing.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN, or no Linux
        return _children_by_parent(me)


def _children_by_parent(parent: int) -> list[int]:
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    fields = stat.read().rpartition(b")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            if int(fields[1]) == parent:
                found.append(int(name))
    return found
