"""Ends what a killed procman has left behind. A program of its own, which runs after procman's death.

Started by `/dev/fd/N`, with Python's standard library alone: it must work when the package was upgraded or removed
meanwhile, so it imports nothing of procman, and procman imports nothing of it. What it knows of procman is the table in
a memory file (kernel/ledger.py writes it) and the mark in the environment of what procman started.

It stops everything as procman would (docs/reference/signals.md): the stop signal from the top down, a last call to all,
KILL at the grace. Unlike procman it is not the parent of what it ends: it cannot be told of an end and has no claim on a
pid. So it looks at the process table again and again, knows each process by pid and start, and signals through a pidfd.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

HEADER = struct.Struct("=8si52s")
RECORD = struct.Struct("=iBBHdd8x")
VERSION = b"guard 1"
LIFE, ADOPTED, STRAY = 1, 2, 3
TOP_DOWN, GROUP, LEADER = range(3)
"""The table, as kernel/ledger.py writes it."""

DEFAULT_GRACE = 10.0
LAST_CALL = 2.0
YOUNG = 1.0
REPEAT_EVERY = 1.0
UNKILLABLE_AFTER = 5.0
"""Seconds, as in core/stopping.py: `YOUNG` is the age under which an instance is not ready and may lose a signal."""

PAUSE_FIRST, PAUSE_LAST = 0.02, 0.5
"""Seconds between looks, growing while nothing changes."""

FREEZES = 20
"""Looks at most for what a process has forked while it was being stopped."""

TICKS = os.sysconf("SC_CLK_TCK")
KERNEL_THREAD = 0x00200000
"""PF_KTHREAD of the flags in /proc/PID/stat: it has no environment."""


class Record(NamedTuple):
    """How one process and what belongs to it are ended. `born`: seconds on the boot clock at which it was there."""

    pid: int
    kind: int
    mode: int
    signal: int
    born: float
    grace: float


class Process(NamedTuple):
    """A process that runs. `born` in clock ticks since the boot: with the pid it tells it from any other."""

    pid: int
    parent: int
    group: int
    session: int
    born: int
    flags: int


class Table(NamedTuple):
    """What procman wrote: its pid, how its mark begins, and whom it knew."""

    procman: int
    mark: bytes
    records: list[Record]


def read_table(data: bytes) -> Table:
    """Raises ValueError where the table is of another version."""
    version, procman, mark = HEADER.unpack_from(data)
    if version.rstrip(b"\0") != VERSION:
        raise ValueError(f"its table is of version {version!r}, not {VERSION!r}")
    whole = len(data) - (len(data) - HEADER.size) % RECORD.size
    records = [Record(*fields) for fields in RECORD.iter_unpack(data[HEADER.size : whole])]
    return Table(procman, mark.rstrip(b"\0"), [record for record in records if record.kind])


# ---- who belongs to it


class Member:
    """A process that is to be ended, and what it has been sent."""

    __slots__ = ("asked_at", "called", "frozen", "killed", "process", "record")

    def __init__(self, process: Process, record: Record) -> None:
        self.process = process
        self.record = record
        self.asked_at: float | None = None
        self.called = self.frozen = self.killed = False


class Family:
    """Everything that comes from procman: what the table names, its groups and sessions, descendants, what is marked.

    A process that was seen once stays a member for its life, also when it has lost its parent and left its session.
    """

    def __init__(self, records: list[Record], is_marked: Callable[[Process], bool]) -> None:
        lives = [record.grace for record in records if record.kind == LIFE]
        self._rest = Record(0, STRAY, TOP_DOWN, signal.SIGTERM, 0.0, max(lives, default=DEFAULT_GRACE))
        self._records = [self._rest._replace(pid=r.pid, born=r.born) if r.kind == STRAY else r for r in records]
        self._numbers = {record.pid: record for record in records if record.kind == LIFE}  # groups and sessions
        self._is_marked = is_marked
        self.members: dict[int, Member] = {}

    def look(self, processes: dict[int, Process]) -> None:
        """Bring `members` up to date."""
        before, self.members = self.members, {}
        for pid, member in before.items():
            if pid in processes and processes[pid].born == member.process.born:
                member.process = processes[pid]
                self.members[pid] = member
        for record in self._records:
            process = processes.get(record.pid)
            if process is not None and process.born <= record.born * TICKS:  # else a stranger got the pid later
                self._admit(process, record)
        self._forget_strangers(processes)
        for process in processes.values():
            number = self._numbers.get(process.group) or self._numbers.get(process.session)
            if number is not None:
                self._admit(process, number)
        self._admit_descendants(processes)
        for process in processes.values():
            if process.pid not in self.members and self._is_marked(process):
                self._admit(process, self._rest)
        self._admit_descendants(processes)

    def _forget_strangers(self, processes: dict[int, Process]) -> None:
        """A group or session whose number is now somebody else's pid has ended (fork(2) gives no number in use)."""
        for number in [n for n in self._numbers if n in processes and n not in self.members]:
            del self._numbers[number]

    def _admit(self, process: Process, record: Record) -> None:
        if process.pid in self.members:
            return
        self.members[process.pid] = Member(process, record)
        if process.pid in (process.group, process.session):
            self._numbers.setdefault(process.pid, record)

    def _admit_descendants(self, processes: dict[int, Process]) -> None:
        children: dict[int, list[Process]] = {}
        for process in processes.values():
            children.setdefault(process.parent, []).append(process)
        parents = list(self.members.values())
        while parents:
            parent = parents.pop()
            for child in children.get(parent.process.pid, ()):
                if child.pid not in self.members:
                    self._admit(child, parent.record)
                    parents.append(self.members[child.pid])


# ---- what it is sent


def due(members: dict[int, Member], elapsed: float, died: float) -> list[tuple[Member, int]]:
    """Who is asked to end now, and with which signal; notes that they were asked.

    `elapsed` is seconds since procman's death, `died` when that was, in seconds on the boot clock.
    """
    asked = []
    for member in members.values():
        record = member.record
        is_last_call = record.mode == TOP_DOWN and elapsed >= record.grace - min(LAST_CALL, record.grace / 2)
        if elapsed >= record.grace:
            continue
        if is_last_call and not member.called:
            member.called = True
        elif member.asked_at is None:
            if not _is_to_be_asked(member, members):
                continue
        elif is_last_call or not _may_have_lost_it(member, elapsed, died):
            continue
        member.asked_at = elapsed
        asked.append((member, record.signal))
    return asked


def _is_to_be_asked(member: Member, members: dict[int, Member]) -> bool:
    """For the first time: at once, the one procman would ask alone, or whoever has no parent any more to do it."""
    if member.record.mode == LEADER:
        return member.process.pid == member.record.pid
    return member.record.mode == GROUP or member.process.parent not in members


def _may_have_lost_it(member: Member, elapsed: float, died: float) -> bool:
    """An instance that was not ready is asked each second (Erlang loses a TERM in its first 300 ms)."""
    record = member.record
    is_young = record.pid == member.process.pid and died - record.born < YOUNG
    return is_young and member.asked_at is not None and elapsed >= member.asked_at + REPEAT_EVERY


def next_deadline(members: dict[int, Member], elapsed: float) -> float:
    """When a grace or a last call comes next, as `elapsed`."""
    graces = {member.record.grace for member in members.values()}
    times = graces | {grace - min(LAST_CALL, grace / 2) for grace in graces}
    return min((at for at in times if at > elapsed), default=elapsed + PAUSE_LAST)


class Ending:
    """Ends the family of a table. `run()` returns when nothing is left, or KILL has had no effect for 5 s."""

    def __init__(self, table: Table) -> None:
        self._family = Family(table.records, Marks(table.mark))
        self._began = time.monotonic()
        self._died = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._killed_at = 0.0
        self.seen: set[tuple[int, int]] = set()
        self.killed: set[tuple[int, int]] = set()

    @property
    def left(self) -> list[int]:
        return sorted(self._family.members)

    def run(self) -> None:
        pause, empty_looks = PAUSE_FIRST, 0
        while empty_looks < 2:  # a process in the midst of an exec has no environment, and so no mark, for a moment
            if self._round():
                pause = PAUSE_FIRST
            members, elapsed = self._family.members, self._elapsed()
            if members and all(m.killed for m in members.values()) and elapsed > self._killed_at + UNKILLABLE_AFTER:
                return
            empty_looks = 0 if members else empty_looks + 1
            time.sleep(max(0.0, min(pause, next_deadline(members, elapsed) - elapsed)))
            pause = min(pause * 1.5, PAUSE_LAST)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _round(self) -> bool:
        """Look, and send what is due; whether anything has changed."""
        before = set(self._family.members)
        self._look()
        asked = due(self._family.members, self._elapsed(), self._died)
        for member, number in asked:
            send(member.process, number)
            send(member.process, signal.SIGCONT)  # so that one that was suspended can act on it
        return self._kill_late() or bool(asked) or before != set(self._family.members)

    def _look(self) -> None:
        self._family.look(processes())
        self.seen |= {(m.process.pid, m.process.born) for m in self._family.members.values()}

    def _kill_late(self) -> bool:
        """KILL to whoever is beyond its grace; whether there was anyone.

        All are stopped first, until a look finds nobody new: what forks meanwhile would be an orphan of nobody.
        """
        for _ in range(FREEZES):
            fresh = [member for member in self._late() if not member.frozen]
            for member in fresh:
                member.frozen = True
                send(member.process, signal.SIGSTOP)
            if not fresh:
                break
            self._look()
        late = self._late()
        for member in late:
            member.killed = True
            self.killed.add((member.process.pid, member.process.born))
            send(member.process, signal.SIGKILL)
        if late:
            self._killed_at = self._elapsed()
        return bool(late)

    def _late(self) -> list[Member]:
        elapsed = self._elapsed()
        return [m for m in self._family.members.values() if elapsed >= m.record.grace and not m.killed]


# ---- the system


class Marks:
    """Whether a process bears procman's mark in its environment. What was read once is not read again."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._unmarked: set[tuple[int, int]] = set()

    def __call__(self, process: Process) -> bool:
        key = (process.pid, process.born)
        if process.flags & KERNEL_THREAD or key in self._unmarked:
            return False
        try:
            with open(f"/proc/{process.pid}/environ", "rb") as file:
                environment = file.read()
        except OSError:  # it has ended, or is another user's
            return False
        if environment.startswith(self._mark) or b"\0" + self._mark in environment:
            return True
        if environment:  # it is empty in the midst of an exec
            self._unmarked.add(key)
        return False


def processes() -> dict[int, Process]:
    """Every process that runs but ourselves and init, by pid. One that waits to be reaped does not run."""
    spared = (1, os.getpid())
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    found = (look_at(pid) for pid in pids if pid not in spared)
    return {process.pid: process for process in found if process is not None}


def look_at(pid: int) -> Process | None:
    """As /proc/PID/stat tells (proc_pid_stat(5)); None where it does not run any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    state, parent, group, session, flags, threads, born = (fields[n] for n in (0, 1, 2, 3, 6, 17, 19))
    if state in b"ZX" and int(threads) <= 1:  # only its first thread has ended, where there are more
        return None
    return Process(pid, int(parent), int(group), int(session), int(born), int(flags))


def send(process: Process, number: int) -> None:
    """Send a signal to this very process, and to no other that has got its pid."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except OSError:  # before Linux 5.3, forbidden by a seccomp filter, or no descriptor left
        pidfd = -1
    try:
        now = look_at(process.pid)
        if now is None or now.born != process.born:
            return
        if pidfd < 0:
            os.kill(process.pid, number)
        else:
            signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):  # it has ended; or it is a set-uid program and not ours to signal
        return
    finally:
        if pidfd >= 0:
            os.close(pidfd)


# ---- the program


def read_all(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def report(ending: Ending, procman: int) -> str:
    """What a person is told; empty where there was nothing to end."""
    if not ending.seen:
        return ""
    many = "1 process" if len(ending.seen) == 1 else f"{len(ending.seen)} processes"
    by_kill = f", {len(ending.killed)} by KILL" if ending.killed else ""
    text = f"procman (pid {procman}) was killed; ended what it left: {many}{by_kill}"
    if ending.left:
        text += f"; cannot end pid {', '.join(map(str, ending.left))}: still there after KILL"
    return text


def tell(text: str) -> None:
    """One line on standard error. Nobody may read it, or it may be full: that must not hold the lock."""
    ready = select.poll()
    ready.register(2, select.POLLOUT)
    if text and ready.poll(0):
        try:
            os.write(2, f"procman: {text}\n".encode())
        except OSError:  # the terminal, or the reader, has gone
            return


def main() -> int:
    """`guardian.py FD …`: FD is the table's; what follows is for people who look at the list of processes."""
    try:
        table = read_table(read_all(int(sys.argv[1])))
    except ValueError as error:
        tell(f"cannot end what a killed procman left behind: {error}")
        return 1
    ending = Ending(table)
    ending.run()
    tell(report(ending, table.procman))
    return 1 if ending.left else 0


if __name__ == "__main__":
    sys.exit(main())
