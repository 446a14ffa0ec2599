"""`haproxy`: waiting requests, sessions, or new sessions per second of a backend of HAProxy."""

from __future__ import annotations

from procman.companions.autoscaler.metrics import ReadingError, number
from procman.companions.balancer.answers import HaproxyError
from procman.companions.balancer.runtime import Runtime
from procman.core.autoscale_settings import HaproxyNumber, HaproxySource

COLUMNS = {HaproxyNumber.QUEUE: "qcur", HaproxyNumber.SESSIONS: "scur", HaproxyNumber.RATE: "rate"}
"""The columns of `show stat`; the rate is that of the last second."""


class HaproxyGauge:
    def __init__(self, source: HaproxySource, timeout: float) -> None:
        self._source = source
        self._runtime = Runtime(source.socket, timeout)

    def read(self, *_: object) -> float:
        try:
            return number(self._runtime.load(self._source.backend, COLUMNS[self._source.of]))
        except HaproxyError as error:
            raise ReadingError(error.message) from None
