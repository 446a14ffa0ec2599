"""The files of the autoscaler: what people have asked of it, and its last decisions, to be shown.

Both are replaced by rename, so that a reader never sees half a file, and a kill at any moment leaves the last one. The
commands `autoscale pause`, `resume` and `scale web=2..6` write the first, the companion writes the second.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from procman.companions.files import write_whole
from procman.core.demand import Bounds, Decided, MetricReading
from procman.errors import ProcmanError

CONTROLS = "autoscale-controls.json"
STATUS = "autoscale-status.json"
DECISIONS = "autoscale-decisions.jsonl"

KEPT = 1000
"""Decisions kept for a replay; up to twice as many are in the file."""

HISTORY = 3600.0
"""Seconds of the past kept for the chart."""


class Control(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person has asked for a type."""

    paused: bool = False
    bounds: Bounds | None = None


class Controls(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"socket_id": "life"}):
    """Requests by type. `socket_id` identifies the procman that they were made to: they do not apply to another one."""

    types: dict[str, Control] = {}
    socket_id: str = ""


class Point(Struct, frozen=True, array_like=True):
    """One poll in the past: seconds since the epoch, the count, and the largest proposal (None: not read)."""

    at: float
    count: int
    proposal: int | None


class TypeStatus(Struct, frozen=True, kw_only=True):
    """A type at the last poll, `at` seconds since the epoch; `ready` instances were ready."""

    at: float
    ready: int
    decided: Decided
    history: tuple[Point, ...] = ()

    @property
    def readings(self) -> tuple[MetricReading, ...]:
        return self.decided.seen.readings


class RecordedDecision(Struct, frozen=True):
    """A decision, and when it was made, in seconds since the epoch."""

    at: float
    decided: Decided


class AutoscaleStatus(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"socket_id": "life"}):
    """The status by type; `socket_id` as in `Controls`."""

    types: dict[str, TypeStatus] = {}
    socket_id: str = ""


Stored = TypeVar("Stored", Controls, AutoscaleStatus)


class AutoscaleStore:
    """The files of one procman, in a folder that only its user can read. Raises ProcmanError for what cannot be read or
    written.

    `prefix` starts their names; `socket_id` identifies the procman that runs now.
    """

    def __init__(self, folder: str, prefix: str = "", socket_id: str = "") -> None:
        self._folder = folder
        self._prefix = prefix
        self._socket_id = socket_id
        self._lines = -1  # how many decisions are in the file; not counted yet

    @classmethod
    def beside(cls, socket: str) -> Self:
        """The store of the procman behind this socket, which is created at its start and kept over its upgrades."""
        try:
            made = os.stat(socket)
        except OSError as error:
            raise ProcmanError(f"cannot find {socket}: {error.strerror or error}") from None
        folder, name = os.path.split(os.path.abspath(socket))
        return cls(folder, name.removesuffix(".sock") + ".", f"{made.st_ino}-{made.st_mtime_ns}")

    def controls(self) -> Controls:
        return self._read(CONTROLS, Controls)

    def save_controls(self, controls: Controls) -> None:
        self._write(CONTROLS, controls)

    def stamp(self) -> int:
        """A number that changes with what is asked."""
        try:
            return os.stat(self._path(CONTROLS)).st_mtime_ns
        except OSError:  # nothing was ever asked
            return 0

    def control(self, type_name: str, **values: bool | Bounds | None) -> None:
        """Change what a person has asked for a type. If two commands run at the same time, the second waits, and
        changes what the first has written.
        """
        path = self._path(f"{CONTROLS}.lock")
        with _writing(path), open(path, "ab", opener=_private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            controls = self.controls()
            changed = replace(controls.types.get(type_name, Control()), **values)
            self.save_controls(replace(controls, types={**controls.types, type_name: changed}))

    def status(self) -> AutoscaleStatus:
        return self._read(STATUS, AutoscaleStatus)

    def save_status(self, status: AutoscaleStatus) -> None:
        self._write(STATUS, status)

    def add_decision(self, at: float, decided: Decided) -> None:
        """Store a decision with its inputs, for a replay. `at`: seconds since the epoch."""
        path = self._path(DECISIONS)
        with _writing(path):
            if self._lines < 0 or self._lines >= 2 * KEPT:
                self._lines = _shortened(path)
            with open(path, "ab", opener=_private) as file:
                file.write(msgspec.json.encode(RecordedDecision(at, decided)) + b"\n")
        self._lines += 1

    def decisions(self) -> list[tuple[float, Decided]]:
        """The stored decisions, the oldest first. A line that a kill has cut is ignored."""
        path = self._path(DECISIONS)
        with _reading(path, "remove it: it is of another version"):
            kept = [msgspec.json.decode(line, type=RecordedDecision) for line in _whole_lines(path)]
        return [(one.at, one.decided) for one in kept]

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, self._prefix + name)

    def _read(self, name: str, kind: type[Stored]) -> Stored:
        """What the file holds of the procman that runs now."""
        path = self._path(name)
        hint = "remove it: readings are made again; set a pause or bounds again"
        with _reading(path, hint), suppress(FileNotFoundError), open(path, "rb") as file:
            kept = msgspec.json.decode(file.read(), type=kind)
            if kept.socket_id == self._socket_id:
                return kept
        return kind(socket_id=self._socket_id)

    def _write(self, name: str, value: Stored) -> None:
        write_whole(self._path(name), msgspec.json.encode(replace(value, socket_id=self._socket_id)), private=True)


@contextmanager
def _reading(path: str, otherwise: str) -> Iterator[None]:
    """Raises ProcmanError if the file cannot be read; `otherwise` is the hint where it holds something else."""
    try:
        yield
    except OSError as error:
        raise ProcmanError(f"cannot read {path}: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProcmanError(f"cannot read {path}: {error}", otherwise) from None


@contextmanager
def _writing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ProcmanError(f"cannot write {path}: {error.strerror or error}") from None


def _whole_lines(path: str) -> list[bytes]:
    """The lines of the file without one that a kill has cut; none if there is no file."""
    with suppress(FileNotFoundError), open(path, "rb") as file:
        return [line for line in file if line.endswith(b"\n")]
    return []


def _shortened(path: str) -> int:
    """Keep only the last decisions; returns how many those are."""
    kept = _whole_lines(path)[-KEPT:]
    write_whole(path, b"".join(kept), private=True)
    return len(kept)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def remembered(before: tuple[Point, ...], point: Point) -> tuple[Point, ...]:
    """The points of the last hour, with this one added. Points in the future, left by a clock that was set back, are
    dropped.
    """
    return (*(old for old in before if point.at - HISTORY < old.at <= point.at), point)
