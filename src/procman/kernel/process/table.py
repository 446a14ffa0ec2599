"""All processes: every instance's leader, its group, and what was adopted from it.

Owns which pid belongs to which instance, and signals only what is in the table: children that are not reaped, and
groups that still exist.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from procman.core.actions import Target
from procman.core.events import Adopted, Orphaned
from procman.core.spec import ProcessSpec, StopPolicy
from procman.core.view import FleetView, OrphanView
from procman.kernel.output.stream import ChildStream
from procman.kernel.process.children import RunningProcess, read_process
from procman.kernel.process.ledger import EntryKind, Ledger, Noted
from procman.kernel.process.process import (
    Process,
    ProcessState,
    group_is_alive,
    group_of,
    mark_prefix,
    marked_in,
    restored,
    state_of,
    without,
)
from procman.kernel.process.signalling import Signaller
from procman.later import later
from procman.text.lines import clean
from procman.text.signals import signal_number

if TYPE_CHECKING:
    from procman.kernel.process import descent
else:
    descent = later(__name__, "procman.kernel.process.descent")

EXEC_TAKES = 0.05  # seconds


class ProcessTableState(Struct, frozen=True, kw_only=True, rename={"processes": "lives", "orphans": "strays"}):
    """The table as a value. Keys, `orphans` and `changing` are pids, other numbers are indexes of `processes`."""

    ident: str
    subreaper: bool
    specs: tuple[ProcessSpec, ...]
    processes: tuple[ProcessState, ...]
    current: tuple[int, ...]
    by_pid: tuple[int, ...]
    ending: tuple[int, ...]
    lingering: tuple[int, ...]
    adopted: dict[int, int]
    kept: dict[int, int]
    origins: dict[int, int]
    orphans: tuple[int, ...]
    changing: dict[int, float]
    ledger: tuple[Noted, ...]


class ProcessTable:
    """Every process that is procman's: leaders, adopted processes, daemons that serve a type, orphans."""

    def __init__(self, ident: str, on_refusal: Callable[[str], None] = lambda _text: None) -> None:
        self.ident = ident
        self.ledger = Ledger(mark_prefix(ident))
        self.subreaper = False
        self.current: dict[str, Process] = {}  # by instance
        self._by_pid: dict[int, Process] = {}  # by leader
        self._by_group: dict[int, Process] = {}  # by group, which is also the session, and by its holder
        self.ending: list[Process] = []  # the leader is reaped, something may be left
        self.lingering: list[Process] = []  # over, except for a daemon that may still write
        self._adopted: dict[int, Process] = {}
        self._kept: dict[int, Process] = {}
        self._orphans: set[int] = set()
        self._changing: dict[int, float] = {}  # since when
        self._origins: dict[int, Process] = {}  # of daemons that were ever shared
        self.signaller = Signaller(on_refusal)
        self._seen: dict[tuple[int, int], Process] = {}  # before a stop, by pid and birth

    # ---- handing it on

    def state(self) -> ProcessTableState:
        """The state from which the program after an upgrade continues."""
        numbers: dict[Process, int] = {}
        specs: list[ProcessSpec] = []

        def of(process: Process) -> int:
            return numbers.setdefault(process, len(numbers))

        def spec_of(process: Process) -> int:
            known = next((n for n, one in enumerate(specs) if one is process.spec or one == process.spec), len(specs))
            specs[known:] = specs[known:] or [process.spec]
            return known

        tables = [{pid: of(one) for pid, one in table.items()} for table in (self._adopted, self._kept, self._origins)]
        lists = (self.current.values(), self._by_pid.values(), self.ending, self.lingering)
        current, by_pid, ending, lingering = (tuple(map(of, processes)) for processes in lists)
        return ProcessTableState(
            ident=self.ident,
            subreaper=self.subreaper,
            processes=tuple(state_of(process, spec_of(process)) for process in numbers),
            specs=tuple(specs),
            current=current,
            by_pid=by_pid,
            ending=ending,
            lingering=lingering,
            adopted=tables[0],
            kept=tables[1],
            origins=tables[2],
            orphans=tuple(self._orphans),
            changing=dict(self._changing),
            ledger=self.ledger.state(),
        )

    def restore(self, state: ProcessTableState, streams: Mapping[int, ChildStream]) -> None:
        """Continue with the table of the previous program, under its ident; `streams` by descriptor."""
        self.ident = state.ident
        processes = [restored(one, state.specs[one.spec], streams) for one in state.processes]
        self.subreaper = state.subreaper
        self.current = {processes[n].name: processes[n] for n in state.current}
        self._by_pid = {processes[n].pid: processes[n] for n in state.by_pid}
        self._by_group = {processes[n].group: processes[n] for n in state.by_pid}
        self.ending = [processes[n] for n in state.ending]
        self.lingering = [processes[n] for n in state.lingering]
        self._adopted = {pid: processes[n] for pid, n in state.adopted.items()}
        self._kept = {pid: processes[n] for pid, n in state.kept.items()}
        self._origins = {pid: processes[n] for pid, n in state.origins.items()}
        self._orphans = set(state.orphans)
        self._changing = dict(state.changing)
        self.ledger.restore(mark_prefix(state.ident), state.ledger)

    # ---- coming and going

    def find(self, name: str, generation: int, part: Target = Target.ALL) -> Process | None:
        """The process of that number, as long as something of it, or of that part of it, may be left."""
        process = self.current.get(name)
        found = process and process.generation == generation and (process.adopted or part is not Target.ADOPTED)
        return process if found else None

    def add(self, process: Process, *, led_by_shell: bool = False) -> None:
        self.current[process.name] = process
        self._by_pid[process.pid] = process
        self._by_group[process.group] = process
        stop, repeat = process.spec.stop, process.spec.ready is None  # the guardian does not learn when it is ready
        self.ledger.note(process.pid, EntryKind.LEADER, stop, shell=led_by_shell, repeat=repeat)
        if process.held:
            self.ledger.note(process.group, EntryKind.HOLDER, stop)

    def leader(self, pid: int) -> Process | None:
        """The instance's process whose leader this is, as long as it is not reaped."""
        process = self._by_pid.get(pid)
        return process if process is not None and not process.reaped else None

    def gone(self, pid: int) -> bool:
        """A child has been reaped; returns whether it belonged to no instance."""
        process = self.leader(pid)
        if process is not None:
            process.reaped = True
            self.ending.append(process)
            return False
        self.ledger.forget(pid)
        if self._holds(pid):
            self._by_group[pid].held = False
            return False
        origin = self._origins.pop(pid, None)
        if origin is not None:
            origin.daemons = without(pid, origin.daemons)
        process = self._adopted.pop(pid, None) or self._kept.pop(pid, None)
        if process is not None:
            process.adopted = without(pid, process.adopted)
            return False
        self._orphans.discard(pid)
        self._changing.pop(pid, None)
        return True

    def emptied(self) -> list[Process]:
        """Processes of which nothing is left; they are removed from the table."""
        alone = [process for process in self.ending if not process.adopted]
        for process in alone:
            if process.held:  # only the holder of the terminal is left of the group
                self.signaller.kill(process.group, signal.SIGKILL)
        over = [p for p in alone if not group_is_alive(p) or (not self.subreaper and descent.all_ended(p.group))]
        for process in over:
            self.ending.remove(process)
            del self._by_pid[process.pid], self._by_group[process.group]
            self.ledger.forget(process.pid)
            if self.current.get(process.name) is process:
                del self.current[process.name]
        return over

    # ---- adoption

    def remember(self, processes: Collection[Process]) -> None:
        """Remember their descendants while the processes between them exist: after the stop nothing may show whose they
        are. A leader that has ended has no descendants any more: the system gives its children another parent before it
        reports the end.
        """
        whose = {p.pid: p for p in processes if not p.ended}
        whose |= {pid: p for p in processes for pid in (*p.adopted, *p.daemons)}
        if whose:
            for one, process in descent.descendants(whose, self._by_pid):
                self.attribute(one, process)

    def attribute(self, one: RunningProcess, process: Process) -> None:
        """Remember that this process is the instance's: it may hide that."""
        self._seen[one.pid, one.start_ticks] = process

    def forget_seen(self) -> None:
        """Nothing is stopping: what was remembered has been adopted by now, or has ended."""
        self._seen.clear()

    def orphans(self) -> tuple[OrphanView, ...]:
        """Every process whose instance is unknown, or not known yet; one that has ended shows nothing of its origin."""
        found = [read_process(pid) for pid in sorted(self._orphans.union(self._changing))]
        return tuple(OrphanView(one.pid, clean(one.name)) for one in found if one is not None and not one.ended)

    def _comes_from(self, pid: int) -> Process | None:
        one = read_process(pid) if self._seen else None
        seen = self._seen.get((one.pid, one.start_ticks)) if one is not None else None
        return seen or descent.whose_output(pid, self._by_pid.values())

    def unknown(self, children: set[int]) -> set[int]:
        """The children that are not in the table, found all at once, as there may be a thousand."""
        new = children.difference(self._by_pid, self._by_group)
        for process in self.ending:  # it is reaped, so that its number may be another process's by now
            new |= children & ({process.pid} if process.held else {process.pid, process.group})
        return new.difference(self._adopted, self._kept, self._orphans)

    def known(self, pid: int) -> bool:
        return not self.unknown({pid})

    def is_own(self, pid: int) -> bool:
        """Whether it comes from something that procman started, as far as is known."""
        return self.known(pid) or self._of_group(group_of(pid)) is not None or self._marked(pid) is not None

    def _of_group(self, number: int) -> Process | None:
        """Whose group or session this is: also of a leader that made one of its own at a terminal."""
        return self._by_group.get(number) or self._by_pid.get(number)

    def _holds(self, pid: int) -> bool:
        """Whether it is the holder of an instance's terminal."""
        return pid in self._by_group and self._by_group[pid].held

    def is_changing(self, pid: int, now: float) -> bool:
        """Whether a new child may be in an exec, with an empty environment for `EXEC_TAKES` seconds at most, or a zombie."""
        known = self._of_group(group_of(pid)) is not None or self._comes_from(pid) is not None
        if known or descent.environment_of(pid) != b"":
            self._changing.pop(pid, None)
            return False
        if pid not in self._changing:
            self._changing[pid] = now
            # ours in any case, should procman be killed before it knows more
            self.ledger.note(pid, EntryKind.ORPHAN, StopPolicy())
        return now < self._changing[pid] + EXEC_TAKES

    def adopt(self, pid: int) -> Adopted | Orphaned:
        """A new child has appeared. One that comes from an earlier run counts as adopted, but not as its present run's."""
        try:
            group, session = os.getpgid(pid), os.getsid(pid)
        except ProcessLookupError:  # a zombie already, or gone
            group = session = 0
        process = self._of_group(group)
        origin = self._marked(pid) if process is None else None
        if process is None and origin is None:
            process = self._of_group(session)
            if process is None and (seen := self._comes_from(pid)) is not None:
                origin = seen.name, seen.generation
        if origin is not None:
            process = self.find(*origin)
        if process is None:
            self._orphans.add(pid)
            self.ledger.note(pid, EntryKind.ORPHAN, StopPolicy())
            return Adopted(*origin, pid, in_group=False) if origin is not None else Orphaned(pid)
        self._adopted[pid] = process
        process.adopted |= {pid}
        self.ledger.note(pid, EntryKind.ADOPTED, process.spec.stop)
        return Adopted(process.name, process.generation, pid, group in process.groups)

    def is_of(self, pid: int, process: Process) -> bool:
        """Whether a process belongs to this instance: by its group or session, by adoption, by its mark, or by descent."""
        try:
            if pid in (process.pid, *process.adopted) or {os.getpgid(pid), os.getsid(pid)}.intersection(process.groups):
                return True
        except ProcessLookupError:  # gone: nothing is known any more
            return False
        marked = self._marked(pid) == (process.name, process.generation)
        return marked or descent.descends(pid, {process.pid, *process.adopted})

    def mark(self, name: str, generation: int) -> str:
        return f"{self.ident}/{name}/{generation}"

    def _marked(self, pid: int) -> tuple[str, int] | None:
        return marked_in(descent.environment_of(pid) or b"", mark_prefix(self.ident))

    def keep(self, pid: int) -> None:
        """The daemon serves its whole type: the instance can end without it."""
        process = self._adopted.pop(pid, None)
        if process is not None:
            process.adopted = without(pid, process.adopted)
            self._kept[pid] = self._origins[pid] = process
            process.daemons |= {pid}

    def inherit(self, process: Process, number: int) -> None:
        """The daemons that serve the type end with this instance, and get its signal."""
        for pid in [pid for pid, origin in self._kept.items() if origin.spec.type == process.spec.type]:
            del self._kept[pid]
            self._adopted[pid] = process
            process.adopted |= {pid}
            self.signaller.kill(pid, number)
            self.signaller.kill(pid, signal.SIGCONT)

    def adopted(self) -> dict[str, tuple[int, ...]]:
        """What `ps` lists below each instance: adopted processes, and daemons that it brought into its type."""
        listed: dict[str, tuple[int, ...]] = {}
        for pid, process in sorted({**self._adopted, **self._kept}.items()):
            listed[process.name] = (*listed.get(process.name, ()), pid)
        return listed

    def complete(self, view: FleetView) -> FleetView:
        """The view with adopted processes, and with orphans."""
        listed = self.adopted()
        rows = view.instances
        if listed:
            rows = tuple(replace(row, adopted=listed[row.name]) if row.name in listed else row for row in rows)
        return replace(view, instances=rows, orphans=self.orphans())

    # ---- signals

    def signal(self, process: Process, name: str, target: Target) -> None:
        """Send a signal to a part of an instance."""
        self.signaller.send(process, signal_number(name), target, top_down=self.subreaper)

    def signal_process(self, pid: int, name: str) -> None:
        """Send a signal to one adopted process or orphan."""
        if pid in self._adopted or pid in self._kept or pid in self._orphans:
            self.signaller.kill(pid, signal_number(name))

    def kill_all(self) -> None:
        """Send KILL to everything in the table."""
        for process in self._by_pid.values():
            self.signaller.to_group(process, signal.SIGKILL)
        for pid in [*self._adopted, *self._kept, *self._orphans]:
            self.signaller.kill(pid, signal.SIGKILL)
