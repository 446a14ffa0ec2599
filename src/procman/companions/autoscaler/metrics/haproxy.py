"""`haproxy`: waiting requests, sessions, or new sessions per second of a backend of HAProxy."""

from __future__ import annotations

from typing import assert_never

from procman.companions.autoscaler.metrics import ReadingError, number
from procman.companions.balancer.answers import HaproxyError
from procman.companions.balancer.runtime import Runtime
from procman.core.autoscale_settings import HaproxyNumber, HaproxySource


class HaproxyGauge:
    def __init__(self, source: HaproxySource, timeout: float) -> None:
        self._source = source
        self._runtime = Runtime(source.socket, timeout)

    def read(self, *_: object) -> float:
        try:
            load = self._runtime.load(self._source.backend)
        except HaproxyError as error:
            raise ReadingError(error.message) from None
        match self._source.of:
            case HaproxyNumber.QUEUE:
                return number(load.queue)
            case HaproxyNumber.SESSIONS:
                return number(load.sessions)
            case HaproxyNumber.RATE:
                return number(load.rate)
            case _:
                assert_never(self._source.of)
