"""Ends what a killed procman has left behind. A program of its own, which runs after procman's death.

It is started as `/dev/fd/N`, and only uses Python's standard library: it must work when the package was upgraded or
removed meanwhile, so it imports nothing of procman, and procman imports nothing of it. It knows of procman the table in
a memory file, which process/ledger.py writes, and the mark in the environment of processes that procman started. It
stops everything as procman would (docs/reference/signals.md). But it is not their parent: it scans all processes
repeatedly, identifies each by pid and start time, and signals through a pidfd.
"""

from __future__ import annotations

import math
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

HEADER = struct.Struct("=8si52s")
RECORD = struct.Struct("=iBBHdd??6x")
VERSION = b"guard 2"
LEADER, ORPHAN, HOLDER = 1, 3, 4
TOP_DOWN, GROUP = 0, 1
"""The table, as process/ledger.py writes it. Kind 2 are adopted processes, mode 2 is that of the leader."""

DEFAULT_GRACE, GROUP_TERM_LEAD, UNKILLABLE_AFTER = 10.0, 2.0, 5.0
YOUNG, REPEAT_AFTER = 2.0, 1.0
"""Seconds, as in core/stopping.py: `YOUNG` is the age under which a process may lose a signal."""

PAUSE_FIRST, PAUSE_LAST = 0.02, 0.5
"""Seconds between scans, growing while nothing changes."""

EMPTY_SCANS, FREEZES = 3, 20
"""Empty scans before it ends, some 50 ms, as an exec hides a mark; and most scans for forks during the stop."""

TICKS = os.sysconf("SC_CLK_TCK")
KERNEL_THREAD = 0x00200000
"""PF_KTHREAD of the flags in /proc/PID/stat: a thread of the system's kernel, which has no environment."""


class Record(NamedTuple):
    """How one process and its group are ended. `noted_at`: seconds on the boot clock at which it existed."""

    pid: int
    kind: int
    mode: int
    signal: int
    noted_at: float
    grace: float
    shell: bool = False  # it passes no signal on
    repeat: bool = False  # if it is young, as it may have lost its first signal


class Listed(NamedTuple):
    """A process that runs. `start_ticks`, since the boot, together with the pid identifies it."""

    pid: int
    parent: int
    group: int
    session: int
    start_ticks: int
    flags: int


class Table(NamedTuple):
    """The content of the table: procman's pid, the start of its mark, and its processes."""

    procman: int
    mark: bytes
    records: list[Record]


def read_table(data: bytes) -> Table:
    """Raises ValueError for an invalid table, or one of another version."""
    if len(data) < HEADER.size:
        raise ValueError(f"its table has {len(data)} bytes")
    version, procman, mark = HEADER.unpack_from(data)
    if version.rstrip(b"\0") != VERSION:
        raise ValueError(f"its table is of version {version!r}, not {VERSION!r}")
    whole = len(data) - (len(data) - HEADER.size) % RECORD.size
    records = [Record(*fields) for fields in RECORD.iter_unpack(data[HEADER.size : whole])]
    return Table(procman, mark.rstrip(b"\0"), [record for record in records if record.kind])


# ---- who belongs to it


class Member:
    """A process that is to be ended, and the signals sent to it."""

    __slots__ = ("asked_at", "frozen", "is_leader", "killed", "process", "record")

    def __init__(self, process: Listed, record: Record) -> None:
        self.process = process
        self.record = record
        self.is_leader = record.kind == LEADER and record.pid == process.pid
        self.asked_at: float | None = None
        self.frozen = self.killed = False


class Family:
    """Everything that comes from procman: processes in the table, their groups and sessions, descendants, marked
    processes.

    A process that was seen once stays a member, also when it has lost its parent and left its session.
    """

    def __init__(self, records: list[Record], is_marked: Callable[[Listed], bool]) -> None:
        graces = [r.grace for r in records if r.kind == LEADER] or [r.grace for r in records]
        self._rest = Record(0, ORPHAN, TOP_DOWN, signal.SIGTERM, 0.0, max(graces, default=DEFAULT_GRACE))
        rest = self._rest
        self._records = [rest._replace(pid=r.pid, noted_at=r.noted_at) if r.kind == ORPHAN else r for r in records]
        self._numbers = {r.pid: r for r in records if r.kind in (LEADER, HOLDER)}  # of groups and sessions
        self.holders: list[Listed] = []  # of terminals: they do nothing, and are ended last
        self._is_marked = is_marked
        self.members: dict[int, Member] = {}

    def scan(self, processes: dict[int, Listed]) -> None:
        """Update `members` by a scan."""
        self.holders = [processes.pop(r.pid) for r in self._records if r.kind == HOLDER and _is_of(r, processes)]
        before, self.members = self.members, {}
        for pid, member in before.items():
            if pid in processes and processes[pid].start_ticks == member.process.start_ticks:
                member.process = processes[pid]
                self.members[pid] = member
        for record in self._records:
            if _is_of(record, processes):
                self._admit(processes[record.pid], record)
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

    def _forget_strangers(self, processes: dict[int, Listed]) -> None:
        """A group or session whose number is a stranger's pid by now has ended (fork(2) reuses no number in use)."""
        for number in [n for n in self._numbers if n in processes and n not in self.members]:
            del self._numbers[number]

    def _admit(self, process: Listed, record: Record) -> None:
        if process.pid in self.members:
            return
        self.members[process.pid] = Member(process, record)
        if process.pid in (process.group, process.session):
            self._numbers.setdefault(process.pid, record)

    def _admit_descendants(self, processes: dict[int, Listed]) -> None:
        children: dict[int, list[Listed]] = {}
        for process in processes.values():
            children.setdefault(process.parent, []).append(process)
        parents = list(self.members.values())
        while parents:
            parent = parents.pop()
            for child in children.get(parent.process.pid, ()):
                if child.pid not in self.members:
                    self._admit(child, parent.record)
                    parents.append(self.members[child.pid])


# a younger process is a stranger that got the pid later
def _is_of(record: Record, processes: dict[int, Listed]) -> bool:
    return record.pid in processes and processes[record.pid].start_ticks <= record.noted_at * TICKS


# ---- what it is sent


def call_at(record: Record) -> float:
    """When the whole group gets the stop signal, whoever got it first: seconds since procman's death."""
    if record.mode == TOP_DOWN and record.shell:  # a second TERM makes Celery drop the work that it is finishing
        return record.grace - min(GROUP_TERM_LEAD, record.grace / 2)
    return 0.0 if record.mode == GROUP else math.inf


class Asking:
    """Which process gets the stop signal when. `died`: the time of procman's death, in seconds on the boot clock."""

    def __init__(self, died: float) -> None:
        self._died = died
        self._called: set[Record] = set()

    def due(self, members: dict[int, Member], elapsed: float) -> list[Member]:
        """The processes to signal now, which are then marked as signalled. `elapsed` is seconds since procman's death.

        The second signal only goes to processes that exist by then, not to later ones, which may clean up.
        """
        records = {m.record for m in members.values() if m.is_leader or m.record.mode == GROUP}
        calls = {record for record in records - self._called if elapsed >= call_at(record)}
        self._called |= calls
        asked = [
            member
            for member in members.values()
            if elapsed < member.record.grace
            and (member.record in calls or self._is_first(member, members) or self._is_repeat(member, elapsed))
        ]
        for member in asked:
            member.asked_at = elapsed
        return asked

    def _is_first(self, member: Member, members: dict[int, Member]) -> bool:
        """The leader, and in top-down mode each process without a living parent that could pass the signal on."""
        if member.asked_at is not None:
            return False
        if member.record.mode == TOP_DOWN:
            return member.process.parent not in members
        return member.is_leader

    def _is_repeat(self, member: Member, elapsed: float) -> bool:
        """A young process gets the signal again after a second (Erlang loses a TERM in its first 300 ms)."""
        if member.asked_at is None or not member.is_leader or not member.record.repeat or member.record in self._called:
            return False
        once = member.asked_at < REPEAT_AFTER  # it was signalled in the first scan, and not since
        return once and self._died - member.record.noted_at < YOUNG and elapsed >= member.asked_at + REPEAT_AFTER


def next_deadline(members: dict[int, Member], elapsed: float) -> float:
    """When the next grace ends or the next signal is due, as `elapsed`; infinity where there is none."""
    times = {at for member in members.values() for at in (member.record.grace, call_at(member.record))}
    return min((at for at in times if at > elapsed), default=math.inf)


class GuardedStop:
    """Ends the family of a table. `run()` returns when nothing is left, or KILL has had no effect for 5 s."""

    def __init__(self, table: Table) -> None:
        self.family = Family(table.records, lambda process: is_marked(process, table.mark))
        self._began = time.monotonic()
        self._asking = Asking(time.clock_gettime(time.CLOCK_BOOTTIME))
        self._killed_at = 0.0
        self.seen: set[tuple[int, int]] = set()
        self.killed: set[tuple[int, int]] = set()

    @property
    def left(self) -> list[int]:
        return sorted(self.family.members)

    def run(self) -> None:
        pause, empty_scans = PAUSE_FIRST, 0
        while empty_scans < EMPTY_SCANS:
            used = time.process_time()
            if self._round():
                pause = PAUSE_FIRST
            members, elapsed = self.family.members, self._elapsed()
            if members and all(m.killed for m in members.values()) and elapsed > self._killed_at + UNKILLABLE_AFTER:
                return
            empty_scans = 0 if members else empty_scans + 1
            long_enough = max(pause, time.process_time() - used)  # at most half a processor, for many processes too
            time.sleep(max(0.0, min(long_enough, next_deadline(members, elapsed) - elapsed)))
            pause = min(pause * 1.5, PAUSE_LAST)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _round(self) -> bool:
        """Scan, and send the signals that are due; returns whether anything has changed."""
        before = set(self.family.members)
        self._scan()
        asked = self._asking.due(self.family.members, self._elapsed())
        for member in asked:
            send(member.process, member.record.signal)
            send(member.process, signal.SIGCONT)  # so that a suspended one can act on it
        return self._kill_late() or bool(asked) or before != set(self.family.members)

    def _scan(self) -> None:
        self.family.scan(processes())
        self.seen |= {(m.process.pid, m.process.start_ticks) for m in self.family.members.values()}

    def _kill_late(self) -> bool:
        """Kill the processes whose grace is over; returns whether there were any.

        All are stopped first, until a scan finds no new one: otherwise a process forked meanwhile would be left over.
        """
        for _ in range(FREEZES):
            fresh = [member for member in self._late() if not member.frozen]
            for member in fresh:
                member.frozen = True
                send(member.process, signal.SIGSTOP)
            if not fresh:
                break
            self._scan()
        late = self._late()
        for member in late:
            member.killed = True
            self.killed.add((member.process.pid, member.process.start_ticks))
            send(member.process, signal.SIGKILL)
        if late:
            self._killed_at = self._elapsed()
        return bool(late)

    def _late(self) -> list[Member]:
        elapsed = self._elapsed()
        return [m for m in self.family.members.values() if elapsed >= m.record.grace and not m.killed]


# ---- the system


def is_marked(process: Listed, mark: bytes) -> bool:
    """Whether it has procman's mark. Read again each time: between fork and exec its environment is another's."""
    if process.flags & KERNEL_THREAD:
        return False
    try:
        with open(f"/proc/{process.pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:  # it has ended, or belongs to another user
        return False
    return environment.startswith(mark) or b"\0" + mark in environment


def processes() -> dict[int, Listed]:
    """Every running process except this one and init, by pid. A zombie does not run."""
    spared = (1, os.getpid())
    pids = sorted((int(name) for name in os.listdir("/proc") if name.isdecimal()), reverse=True)
    found = (read_process(pid) for pid in pids if pid not in spared)  # the newest first, as they may end soonest
    return {process.pid: process for process in found if process is not None}


def read_process(pid: int) -> Listed | None:
    """The process as in /proc/PID/stat (proc_pid_stat(5)); None if it does not run any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    state, parent, group, session, flags, threads, start_ticks = (fields[n] for n in (0, 1, 2, 3, 6, 17, 19))
    if state in b"ZX" and int(threads) <= 1:  # only its first thread has ended, and there are others
        return None
    return Listed(pid, int(parent), int(group), int(session), int(start_ticks), int(flags))


def send(process: Listed, number: int) -> None:
    """Send a signal to this very process, and to no later one with its pid."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except OSError:  # before Linux 5.3, forbidden by a seccomp filter, or no descriptor left
        pidfd = -1
    try:
        now = read_process(process.pid)
        if now is None or now.start_ticks != process.start_ticks:
            return
        if pidfd < 0:
            os.kill(process.pid, number)
        else:
            signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):  # it has ended; or it is a set-uid program that we may not signal
        return
    finally:
        if pidfd >= 0:
            os.close(pidfd)


def report(ending: GuardedStop, procman: int) -> str:
    """The message for people; empty if there was nothing to end."""
    if not ending.seen:
        return ""
    many = "1 process" if len(ending.seen) == 1 else f"{len(ending.seen)} processes"
    by_kill = f", {len(ending.killed)} by KILL" if ending.killed else ""
    text = f"procman (pid {procman}) has gone; ended what it left: {many}{by_kill}"
    if ending.left:
        text += f"; cannot end pid {', '.join(map(str, ending.left))}: still there after KILL"
    return text


def log(text: str) -> None:
    """Write a line to standard error, which may be closed or full: that must not delay the release of the lock."""
    if text and select.select([], [2], [], 0)[1]:
        try:
            os.write(2, f"procman: {text}\n".encode())
        except OSError:  # the terminal, or the reader, is gone
            return


def main() -> int:
    """`guardian.py FD …`: FD is the table's; the other words are for people who read the list of processes."""
    fd = int(sys.argv[1])
    try:
        table = read_table(os.pread(fd, os.fstat(fd).st_size, 0))
    except ValueError as error:
        log(f"cannot end what a killed procman left behind: {error}")
        return 1
    ending = GuardedStop(table)
    ending.run()
    for holder in ending.family.holders:
        send(holder, signal.SIGKILL)
    log(report(ending, table.procman))
    return 1 if ending.left else 0


if __name__ == "__main__":
    sys.exit(main())
