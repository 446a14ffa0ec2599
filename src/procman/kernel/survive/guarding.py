"""Starts, restarts and ends the guardian. What that does after procman's death is in survive/guardian.py.

While procman lives the guardian is a sleeping shell that reads from a pipe whose only writer is procman. At procman's
death, of whatever kind, the system closes the pipe, and the shell becomes the Python program that ends what is left. It
has everything that this needs: the program's file, the table, procman's locks (the next start waits for them) and
standard error.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.core.restart import backoff
from procman.core.spec import RestartPolicy
from procman.kernel.loop.reactor import READ, OneShotSelector, Reactor
from procman.kernel.process.helpers import HelperEnd, Helpers
from procman.kernel.process.ledger import Ledger
from procman.kernel.process.spawn import in_session

if TYPE_CHECKING:
    from procman.kernel.process.holder import FileAction

SCRIPT = os.path.join(os.path.dirname(__file__), "guardian.py")

DESCRIPTORS = "/proc/self/fd"
"""The folder in which the shell's own descriptors are files. /dev/fd is only a link to it, which a bare /dev does not
have; without /proc the guardian could do nothing.
"""

END_WITHIN = 1.0
"""Seconds in which KILL ends it, unless the system has frozen it."""

WAIT = (
    ": ends the workers, should their supervisor be killed;"
    "trap '' HUP INT QUIT TERM USR1 USR2 ALRM TSTP TTIN TTOU; cd /; read x; "
    'exec "$0" -I -S "$@"'
)
"""What the shell runs. It does not contain procman's name, so that `pkill -9 -f procman` spares it. TERM is not meant
for it (a service manager sends it to everything that procman has started); procman ends it with KILL.
"""

PURPOSE = "ends-the-workers-of-a-killed-supervisor"
"""Words for people who read the list of processes while it works."""

PASSED_ON = ("LD_LIBRARY_PATH",)
"""Variables without which some Pythons do not start. The guardian gets no others of procman's environment, above all no
mark.
"""

RETRY = RestartPolicy()
"""When it is started again: like an instance by default."""


class Kept(Struct, frozen=True):
    """What an exec of procman must keep: the guardian, and the end of the pipe (to be made inheritable)."""

    pid: int
    pipe: int


class Guarding:
    """Keeps one guardian running from `start()` to `end()`. `log` is for procman's own lines. `held` are descriptors
    that it has to keep open.
    """

    def __init__(
        self, reactor: Reactor, helpers: Helpers, ledger: Ledger, held: tuple[int, ...], log: Callable[[str], None]
    ) -> None:
        self._reactor = reactor
        self._helpers = helpers
        self._ledger = ledger
        self._held = held
        self._log = log
        self._script: int | None = None
        self._now: Kept | None = None
        self._before: Kept | None = None  # that of the previous program, until our own runs
        self._began = 0.0
        self._failures = 0
        self._over = False
        ledger.on_trouble = log

    @property
    def kept(self) -> Kept | None:
        """What the next program passes to `take_over()`."""
        return self._now or self._before

    def take_over(self, kept: Kept) -> None:
        """Use the guardian of the previous program, which watches until `start()` has replaced it."""
        self._before = kept
        self._helpers.watch(kept.pid, self._earlier_ended)

    def start(self) -> None:
        """Start the guardian. A failure is logged once, and the start tried again."""
        try:
            started = self._spawn()
        except OSError as error:
            if self._failures == 0:
                why = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
                self._log(f"cannot start the guardian: {why}; if procman is killed, what it runs is left behind")
            self._try_again()
        else:
            self._now = started
            self._helpers.watch(started.pid, partial(self._ended, started))
            self._began = time.monotonic()
            self._drop_earlier()

    def end(self) -> None:
        """An orderly end: nothing is left to guard, and the next start need not wait."""
        self._over = True
        self._drop_earlier()
        if self._now is not None:
            self._stop(self._now)
            self._now = None
        if self._script is not None:
            os.close(self._script)
            self._script = None
        self._ledger.close()

    def _earlier_ended(self, _end: HelperEnd) -> None:
        if self._before is not None:
            os.close(self._before.pipe)
            self._before = None

    def _ended(self, kept: Kept, _end: HelperEnd) -> None:
        """It ended unasked: start it again."""
        os.close(kept.pipe)
        self._now = None
        if time.monotonic() - self._began >= RETRY.reset_after:
            self._failures = 0
        if self._failures == 0:
            self._log(f"the guardian (pid {kept.pid}) has ended; starting it again")
        self._try_again()

    def _try_again(self) -> None:
        self._failures += 1
        self._reactor.call_at(time.monotonic() + backoff(RETRY, self._failures, 0.0), self._again)

    def _again(self) -> None:
        if not self._over:
            self.start()

    def _drop_earlier(self) -> None:
        if self._before is not None:
            self._stop(self._before)
            self._before = None

    def _stop(self, kept: Kept) -> None:
        """Kill it. It is our child and not reaped yet, so its pid cannot belong to another. A frozen one (cgroups) ends
        when it thaws.
        """
        self._helpers.unwatch(kept.pid)
        os.kill(kept.pid, signal.SIGKILL)
        with OneShotSelector() as selector:
            selector.register(kept.pipe, READ)  # ready once nobody can read from it: the guardian has ended
            if selector.select(END_WITHIN):
                os.waitpid(kept.pid, 0)
        os.close(kept.pipe)

    def _spawn(self) -> Kept:
        """Raises OSError, with nothing left except the script and the table, which are for the next attempt."""
        if self._script is None:  # kept open: the file may be replaced or removed while procman runs
            self._script = os.open(SCRIPT, os.O_RDONLY | os.O_CLOEXEC)
        table = self._ledger.open()
        reader, writer = os.pipe()
        try:
            actions: list[FileAction] = [
                (os.POSIX_SPAWN_DUP2, reader, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                # onto itself, so that the exec does not close it
                *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in (self._script, table, *self._held)),
            ]
            python, script = os.path.realpath(sys.executable), f"{DESCRIPTORS}/{self._script}"
            _try(python, script)
            argv = ["/bin/sh", "-c", WAIT, python, script, str(table), PURPOSE]
            env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
            pid = in_session(argv, env, actions)
        except OSError:
            os.close(writer)
            raise
        finally:
            os.close(reader)
        return Kept(pid, writer)


def _try(python: str, script: str) -> None:
    """Raises OSError if something is missing that it needs after procman's death, and which can be fixed now."""
    if not os.access(python, os.X_OK):
        raise OSError(errno.ENOENT, f"its interpreter {python or '(unknown)'} cannot be executed")
    os.close(os.open(script, os.O_RDONLY | os.O_CLOEXEC))


def can_guard() -> bool:
    """Whether there can be a guardian: not as PID 1, with which the kernel ends everything, and not without memory
    files (macOS).
    """
    return os.getpid() != 1 and hasattr(os, "memfd_create")
