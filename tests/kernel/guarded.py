"""A process that is guarded and can be killed: real processes, a real guardian, and no kernel in between."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from procman.core.events import ExitStatus
from procman.core.spec import StopPolicy
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.helpers import Helpers
from procman.kernel.process.ledger import EntryKind, Ledger
from procman.kernel.process.process import MARK
from procman.kernel.survive.guarding import Guarding

DEADLINE = 20.0
IDENT = f"guarded-{os.getpid()}"
ENV = {"PATH": os.environ["PATH"], MARK: f"{IDENT}/a.1/1"}

STUBBORN = "trap '' TERM; echo $$; while :; do sleep 1000 & wait; done"
"""Shell commands: each writes the pids that it is about."""

KILLED = ExitStatus(137, "KILL")


class Supervised:
    """What procman would be, in a process of its own: a reactor, a ledger, a guardian, and what it was told to say.

    `answer`: where the test waits for the answer.
    """

    def __init__(self, answer: int = -1) -> None:
        self.answer = answer
        self.said: list[str] = []
        self.reactor = Reactor()
        self.helpers = Helpers(self.reactor)
        self.ledger = Ledger(f"{MARK}={IDENT}/")
        self.guarding = Guarding(self.reactor, self.helpers, self.ledger, (HELD[1],), self.said.append)

    def run(self, script: str, grace: float = 1.0, *, lines: int = 1, env: dict[str, str] | None = None) -> list[int]:
        """Start a shell command as a run; the pids that it writes."""
        reader, writer = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        argv = ["/bin/sh", "-c", script]
        pid = os.posix_spawn("/bin/sh", argv, ENV if env is None else env, file_actions=actions, setsid=True)
        os.close(writer)
        self.ledger.note(pid, EntryKind.LEADER, StopPolicy(grace=grace))
        told = b""
        while told.count(b"\n") < lines:
            got = os.read(reader, 1000)
            assert got, f"{script} has ended early"
            told += got
        os.close(reader)
        return [pid, *map(int, told.split())]

    def turn_until(self, reached: Callable[[], object]) -> None:
        """Run the reactor until it is so; the guardian's death is noticed as procman notices it."""

        def look() -> None:
            pid, _ = os.waitpid(-1, os.WNOHANG) if self.helpers.pids else (0, 0)
            if pid:
                self.helpers.reaped(pid, KILLED)
            if reached():
                self.reactor.stop()
            else:
                self.reactor.call_at(time.monotonic() + 0.01, look)

        self.reactor.call_at(0.0, look)
        self.reactor.run()


HELD: list[int] = [-1, -1]
"""A pipe whose writing end the guardian holds, as it holds procman's locks."""


def killed(do: Callable[[Supervised], list[int]]) -> list[int]:
    """Kill a supervisor with -9 once `do` has answered in it, and wait for its guardian's end; the pids of `do`."""
    HELD[:] = os.pipe()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            os.close(HELD[0])
            os.write(writer, " ".join(map(str, do(Supervised(writer)))).encode() + b"\n")
            signal.pause()
        except BaseException:  # noqa: BLE001  told by what is missing
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writer)
    os.close(HELD[1])
    told = b""
    while not told.endswith(b"\n"):
        got = read_within(reader)
        assert got, "the supervisor has failed, see above"
        told += got
    os.close(reader)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert read_within(HELD[0]) == b""  # nobody writes; it ends when the guardian does
    os.close(HELD[0])
    return [int(word) for word in told.split()]


def read_within(fd: int) -> bytes:
    ready, _, _ = select.select([fd], [], [], DEADLINE)
    assert ready, f"nothing came in {DEADLINE} s"
    return os.read(fd, 65536)


def runs(pid: int) -> bool:
    """A zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in b"ZX"


def eventually(look: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE
    while not look():
        assert time.monotonic() < end
        select.select([], [], [], 0.01)


def end(pids: list[int]) -> None:
    """Clean up: of these pids nobody else can have got one, as the test has just seen them."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


PYTHON = f"{sys.executable} -I -S"
