"""The table of what runs: every life's leader, its group, and what was adopted from it.

The only module that sends signals. It signals nothing but pids that are in its table, which are children that nobody
else can have reaped, and groups that still live, whose number the system does not give to anyone else (kill(2)).
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
    """The table as a value. Numbers in `lives` are lives, other numbers are pids."""

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
    """Every process that is procman's: leaders, adopted ones, daemons kept for a type, strays."""

    def __init__(self, ident: str, on_refusal: Callable[[str], None] = lambda _text: None) -> None:
        self.ident = ident
        self.ledger = Ledger(mark_prefix(ident))
        self.subreaper = False
        self.current: dict[str, Process] = {}  # by instance
        self._by_pid: dict[int, Process] = {}  # by leader
        self._by_group: dict[int, Process] = {}  # by group, which is also the session, and the holder of its terminal
        self._ending: list[Process] = []  # the leader is reaped, something may be left
        self.lingering: list[Process] = []  # over, but for a daemon that may still write
        self._adopted: dict[int, Process] = {}
        self._kept: dict[int, Process] = {}
        self._strays: set[int] = set()
        self._changing: dict[int, float] = {}  # since when
        self._origins: dict[int, Process] = {}  # of the daemons that were ever kept
        self._told: set[int] = set()  # whom procman may not signal, and has said so
        self.on_refusal = on_refusal
        self._descent: descent.Descent | None = None
        self._seen: dict[tuple[int, int], Process] = {}  # descendants by pid and birth, as they were seen before a stop

    # ---- handing it on

    def state(self) -> ProcessTableState:
        """What another one can be made of, in the program that this one becomes."""
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
        """Go on with the table that another program had, under its ident; `streams` by descriptor."""
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
        """The life of that number, as long as something of it is left."""
        life = self.current.get(name)
        return life if life is not None and life.generation == generation else None

    def add(self, life: Process, *, led_by_shell: bool = False) -> None:
        self.current[life.name] = life
        self._by_pid[life.pid] = life
        self._by_group[life.group] = life
        # what its own check will have called ready handles its signals; the guardian does not learn when that is
        how = Escalation(led_by_shell, repeat=life.spec.ready is None)
        self.ledger.note(life.pid, EntryKind.LIFE, life.spec.stop, how)
        if life.held:
            self.ledger.note(life.group, EntryKind.HOLDER, life.spec.stop)

    def leader(self, pid: int) -> Process | None:
        """The life whose leader this is, as long as it is not reaped."""
        life = self._by_pid.get(pid)
        return life if life is not None and not life.reaped else None

    def gone(self, pid: int) -> bool:
        """A child has been reaped; whether it belonged to no life."""
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
        """The lives of which nothing is left; they leave the table."""
        alone = [life for life in self._ending if not life.adopted]
        for life in alone:
            if life.held:  # nobody of the group is left but who holds the terminal
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
        """Whether a life is without its leader, and so on its way out."""
        return bool(self._ending)

    # ---- adoption

    def remember(self, life: Process, now: float) -> None:
        """Note who descends from this life, while those between still live: the stop may leave nothing else to tell."""
        self._descent = self._descent or descent.Descent()
        for one in self._descent.of([life.pid, *life.adopted, *life.daemons], now):
            self._seen[one.pid, one.born] = life

    def forget_seen(self) -> None:
        """Nothing is on its way out: what was seen has been adopted by now, or has ended."""
        self._seen.clear()

    def orphans(self) -> tuple[OrphanView, ...]:
        """Every process that cannot be told whose it is."""
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
        """Whether it is of something that procman has started, as far as that can be told."""
        return self.known(pid) or group_of(pid) in self._by_group or self._marked(pid) is not None

    def _holds(self, pid: int) -> bool:
        """Whether it is the holder of a life's terminal."""
        return pid in self._by_group and self._by_group[pid].held

    def is_changing(self, pid: int, now: float) -> bool:
        """Whether a new child may be in the midst of an exec, in which its environment is empty for a moment. One that is
        empty `EXEC_TAKES` seconds later too has none, or is a zombie.
        """
        known = group_of(pid) in self._by_group or self._comes_from(pid) is not None
        if known or descent.environment_of(pid) != b"":
            self._changing.pop(pid, None)
            return False
        if pid not in self._changing:
            self._changing[pid] = now
            # ours in any case, should procman be killed before it is told
            self.ledger.note(pid, EntryKind.STRAY, StopPolicy())
        return now < self._changing[pid] + EXEC_TAKES

    def adopt(self, pid: int) -> tuple[str, int, bool] | None:
        """A new child has appeared: whose it is, as (name, generation, in its group); None where nobody's."""
        try:
            group, session = os.getpgid(pid), os.getsid(pid)
        except ProcessLookupError:  # it is a zombie already, or gone
            group = session = 0
        life = self._by_group.get(group)
        if life is None:
            marked = self._marked(pid)
            if marked is not None and (
                marked[0] not in self.current or self.current[marked[0]].generation != marked[1]
            ):
                self._add_stray(pid)  # of a life that is over
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
        """Whether a process is one of this life's: of its group or session, adopted from it, marked as its, or a descendant."""
        try:
            if pid in (life.pid, *life.adopted) or life.group in (os.getpgid(pid), os.getsid(pid)):
                return True
        except ProcessLookupError:  # gone: nobody can tell any more
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
                # A child can write what it likes here, and int() refuses 4,301 digits with a ValueError.
                return (name, int(generation)) if generation.isdecimal() and len(generation) < 19 else None
        return None

    def keep(self, pid: int) -> None:
        """The daemon serves its whole type: its life can end without it."""
        life = self._adopted.pop(pid, None)
        if life is not None:
            life.adopted = without(pid, life.adopted)
            self._kept[pid] = self._origins[pid] = life
            life.daemons |= {pid}

    def inherit(self, life: Process, number: int) -> None:
        """The daemons kept for the type end with this life, and are told so."""
        for pid in [pid for pid, from_life in self._kept.items() if from_life.spec.type == life.spec.type]:
            del self._kept[pid]
            self._adopted[pid] = life
            life.adopted |= {pid}
            self._kill(pid, number)
            self._kill(pid, signal.SIGCONT)

    def adopted(self) -> dict[str, tuple[int, ...]]:
        """What `ps` lists under each instance: what was adopted from it, and the daemons it brought into its type."""
        listed: dict[str, tuple[int, ...]] = {}
        for pid, life in sorted({**self._adopted, **self._kept}.items()):
            listed[life.name] = (*listed.get(life.name, ()), pid)
        return listed

    def complete(self, view: FleetView) -> FleetView:
        """The view with what is adopted, and what is nobody's."""
        listed = self.adopted()
        rows = tuple(replace(row, adopted=listed[row.name]) if row.name in listed else row for row in view.instances)
        return replace(view, instances=rows, orphans=self.orphans())

    # ---- signals

    def signal(self, life: Process, name: str, target: Target) -> None:
        """Send a signal to a part of a life; what has ended meanwhile does not mind."""
        number = signal_number(name)
        match target:
            case Target.TOP if self.subreaper:
                self._to_leader(life, number)
                for pid in life.adopted:  # also one that has left the group since (setsid)
                    self._kill(pid, number)
            case Target.LEADER:
                self._to_leader(life, number)
            case Target.GROUP | Target.TOP:
                self._to_group(life, number)
            case Target.ADOPTED:
                self._to_adopted(life, number)
            case Target.ALL:
                self._to_group(life, number)
                self._to_adopted(life, number)

    def signal_process(self, pid: int, name: str) -> None:
        """Send a signal to one adopted process or stray."""
        if pid in self._adopted or pid in self._kept or pid in self._strays:
            self._kill(pid, signal_number(name))

    def kill_all(self) -> None:
        """KILL to everything in the table."""
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
            except ProcessLookupError:  # empty meanwhile
                return
            except PermissionError:
                self._refused(life.pid)

    def _kill(self, pid: int, number: int) -> None:
        """The line that signals a process. The pid is a child that only we can reap, so it is nobody else's."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:  # it runs as another user: set-uid, or one who became another
            self._refused(pid)

    def _refused(self, pid: int) -> None:
        """The system lets procman signal none of it: told once, as what follows would be told wrongly."""
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
