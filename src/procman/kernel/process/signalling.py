"""Sends signals to the processes of instances, and to those of none.

Gets only pids that are children no other process can have reaped, and groups that still exist, whose number the system
gives to no other (kill(2)). The jobs of a shell at a terminal are neither: those are signalled through a descriptor
(`descent.send`). Knows no instances and no table of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from procman.core.actions import Target
from procman.kernel.process.children import read_process
from procman.kernel.process.process import Process, group_of, has_members
from procman.later import later
from procman.text.lines import clean

if TYPE_CHECKING:
    from procman.kernel.process import descent
else:
    descent = later(__name__, "procman.kernel.process.descent")


class Signaller:
    """Processes that have ended meanwhile are no error. What the system refuses is passed to `on_refusal`, once per pid."""

    def __init__(self, on_refusal: Callable[[str], None]) -> None:
        self.on_refusal = on_refusal
        self._refused_pids: set[int] = set()

    def send(self, process: Process, number: int, target: Target, *, top_down: bool) -> None:
        """Signal a part of an instance. `top_down`: orphaned descendants become procman's children."""
        match target:
            case Target.TOP if top_down:
                self._to_leader(process, number)
                for pid in process.adopted:  # also a process that has left the group since (setsid)
                    self.kill(pid, number)
            case Target.LEADER:
                self._to_leader(process, number)
            case Target.GROUP | Target.TOP:
                self.to_group(process, number)
            case Target.ADOPTED:
                self._to_adopted(process, number)
            case Target.ALL:
                self.to_group(process, number)
                self._to_adopted(process, number)

    def _to_leader(self, process: Process, number: int) -> None:
        if not process.reaped:
            self.kill(process.pid, number)

    def _to_adopted(self, process: Process, number: int) -> None:
        for pid in process.adopted:
            if group_of(pid) not in process.groups:
                self.kill(pid, number)

    def to_group(self, process: Process, number: int) -> None:
        """Signal the groups of a process, and the jobs of its shell."""
        jobs = [] if process.reaped or process.group == process.pid else descent.jobs_of(process)
        for group in process.groups:
            if not process.reaped or (process.held and group == process.group) or has_members(group):
                self._to_members(group, number, process.pid)
        for job in jobs:
            descent.send(job, number)

    def _to_members(self, group: int, number: int, leader: int) -> None:
        try:
            os.killpg(group, number)
        except ProcessLookupError:  # empty by now, or its leader made none
            pass
        except PermissionError:
            self._refused(leader)

    def kill(self, pid: int, number: int) -> None:
        """The line that signals a process. Only we can reap this child, so its pid belongs to no other process."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:  # mostly it runs as another user: set-uid, or one that changed its user
            self._refused(pid)

    def _refused(self, pid: int) -> None:
        """The system lets procman signal none of it. Reported once, as what follows would be reported wrongly."""
        if pid not in self._refused_pids:
            self._refused_pids.add(pid)
            one = read_process(pid)
            name = clean(one.name) if one else "gone"
            why = "the system refuses it" if descent.runs_as_we_do(pid) else "it runs as another user"
            self.on_refusal(f"cannot signal pid {pid} ({name}): {why} (EPERM)")
