"""`queue` and `latency`: how many items wait in redis, and for how long. How they are stored is in layouts.py.

Owns the connection, which is made for each reading, so that nothing of an earlier one is left after a restart of redis.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from procman.companions.autoscaler.metrics import ReadingError, number
from procman.companions.autoscaler.metrics.layouts import AGES, LENGTHS
from procman.core.addresses import Address
from procman.core.autoscale_settings import RedisSource, sources_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.companions.autoscaler.fleet import TypeSeen
    from procman.companions.autoscaler.metrics import layouts

Answer = TypeVar("Answer")


class QueueGauge:
    """How many items wait or are being worked on."""

    def __init__(self, source: RedisSource, timeout: float) -> None:
        self._source = source
        self._server = RedisServer(source.redis, timeout)
        self._length = LENGTHS[sources_of(source)[0]]

    def read(self, seen: TypeSeen, now: float) -> float:
        del seen, now
        return number(self._server.ask(lambda redis: self._length(redis, self._source, time.time())))


class LatencyGauge:
    """How many seconds the oldest item without a worker has waited; 0 if none waits."""

    def __init__(self, source: RedisSource, timeout: float) -> None:
        self._source = source
        self._server = RedisServer(source.redis, timeout)
        self._oldest = AGES[sources_of(source)[0]]

    def read(self, seen: TypeSeen, now: float) -> float:
        del seen, now
        oldest = self._server.ask(lambda redis: self._oldest(redis, self._source, time.time()))
        return 0.0 if oldest is None else number(max(0.0, time.time() - oldest))


class RedisServer:
    """A redis behind a URL."""

    def __init__(self, url: str, timeout: float) -> None:
        self.address = Address(url, ("redis", "rediss", "unix"))
        if self.address.parts.scheme != "unix" and not re.fullmatch(r"/?[0-9]*", self.address.parts.path):
            raise ValueError(f"expected the number of a database at the end of {self.address.shown}")
        self._timeout = timeout

    def ask(self, question: Callable[[layouts.RedisCommands], Answer]) -> Answer:
        """The answer to a question that may take several commands. Raises ReadingError."""
        try:
            client = Redis.from_url(
                self.address.url,
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                retry=Retry(NoBackoff(), 0),
                health_check_interval=0,
            )
            try:
                return question(client)
            finally:
                client.close()
        except (RedisError, OSError, ValueError) as error:
            text = self.address.scrub(str(error)) or type(error).__name__
            raise ReadingError(f"{self.address.shown}: {text}") from None
