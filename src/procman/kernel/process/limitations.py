"""What procman guarantees on Linux and cannot do on this system, reported at the start and by `check`, before it
matters.
"""

from __future__ import annotations

import os
import sys

from procman.kernel.process import children

NO_PROC = (
    "cannot guarantee everything on this system: {why}, so a process that leaves its parent is not found and outlives the stop of its "
    "instance, and a kill -9 of procman leaves everything behind; {helps} helps"
)
MOUNT = "`mount -t proc proc /proc`"
ALLOWED = "a seccomp filter or a security policy that allows it"
NO_SUBREAPER = (
    "cannot guarantee everything on this system: the system refuses prctl(PR_SET_CHILD_SUBREAPER), so a process that leaves its parent "
    "is not found and outlives the stop of its instance; a seccomp filter that allows it helps"
)
NO_GUARDIAN = (
    "cannot guarantee everything on this system: there are no memory files (memfd_create), so a kill -9 of procman leaves everything "
    "behind"
)


def limitations(*, known: bool, subreaper: bool, guard: bool = True) -> list[str]:
    """A line for each guarantee that does not hold. `known`: /proc lists our children; `subreaper`: orphans become
    ours; `guard`: a guardian can be started, as far as is known.

    Systems other than Linux have none of these guarantees.
    """
    if sys.platform != "linux":
        return []
    lines = []
    if not known:
        lines.append(_without_proc())
    elif not subreaper:
        lines.append(NO_SUBREAPER)
    if known and os.getpid() != 1 and not (guard and hasattr(os, "memfd_create")):
        lines.append(NO_GUARDIAN)
    return lines


def _without_proc() -> str:
    """Why the children cannot be listed."""
    try:
        os.readlink("/proc/self")
    except FileNotFoundError:
        return NO_PROC.format(why="there is no /proc", helps=MOUNT)
    except OSError as error:
        return NO_PROC.format(why=f"the system refuses to read /proc/self ({error.strerror})", helps=ALLOWED)
    return NO_PROC.format(why="/proc is that of another PID namespace", helps=MOUNT)


def limitations_here() -> list[str]:
    """The same, found out by trying, for callers that start nothing."""
    return limitations(
        known=children.Children().known, subreaper=children.become_subreaper(), guard=_has_memory_files()
    )


def _has_memory_files() -> bool:
    try:
        os.close(os.memfd_create("try", os.MFD_CLOEXEC))
    except (AttributeError, OSError):  # not Linux; a sandbox without them, or a seccomp filter
        return False
    return True
