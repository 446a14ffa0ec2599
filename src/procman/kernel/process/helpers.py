"""Children of procman that are not part of the formation: checks, commands of probes and drains, the guardian.

Each leads a session and a group of its own, which is killed with it: at its deadline, at its end, and at procman's.
Knows descriptors and pids; does not know what a helper is for.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.core.events import ExitStatus
from procman.kernel.loop.reactor import READ, Reactor
from procman.kernel.process.spawn import in_session

if TYPE_CHECKING:
    from procman.kernel.process.holder import FileAction

OUTPUT_KEPT = 4096
"""Most bytes of a helper's output that are kept."""

LAST_READS = 16
"""Reads after its end, enough to empty a pipe (64 KiB, pipe(7)): a daemon that it left behind may write for ever."""


class HelperEnd(Struct, frozen=True):
    """How a helper ended: the newest bytes that it wrote to either stream, and whether it was killed at its deadline."""

    status: ExitStatus
    output: bytes
    timed_out: bool


OnHelperEnd = Callable[[HelperEnd], None]


class _Helper:
    """A running helper. `output` is the read end of its pipe, -1 without one."""

    def __init__(self, pid: int, output: int, on_exit: OnHelperEnd) -> None:
        self.pid = pid
        self.output = output
        self.on_exit = on_exit
        self.listening = False  # whether the pipe is watched
        self.written = b""
        self.timed_out = False

    def read(self) -> bool:
        """Read once; False if there is nothing to read now, or never will be."""
        try:
            data = os.read(self.output, OUTPUT_KEPT)
        except BlockingIOError:
            return False
        self.written = (self.written + data)[-OUTPUT_KEPT:]
        return bool(data)


class Helpers:
    """Starts helpers and calls each one's `on_exit` once. The owner of wait reports when one has ended."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._running: dict[int, _Helper] = {}

    @property
    def pids(self) -> Collection[int]:
        return self._running.keys()

    def spawn(
        self,
        argv: list[str],
        env: Mapping[str, str],
        on_exit: OnHelperEnd,
        deadline: float | None = None,
        actions: Sequence[FileAction] = (),
    ) -> int:
        """Execute `argv[0]` without input; returns its pid. At `deadline` (monotonic seconds) its group is killed.
        `actions` give it further descriptors. Raises OSError.
        """
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        try:
            pid = in_session(
                argv,
                env,
                [
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, writer, 1),
                    (os.POSIX_SPAWN_DUP2, writer, 2),
                    *actions,
                ],
            )
        except (OSError, ValueError):
            os.close(reader)
            raise
        finally:
            os.close(writer)
        helper = self._running[pid] = _Helper(pid, reader, on_exit)
        self._listen(helper)
        if deadline is not None:
            self._reactor.call_at(deadline, partial(self._expire, helper))
        return pid

    def watch(self, pid: int, on_exit: OnHelperEnd) -> None:
        """Note a child that another part of procman starts and ends."""
        self._running[pid] = _Helper(pid, -1, on_exit)

    def unwatch(self, pid: int) -> None:
        """Its owner reaps it."""
        self._running.pop(pid, None)

    def kill(self, pid: int) -> None:
        """Kill a running helper and its group; its `on_exit` is called once it is reaped."""
        helper = self._running.get(pid)
        if helper is not None:
            self._kill(helper)

    def ended(self, pid: int) -> None:
        """A child has ended and is not reaped yet: kill the rest of a helper's group."""
        helper = self._running.get(pid)
        if helper is not None and helper.output >= 0:
            self._kill(helper)

    def reaped(self, pid: int, status: ExitStatus) -> bool:
        """A child has been reaped; returns whether it was a helper."""
        helper = self._running.pop(pid, None)
        if helper is None:
            return False
        if helper.output >= 0:
            for _ in range(LAST_READS):
                if not helper.read():
                    break
            self._close(helper)
        helper.on_exit(HelperEnd(status, helper.written, helper.timed_out))
        return True

    def end(self) -> None:
        """Procman ends: kill and reap all helpers, without calling `on_exit`."""
        for helper in [helper for helper in self._running.values() if helper.output >= 0]:
            self._kill(helper)
            os.waitpid(helper.pid, 0)
            self._close(helper)
            del self._running[helper.pid]

    def _listen(self, helper: _Helper) -> None:
        """Watch its pipe. If the system has no watch left (epoll(7)), the pipe's content is read at the end."""
        try:
            self._reactor.register(helper.output, READ, partial(self._on_output, helper))
            helper.listening = True
        except OSError:
            return

    def _on_output(self, helper: _Helper) -> None:
        if not helper.read():
            self._stop_listening(helper)

    def _stop_listening(self, helper: _Helper) -> None:
        if helper.listening:
            helper.listening = False
            self._reactor.unregister(helper.output)

    def _close(self, helper: _Helper) -> None:
        self._stop_listening(helper)
        os.close(helper.output)

    def _expire(self, helper: _Helper) -> None:
        if self._running.get(helper.pid) is helper:
            helper.timed_out = True
            self._kill(helper)

    @staticmethod
    def _kill(helper: _Helper) -> None:
        """Kill its group. It leads the group and is not reaped yet, so the number cannot belong to another."""
        try:
            os.killpg(helper.pid, signal.SIGKILL)
        except PermissionError:  # only set-uid programs are left, which we may not kill
            return
