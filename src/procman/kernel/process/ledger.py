"""The table for the guardian: the processes that it would have to end, in a memory file that outlives procman.

Owns the form of the file, which the guardian reads (survive/guardian.py); does not know when anything starts or ends.
An entry costs one pwrite, and nothing before there is a file. Records have a fixed size, and none lies across two
pages, so that a procman that is killed during a write leaves no half table.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from enum import IntEnum

from msgspec import Struct
from msgspec.structs import astuple

from procman.core.spec import StopMode, StopPolicy
from procman.text.signals import signal_number

HEADER = struct.Struct("=8si52s")
"""Version, procman's pid, and the start of the mark in the environment of processes that it started."""

RECORD = struct.Struct("=iBBHdd??6x")
"""pid, kind, mode, number of the stop signal, boot clock in seconds, grace in seconds, whether it is a shell, and
whether its first signal is repeated while it is young. A record of zeros is free.
"""

VERSION = b"guard 2"

CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Without such a clock (macOS) there is no guardian that would read it."""

MODES = {StopMode.TOP_DOWN: 0, StopMode.GROUP: 1, StopMode.LEADER: 2}


class EntryKind(IntEnum):
    """What a record is about. The pid of a leader or a holder is also its group and session; an orphan has the longest
    grace.
    """

    LEADER = 1
    ADOPTED = 2
    ORPHAN = 3
    HOLDER = 4


class Noted(Struct, frozen=True, rename={"noted_at": "born"}):
    """One record, with the numbers in the file. An older program recorded neither `shell` nor `repeat`, and acted as if
    both were true.
    """

    pid: int
    kind: int
    mode: int
    signal: int
    noted_at: float
    grace: float
    shell: bool = True
    repeat: bool = True


class Ledger:
    """The records by pid, and the file once there is one.

    A record has the time at which it was made, when its process existed: a younger process with that pid is a stranger
    (field 22 of proc_pid_stat(5), on the same clock).
    """

    def __init__(self, mark: str) -> None:
        self.fd: int | None = None
        self.on_trouble: Callable[[str], None] = lambda _text: None
        self._data = bytearray(HEADER.pack(VERSION, os.getpid(), mark.encode()))
        self._slots: dict[int, int] = {}  # offset by pid
        self._free: list[int] = []
        self._has_reported = False
        self._longest = 0.0  # the longest grace of a leader so far: the one of an orphan

    def state(self) -> tuple[Noted, ...]:
        """The state from which it can be continued."""
        return tuple(Noted(*RECORD.unpack_from(self._data, at)) for at in self._slots.values())

    def restore(self, mark: str, records: tuple[Noted, ...]) -> None:
        """Continue with these records, before there is a file."""
        self._data[: HEADER.size] = HEADER.pack(VERSION, os.getpid(), mark.encode())
        for r in records:
            self._longest = max(self._longest, r.grace)
            self._slots[r.pid] = len(self._data)
            self._data += RECORD.pack(*astuple(r))

    def open(self) -> int:
        """Create the file with all records so far. From now on it is kept up to date. Raises OSError."""
        if self.fd is None:
            fd = os.memfd_create("ledger", os.MFD_CLOEXEC)
            try:
                os.pwrite(fd, self._data, 0)
            except OSError:
                os.close(fd)
                raise
            self.fd = fd
        return self.fd

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def note(self, pid: int, kind: EntryKind, stop: StopPolicy, *, shell: bool = False, repeat: bool = False) -> None:
        """Record a process that procman has started or adopted, and how it is stopped (core/stopping.py)."""
        at = self._slots.get(pid)
        if at is None:
            at = self._slots[pid] = self._free.pop() if self._free else len(self._data)
        noted_at = time.clock_gettime(CLOCK)
        if kind is EntryKind.LEADER:
            self._longest = max(self._longest, stop.grace)
        grace = (self._longest if kind is EntryKind.ORPHAN else 0.0) or stop.grace
        policy = MODES[stop.mode], signal_number(stop.signal), noted_at, grace
        self._write(at, RECORD.pack(pid, kind, *policy, shell, repeat))

    def forget(self, pid: int) -> None:
        """It has ended and is reaped."""
        at = self._slots.pop(pid, None)
        if at is not None:
            self._free.append(at)
            self._write(at, bytes(RECORD.size))

    def _write(self, at: int, record: bytes) -> None:
        self._data[at : at + len(record)] = record
        if self.fd is not None:
            try:
                os.pwrite(self.fd, record, at)
            except OSError as error:  # such as EFBIG: `ulimit -f` also applies to a memory file
                self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._has_reported:
            self._has_reported = True
            self.on_trouble(
                f"cannot write the guardian's table: {error.strerror}; if procman is killed, it may miss some"
            )
