"""Reads all metrics of a type at the same time, each in a thread with a deadline, so that one that hangs holds up no
other.

A thread that misses its deadline is left alone, and its metric fails until the thread returns: there is never more than
one.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from procman.companions.autoscaler.metrics import ReadingError
from procman.core.demand import MetricReading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from procman.companions.autoscaler.fleet import TypeSeen
    from procman.companions.autoscaler.metrics import Gauge

SLACK = 0.5
"""Seconds beyond its own timeout that a gauge may take."""


class MetricReader:
    """Reads one metric. Remembers a thread that did not return."""

    def __init__(self, name: str, gauge: Gauge, timeout: float) -> None:
        self.name = name
        self._gauge = gauge
        self._timeout = timeout
        self._deadline = 0.0
        self._thread: threading.Thread | None = None
        self._result: MetricReading | None = None

    def start(self, seen: TypeSeen, now: float) -> None:
        self._deadline = time.monotonic() + self._timeout + SLACK
        if self._thread is not None and self._thread.is_alive():
            return
        self._result = None
        self._thread = threading.Thread(target=self._read, args=(seen, now), name=self.name, daemon=True)
        self._thread.start()

    def has_ended(self, until: float) -> bool:
        """Whether `finish` would return at once, after a wait until then at most, in seconds of `time.monotonic`."""
        if self._thread is None:
            return True
        self._thread.join(max(0.0, min(self._deadline, until) - time.monotonic()))
        return not self._thread.is_alive() or time.monotonic() >= self._deadline

    def finish(self) -> MetricReading:
        assert self._thread is not None
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        if self._thread.is_alive() or self._result is None:
            return MetricReading(metric=self.name, error=f"no answer within {self._timeout:g} s")
        return self._result

    def _read(self, seen: TypeSeen, now: float) -> None:
        try:
            value = self._gauge.read(seen, now)
        except ReadingError as error:
            self._result = MetricReading(metric=self.name, error=str(error))
            return
        except Exception as error:  # noqa: BLE001  a fault of a library or of ours: this metric fails; its text may contain a secret
            self._result = MetricReading(metric=self.name, error=f"an unexpected {type(error).__name__}")
            return
        if isinstance(value, dict):
            self._result = MetricReading(metric=self.name, values=value)
        else:
            self._result = MetricReading(metric=self.name, value=value)


def start_all(readers: Sequence[MetricReader], seen: TypeSeen, now: float) -> None:
    """Start to read every metric of a type. `now` is the time of `seen`, in monotonic seconds."""
    for reader in readers:
        reader.start(seen, now)


def all_ended(readers: Iterable[MetricReader], patience: float) -> bool:
    """Whether every reading is available or late, after at most this many seconds."""
    until = time.monotonic() + patience
    return all(reader.has_ended(until) for reader in readers)


def finish_all(readers: Sequence[MetricReader]) -> tuple[MetricReading, ...]:
    """The readings, each at its deadline at the latest."""
    return tuple(reader.finish() for reader in readers)
