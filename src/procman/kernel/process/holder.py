"""A process that leads the session of a terminal, so that the program in it need not.

When the leader of a session ends, the system sends HUP to everything in the foreground of its terminal
(credentials(7)). The first process of most commands is a shell or npm, which ends at once at the stop signal, and then
the program behind it got HUP before it could end in order; Node.js and others do not let it be ignored.

So a small shell is the leader: it does nothing, keeps group and terminal as long as any process of the instance runs, and
is ended by procman. The program is its grandchild, and becomes procman's own child once the process in between has
ended (procman is a subreaper): pid, status and signals are those of the program itself.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Mapping, Sequence

from procman.kernel.loop.reactor import READ, OneShotSelector

FileAction = tuple[int, int] | tuple[int, int, int] | tuple[int, int, str, int, int]
"""A posix_spawn file action: (CLOSE, fd), (DUP2, from, to) or (OPEN, fd, path, flags, mode)."""

Spawner = Callable[[list[str], Mapping[str, str], Sequence[FileAction]], int]

MOST_SOCKETS = 4
"""The descriptors from 3 on that belong to the program."""

TELL, WAIT, GO = 7, 8, 9
"""Descriptors of the shell: one to procman, and a pipe by which the program waits for the end of the process in
between.
"""

CLOSED = f"{TELL}>&- {WAIT}<&- {GO}>&-"

HOLD = (
    f": ; (( read _pm_pid _pm_rest _pm_rest _pm_parent _pm_rest </proc/self/stat; echo $_pm_pid >&{TELL}; "
    f"kill -PIPE $_pm_parent; read _pm_rest <&{WAIT}; "
    f'@BEFORE@ exec {CLOSED} "$@" ); : ); echo >&{GO}; echo >&{TELL}; '
    "trap '' HUP INT QUIT TERM USR1 USR2 PIPE ALRM; "
    f"exec 3>&- 4>&- 5>&- 6>&- {CLOSED} /bin/sh -c 'while kill -STOP $$; do :; done' holds-a-terminal"
)
"""The script. It does not run the program with `&`, where a shell makes it ignore INT and QUIT for good. PIPE ends the
process in between silently; it must be gone before the program can end, else it would take the status that procman
needs. The holder is stopped, so that it takes no time; it has none of the program's sockets, and its command line does
not contain the program's, by which some look for it. A variable of the program's environment would keep what a shell
assigns to it, so the names here are none that a program has.
"""

PATIENCE = 10.0
"""Seconds that all this may take: 2 ms on an idle machine."""


class HeldStart:
    """A program to be started in a session that another process leads. `before` is shell code for the program alone
    (`cd "$0" && `).
    """

    def __init__(self, before: str, folder: str, argv: list[str]) -> None:
        self._argv = ["/bin/sh", "-c", HOLD.replace("@BEFORE@", before), folder, *argv]

    def run(self, env: Mapping[str, str], actions: Sequence[FileAction], spawn: Spawner) -> tuple[int, int]:
        """Start it; returns the pids of the program and of the holder, both children of procman. Raises OSError, with
        none of them left.
        """
        opened: list[int] = []
        try:
            for _ in range(2):
                opened += os.pipe()
            reader, writer, wait, go = opened
            ends = [(writer, TELL), (wait, WAIT), (go, GO)]
            holder = spawn(self._argv, env, [*actions, *_apart(ends)])
            os.close(writer)
            opened.remove(writer)
            pid = _read_pid(reader)
        finally:
            for fd in opened:
                os.close(fd)
        if pid:
            return pid, holder
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        raise OSError(errno.EAGAIN, "the shell could not start it")


def _apart(ends: list[tuple[int, int]]) -> list[FileAction]:
    """File actions that first move each descriptor out of the way, as its number may be needed for another."""
    free = max(max(pair) for pair in ends) + 1
    actions: list[FileAction] = [(os.POSIX_SPAWN_DUP2, fd, free + n) for n, (fd, _) in enumerate(ends)]
    actions += [(os.POSIX_SPAWN_DUP2, free + n, to) for n, (_, to) in enumerate(ends)]
    return [*actions, *((os.POSIX_SPAWN_CLOSE, free + n) for n in range(len(ends)))]


def _read_pid(reader: int) -> int:
    """The program's pid, once the process in between has ended; 0 if it does not come."""
    ready = OneShotSelector()
    ready.register(reader, READ)
    received = b""
    while received.count(b"\n") < 2:
        data = os.read(reader, 64) if ready.select(PATIENCE) else b""
        if not data:
            return 0
        received += data
    pid = received.partition(b"\n")[0]
    return int(pid) if pid.isdigit() else 0
