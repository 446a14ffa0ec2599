"""Handles SIGCHLD: finds children that have ended, in a safe order, and posts each to the core as an event.

Owns the notes on why a process ended by itself: its port is taken, or the system ran out of memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from procman.core.events import Event, Exited, ExitStatus, OrphanReaped
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.process import reaper, spawn
from procman.kernel.process.children import read_process
from procman.kernel.process.helpers import Helpers
from procman.kernel.process.oom import OomNotes
from procman.kernel.process.process import Process, group_of
from procman.kernel.process.table import ProcessTable
from procman.later import later
from procman.text.shell import is_plain

if TYPE_CHECKING:
    from procman import executables
    from procman.kernel.process import ports
    from procman.kernel.process.adoption import Adoption
else:
    executables = later(__name__, "procman.executables")
    ports = later(__name__, "procman.kernel.process.ports")

REAPS_A_ROUND = 256
"""Limits a round, so that a storm of orphans delays others by some 15 ms only."""

SHELL_FAILS = 1.0
"""Seconds from a start in which the codes 126 and 127 are taken for the shell's own."""

KILLED = 128 + 9
"""The exit code of a death by KILL."""


class Deaths:
    """Takes processes that have ended out of the table. `post` handles an event completely before it returns."""

    def __init__(
        self,
        processes: ProcessTable,
        output: Multiplexer,
        helpers: Helpers,
        post: Callable[[Event], None],
        adoption: Adoption,
    ) -> None:
        self._processes = processes
        self._output = output
        self._helpers = helpers
        self._adoption = adoption
        self._ports: ports.PortNotes | None = None
        self._oom = OomNotes()
        self._post = post

    def collect(self, unasked: Callable[[Process], bool]) -> bool:
        """Reap at most `REAPS_A_ROUND` children; returns whether there may be more. One signal can stand for many deaths.

        `unasked`: whether a process ended without having been asked to. A leader is reaped only after its group got
        KILL: until then no other group can get its number.
        """
        for _ in range(REAPS_A_ROUND):
            dead = reaper.peek()
            if dead is None:
                return False
            pid, status = dead
            process = self._processes.leader(pid)
            if process is not None:
                process.ended = True
                if process.adopted or process.daemons:
                    self._processes.remember([process])
                self._leader_ended(process, status, unasked=unasked(process))
            else:
                self._helpers.ended(pid)
            reaper.reap(pid)
            if not self._helpers.reaped(pid, status) and self._processes.gone(pid):
                self._post(OrphanReaped(pid))
        return True

    def kill_all(self) -> None:
        """Send KILL to everything, and reap what has ended, when nothing decides any more."""
        self._processes.kill_all()
        while (dead := reaper.peek()) is not None:
            pid, status = dead
            reaper.reap(pid)
            if not self._helpers.reaped(pid, status):
                self._processes.gone(pid)

    def _leader_ended(self, process: Process, status: ExitStatus, *, unasked: bool) -> None:
        """Read its last output before the end is reported."""
        for stream in process.streams:
            self._output.drain(stream)
            self._output.end_line(stream)
        note = ""
        if unasked and status.code == KILLED:  # also as a shell reports it of its last command
            note = self._oom.note(time.monotonic())
        elif unasked and status.code != 0:
            note = _unexecutable(process, status.code) or self._port_note(process)
        delay = jitter() if unasked else 0.0  # what was asked to end is not started again after a delay
        daemon = min((*process.daemons, *process.adopted), default=0)
        if not daemon and unasked and status.code == 0:
            daemon = self._left_behind(process)
        in_group = daemon != 0 and group_of(daemon) in process.groups
        self._post(Exited(process.name, process.generation, status, note, delay, daemon, in_group))

    def _left_behind(self, process: Process) -> int:
        """A daemon that the leader has left behind at its end, and that is not adopted yet; 0 if there is none. One
        that hides its origin (redis) still has the leader's name. That it is this instance's is remembered, as it may hide that next.
        """
        unknown = sorted(self._processes.unknown(self._adoption.children()))
        leader = read_process(process.pid) if unknown else None
        for one in map(read_process, unknown):
            if one is None or one.ended or leader is None:
                continue
            hidden = one.name == leader.name and not self._processes.is_own(one.pid)
            if hidden or self._processes.is_of(one.pid, process):
                self._processes.attribute(one, process)
                return one.pid
        return 0

    def _port_note(self, process: Process) -> str:
        self._ports = self._ports or ports.PortNotes(can_search=self._adoption.known, is_own=self._processes.is_own)
        return self._ports.note(process, time.monotonic())


def _unexecutable(process: Process, code: int) -> str:
    """Why a shell, which does not say it, could not execute the program of the command."""
    if code not in (spawn.NOT_FOUND, spawn.NOT_EXECUTABLE) or time.monotonic() > process.started_at + SHELL_FAILS:
        return ""
    from procman.text.shellline import program_of  # noqa: PLC0415  only for a shell that failed

    spec = process.spec
    line = spec.command.removeprefix("exec ").strip()
    at = (0, line.split(maxsplit=1)[0]) if is_plain(line) else program_of(line)
    if at is None:
        return ""
    try:
        program = spawn.find_program(at[1], spec.environment().get("PATH", os.defpath), spec.cwd)
    except spawn.SpawnError as error:  # that there is none, the shell has said
        return error.why if error.code == spawn.NOT_EXECUTABLE else ""
    why = executables.why_not(program)
    return f"{at[1]}: {why}" if why else ""


def jitter() -> float:
    """A random fraction in [0, 1)."""
    return int.from_bytes(os.urandom(4), "big") / 2**32
