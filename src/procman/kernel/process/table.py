"""All processes: every instance's leader, its group, and what was adopted from it. The only module that sends signals.

It only signals pids in its table, which are children that no other process can have reaped, and groups that still
exist, whose number the system gives to no other (kill(2)).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from procman.core.actions import Target
from procman.core.spec import ProcessSpec, StopPolicy
from procman.core.view import FleetView, OrphanView
from procman.kernel.output.stream import ChildStream
from procman.kernel.process.ledger import EntryKind, Escalation, Ledger, Noted
from procman.kernel.process.process import (
    LifeState,
    Process,
    group_lives,
    group_of,
    mark_prefix,
    restored,
    state_of,
    without,
)
from procman.later import later
from procman.text.lines import clean
from procman.text.signals import signal_number

if TYPE_CHECKING:
    from procman.kernel.process import descent
else:
    descent = later(__name__, "procman.kernel.process.descent")

EXEC_TAKES = 0.05
"""Seconds."""


class ProcessTableState(Struct, frozen=True, kw_only=True):
    """The table as a value. Numbers in `lives` are indexes of processes there, other numbers are pids."""

    ident: str
    subreaper: bool
    specs: tuple[ProcessSpec, ...]
    lives: tuple[LifeState, ...]
    current: tuple[int, ...]
    by_pid: tuple[int, ...]
    ending: tuple[int, ...]
    lingering: tuple[int, ...]
    adopted: dict[int, int]
    kept: dict[int, int]
    origins: dict[int, int]
    strays: tuple[int, ...]
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
        self._ending: list[Process] = []  # the leader is reaped, something may be left
        self.lingering: list[Process] = []  # over, except for a daemon that may still write
        self._adopted: dict[int, Process] = {}
        self._kept: dict[int, Process] = {}
        self._strays: set[int] = set()
        self._changing: dict[int, float] = {}  # since when
        self._origins: dict[int, Process] = {}  # of daemons that were ever shared
        self._told: set[int] = set()  # pids that procman may not signal, which has been reported
        self.on_refusal = on_refusal
        self._descent: descent.Descent | None = None
        self._seen: dict[tuple[int, int], Process] = {}  # descendants by pid and birth, as seen before a stop

    # ---- handing it on

    def state(self) -> ProcessTableState:
        """The state from which the program after an upgrade continues."""
        numbers: dict[Process, int] = {}
        specs: list[ProcessSpec] = []

        def of(life: Process) -> int:
            return numbers.setdefault(life, len(numbers))

        def spec_of(life: Process) -> int:
            known = next((n for n, spec in enumerate(specs) if spec is life.spec or spec == life.spec), len(specs))
            specs[known:] = specs[known:] or [life.spec]
            return known

        tables = [
            {pid: of(life) for pid, life in table.items()} for table in (self._adopted, self._kept, self._origins)
        ]
        lists = (self.current.values(), self._by_pid.values(), self._ending, self.lingering)
        current, by_pid, ending, lingering = (tuple(map(of, lives)) for lives in lists)
        return ProcessTableState(
            ident=self.ident,
            subreaper=self.subreaper,
            lives=tuple(state_of(life, spec_of(life)) for life in numbers),
            specs=tuple(specs),
            current=current,
            by_pid=by_pid,
            ending=ending,
            lingering=lingering,
            adopted=tables[0],
            kept=tables[1],
            origins=tables[2],
            strays=tuple(self._strays),
            changing=dict(self._changing),
            ledger=self.ledger.state(),
        )

    def restore(self, state: ProcessTableState, streams: Mapping[int, ChildStream]) -> None:
        """Continue with the table of the program before, under its ident; `streams` by descriptor."""
        self.ident = state.ident
        lives = [restored(one, state.specs[one.spec], streams) for one in state.lives]
        self.subreaper = state.subreaper
        self.current = {lives[n].name: lives[n] for n in state.current}
        self._by_pid = {lives[n].pid: lives[n] for n in state.by_pid}
        self._by_group = {lives[n].group: lives[n] for n in state.by_pid}
        self._ending = [lives[n] for n in state.ending]
        self.lingering = [lives[n] for n in state.lingering]
        self._adopted = {pid: lives[n] for pid, n in state.adopted.items()}
        self._kept = {pid: lives[n] for pid, n in state.kept.items()}
        self._origins = {pid: lives[n] for pid, n in state.origins.items()}
        self._strays = set(state.strays)
        self._changing = dict(state.changing)
        self.ledger.restore(mark_prefix(state.ident), state.ledger)

    # ---- coming and going

    def find(self, name: str, generation: int) -> Process | None:
        """The process of that number, as long as something of it is left."""
        life = self.current.get(name)
        return life if life is not None and life.generation == generation else None

    def add(self, life: Process, *, led_by_shell: bool = False) -> None:
        self.current[life.name] = life
        self._by_pid[life.pid] = life
        self._by_group[life.group] = life
        how = Escalation(led_by_shell, repeat=life.spec.ready is None)  # the guardian does not learn when it is ready
        self.ledger.note(life.pid, EntryKind.LIFE, life.spec.stop, how)
        if life.held:
            self.ledger.note(life.group, EntryKind.HOLDER, life.spec.stop)

    def leader(self, pid: int) -> Process | None:
        """The instance's process whose leader this is, as long as it is not reaped."""
        life = self._by_pid.get(pid)
        return life if life is not None and not life.reaped else None

    def gone(self, pid: int) -> bool:
        """A child has been reaped; whether it belonged to no instance."""
        life = self.leader(pid)
        if life is not None:
            life.reaped = True
            self._ending.append(life)
            return False
        self.ledger.forget(pid)
        if self._holds(pid):
            self._by_group[pid].held = False
            return False
        origin = self._origins.pop(pid, None)
        if origin is not None:
            origin.daemons = without(pid, origin.daemons)
        life = self._adopted.pop(pid, None) or self._kept.pop(pid, None)
        if life is not None:
            life.adopted = without(pid, life.adopted)
            return False
        self._strays.discard(pid)
        self._changing.pop(pid, None)
        return True

    def emptied(self) -> list[Process]:
        """Processes of which nothing is left; they are removed from the table."""
        alone = [life for life in self._ending if not life.adopted]
        for life in alone:
            if life.held:  # only the holder of the terminal is left of the group
                self._kill(life.group, signal.SIGKILL)
        over = [life for life in alone if not group_lives(life)]
        for life in over:
            self._ending.remove(life)
            del self._by_pid[life.pid], self._by_group[life.group]
            self.ledger.forget(life.pid)
            if self.current.get(life.name) is life:
                del self.current[life.name]
        return over

    def ending(self) -> bool:
        """Whether a leader has ended while something of its instance is left."""
        return bool(self._ending)

    # ---- adoption

    def remember(self, life: Process, now: float) -> None:
        """Remember this process's descendants while those in between exist: after the stop nothing may show them."""
        self._descent = self._descent or descent.Descent()
        for one in self._descent.of([life.pid, *life.adopted, *life.daemons], now):
            self._seen[one.pid, one.born] = life

    def forget_seen(self) -> None:
        """Nothing is stopping: what was remembered has been adopted by now, or has ended."""
        self._seen.clear()

    def orphans(self) -> tuple[OrphanView, ...]:
        """Every process whose instance is unknown."""
        found = [descent.look_at(pid) for pid in sorted(self._strays)]
        return tuple(OrphanView(one.pid, clean(one.name)) for one in found if one is not None)

    def _comes_from(self, pid: int) -> Process | None:
        one = descent.look_at(pid) if self._seen else None
        seen = self._seen.get((pid, one.born)) if one is not None else None
        return seen or descent.whose_output(pid, self._by_pid.values())

    def known(self, pid: int) -> bool:
        tables = (self._adopted, self._kept, self._strays)
        return self.leader(pid) is not None or self._holds(pid) or any(pid in table for table in tables)

    def is_own(self, pid: int) -> bool:
        """Whether it comes from something that procman started, as far as is known."""
        return self.known(pid) or group_of(pid) in self._by_group or self._marked(pid) is not None

    def _holds(self, pid: int) -> bool:
        """Whether it is the holder of an instance's terminal."""
        return pid in self._by_group and self._by_group[pid].held

    def is_changing(self, pid: int, now: float) -> bool:
        """Whether a new child may be in an exec, with an empty environment for `EXEC_TAKES` seconds at most, or a zombie."""
        known = group_of(pid) in self._by_group or self._comes_from(pid) is not None
        if known or descent.environment_of(pid) != b"":
            self._changing.pop(pid, None)
            return False
        if pid not in self._changing:
            self._changing[pid] = now
            # ours in any case, should procman be killed before it knows more
            self.ledger.note(pid, EntryKind.STRAY, StopPolicy())
        return now < self._changing[pid] + EXEC_TAKES

    def adopt(self, pid: int) -> tuple[str, int, bool] | None:
        """A new child has appeared: its instance as (name, generation, in its group); None where it belongs to none."""
        try:
            group, session = os.getpgid(pid), os.getsid(pid)
        except ProcessLookupError:  # a zombie already, or gone
            group = session = 0
        life = self._by_group.get(group)
        if life is None:
            marked = self._marked(pid)
            if marked is not None and (
                marked[0] not in self.current or self.current[marked[0]].generation != marked[1]
            ):
                self._add_stray(pid)  # of an earlier life
                return (*marked, False)
            life = self.current[marked[0]] if marked is not None else self._by_group.get(session)
        if life is None:
            life = self._comes_from(pid)
            if life is not None and self.current.get(life.name) is not life:
                self._add_stray(pid)
                return life.name, life.generation, False
        if life is None:
            self._add_stray(pid)
            return None
        self._adopted[pid] = life
        life.adopted |= {pid}
        self.ledger.note(pid, EntryKind.ADOPTED, life.spec.stop)
        return life.name, life.generation, group == life.group

    def is_of(self, pid: int, life: Process) -> bool:
        """Whether a process belongs to this instance: by its group or session, by adoption, by its mark, or by descent."""
        try:
            if pid in (life.pid, *life.adopted) or life.group in (os.getpgid(pid), os.getsid(pid)):
                return True
        except ProcessLookupError:  # gone: nothing is known any more
            return False
        return self._marked(pid) == (life.name, life.generation) or descent.descends(pid, {life.pid, *life.adopted})

    def _add_stray(self, pid: int) -> None:
        self._strays.add(pid)
        self.ledger.note(pid, EntryKind.STRAY, StopPolicy())

    def mark(self, name: str, generation: int) -> str:
        return f"{self.ident}/{name}/{generation}"

    def _marked(self, pid: int) -> tuple[str, int] | None:
        start = mark_prefix(self.ident).encode()
        for variable in (descent.environment_of(pid) or b"").split(b"\0"):
            if variable.startswith(start):
                name, _, generation = variable[len(start) :].decode(errors="replace").partition("/")
                # a child can write anything here, and int() refuses 4,301 digits with a ValueError
                return (name, int(generation)) if generation.isdecimal() and len(generation) < 19 else None
        return None

    def keep(self, pid: int) -> None:
        """The daemon serves its whole type: the instance can end without it."""
        life = self._adopted.pop(pid, None)
        if life is not None:
            life.adopted = without(pid, life.adopted)
            self._kept[pid] = self._origins[pid] = life
            life.daemons |= {pid}

    def inherit(self, life: Process, number: int) -> None:
        """The daemons that serve the type end with this instance, and get its signal."""
        for pid in [pid for pid, from_life in self._kept.items() if from_life.spec.type == life.spec.type]:
            del self._kept[pid]
            self._adopted[pid] = life
            life.adopted |= {pid}
            self._kill(pid, number)
            self._kill(pid, signal.SIGCONT)

    def adopted(self) -> dict[str, tuple[int, ...]]:
        """What `ps` lists below each instance: adopted processes, and daemons that it brought into its type."""
        listed: dict[str, tuple[int, ...]] = {}
        for pid, life in sorted({**self._adopted, **self._kept}.items()):
            listed[life.name] = (*listed.get(life.name, ()), pid)
        return listed

    def complete(self, view: FleetView) -> FleetView:
        """The view with adopted processes, and with orphans."""
        listed = self.adopted()
        rows = tuple(replace(row, adopted=listed[row.name]) if row.name in listed else row for row in view.instances)
        return replace(view, instances=rows, orphans=self.orphans())

    # ---- signals

    def signal(self, life: Process, name: str, target: Target) -> None:
        """Send a signal to a part of an instance. Processes that have ended meanwhile are no error."""
        number = signal_number(name)
        match target:
            case Target.TOP if self.subreaper:
                self._to_leader(life, number)
                for pid in life.adopted:  # also a process that has left the group since (setsid)
                    self._kill(pid, number)
            case Target.LEADER | Target.UNHEARD:
                self._to_leader(life, number)
            case Target.GROUP | Target.TOP:
                self._to_group(life, number)
            case Target.ADOPTED:
                self._to_adopted(life, number)
            case Target.ALL:
                self._to_group(life, number)
                self._to_adopted(life, number)

    def signal_process(self, pid: int, name: str) -> None:
        """Send a signal to one adopted process or orphan."""
        if pid in self._adopted or pid in self._kept or pid in self._strays:
            self._kill(pid, signal_number(name))

    def kill_all(self) -> None:
        """Send KILL to everything in the table."""
        for life in self._by_pid.values():
            self._to_group(life, signal.SIGKILL)
        for pid in [*self._adopted, *self._kept, *self._strays]:
            self._kill(pid, signal.SIGKILL)

    def _to_leader(self, life: Process, number: int) -> None:
        if not life.reaped:
            self._kill(life.pid, number)

    def _to_group(self, life: Process, number: int) -> None:
        if not life.reaped or group_lives(life):
            try:
                os.killpg(life.group, number)
            except ProcessLookupError:  # empty by now
                return
            except PermissionError:
                self._refused(life.pid)

    def _kill(self, pid: int, number: int) -> None:
        """The line that signals a process. Only we can reap this child, so its pid belongs to no other process."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:  # it runs as another user: set-uid, or one that changed its user
            self._refused(pid)

    def _refused(self, pid: int) -> None:
        """The system lets procman signal none of it. Reported once, as what follows would be reported wrongly."""
        if pid not in self._told:
            self._told.add(pid)
            one = descent.look_at(pid)
            self.on_refusal(
                f"cannot signal pid {pid} ({clean(one.name) if one else 'gone'}): it runs as another user (EPERM)"
            )

    def _to_adopted(self, life: Process, number: int) -> None:
        for pid in life.adopted:
            if group_of(pid) != life.group:
                self._kill(pid, number)
