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

    from procman.companions.autoscaler.metrics.layouts import Ask

Answer = TypeVar("Answer")


class RedisGauge:
    """A source in the redis behind a URL."""

    def __init__(self, source: RedisSource, timeout: float) -> None:
        self._address = Address(source.redis, ("redis", "rediss", "unix"))
        if self._address.parts.scheme != "unix" and not re.fullmatch(r"/?[0-9]*", self._address.parts.path):
            raise ValueError(f"expected the number of a database at the end of {self._address.shown}")
        self._source = source
        self._layout = sources_of(source)[0]
        self._timeout = timeout

    def ask(self, question: Callable[[Ask, RedisSource, float], Answer]) -> Answer:
        """The answer to a question that may take several commands. Raises ReadingError."""
        try:
            client = Redis.from_url(
                self._address.url,
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                retry=Retry(NoBackoff(), 0),
                health_check_interval=0,
            )
            try:
                return question(client.execute_command, self._source, time.time())
            finally:
                client.close()
        except (RedisError, OSError, ValueError) as error:
            text = self._address.scrub(str(error)) or type(error).__name__
            raise ReadingError(f"{self._address.shown}: {text}") from None


class QueueGauge(RedisGauge):
    """How many items wait or are being worked on."""

    def read(self, *_: object) -> float:
        return number(self.ask(LENGTHS[self._layout]))


class LatencyGauge(RedisGauge):
    """How many seconds the oldest item without a worker has waited; 0 if none waits."""

    def read(self, *_: object) -> float:
        oldest = self.ask(AGES[self._layout])
        return 0.0 if oldest is None else number(max(0.0, time.time() - oldest))
