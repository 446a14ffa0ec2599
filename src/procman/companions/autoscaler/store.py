"""What the autoscaler keeps in files: what people have asked of it, and what it last decided, for those who look.

Both are written whole by rename, so that a reader never sees half, and a kill at any moment leaves the one before. The
commands `autoscale pause`, `resume` and `scale web=2..6` write the first, the companion writes the second.
"""

from __future__ import annotations

import os
import tempfile
from typing import TypeVar

import msgspec
from msgspec import Struct

from procman.core.demand import Bounds, Decided, MetricReading
from procman.errors import ProcmanError

CONTROLS = "autoscale-controls.json"
STATUS = "autoscale-status.json"

HISTORY = 3600.0
"""Seconds of the past that are kept for the chart."""

Stored = TypeVar("Stored", bound=Struct)


class Control(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person has asked for a type."""

    paused: bool = False
    bounds: Bounds | None = None


class Controls(Struct, frozen=True, kw_only=True):
    types: dict[str, Control] = {}


class Point(Struct, frozen=True, array_like=True):
    """One look of the past: seconds since the epoch, the count, and the largest wish (None: not read)."""

    at: float
    count: int
    wish: int | None


class TypeStatus(Struct, frozen=True, kw_only=True):
    """A type as it was at the last look, `at` seconds since the epoch; `ready` instances were ready."""

    at: float
    ready: int
    decided: Decided
    history: tuple[Point, ...] = ()

    @property
    def readings(self) -> tuple[MetricReading, ...]:
        return self.decided.seen.readings


class AutoscaleStatus(Struct, frozen=True, kw_only=True):
    types: dict[str, TypeStatus] = {}


class AutoscaleStore:
    """The folder with both files, of this procman alone. Raises ProcmanError for what cannot be read or written."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def controls(self) -> Controls:
        return self._read(CONTROLS, Controls)

    def save_controls(self, controls: Controls) -> None:
        self._write(CONTROLS, controls)

    def status(self) -> AutoscaleStatus:
        return self._read(STATUS, AutoscaleStatus)

    def save_status(self, status: AutoscaleStatus) -> None:
        self._write(STATUS, status)

    def _read(self, name: str, kind: type[Stored]) -> Stored:
        path = os.path.join(self._folder, name)
        try:
            with open(path, "rb") as file:
                return msgspec.json.decode(file.read(), type=kind)
        except FileNotFoundError:
            return kind()
        except OSError as error:
            raise ProcmanError(f"cannot read {path}: {error.strerror or error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProcmanError(f"cannot read {path}: {error}", "remove it: what it holds is asked for again") from None

    def _write(self, name: str, value: Struct) -> None:
        path = os.path.join(self._folder, name)
        try:
            handle, new = tempfile.mkstemp(prefix=f".{name}.", dir=self._folder)
            try:
                with open(handle, "wb") as file:
                    file.write(msgspec.json.encode(value))
                os.replace(new, path)
            except OSError:
                os.unlink(new)
                raise
        except OSError as error:
            raise ProcmanError(f"cannot write {path}: {error.strerror or error}") from None


def remembered(before: tuple[Point, ...], point: Point) -> tuple[Point, ...]:
    """The last hour with this point."""
    return (*(old for old in before if old.at > point.at - HISTORY), point)
