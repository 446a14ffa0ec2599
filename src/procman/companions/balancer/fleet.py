"""What the balancer sees of procman and does with it: which instances are ready, which are about to stop, and holding
their stop.

It has two connections. One is for polls, holds and releases; its holds end with it. The other receives every change, so
that nothing is asked while nothing happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from procman.companions.program import TRIES, report
from procman.control.client import Client, ClosedError
from procman.errors import ProcmanError
from procman.text.words import type_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procman.control.streaming import EventStream
    from procman.core.view import FleetView, InstanceView

WHO = "@balancer"

BURST = 0.01
"""Seconds without a change after which a burst of changes is over."""

MOST = 100
"""Most changes of a burst, so that an endless one is acted on, too."""


class BalancedInstance(Struct, frozen=True, kw_only=True):
    """An instance with a port. `draining`: its stop is announced and waits for us; otherwise it is ready and healthy."""

    name: str
    type: str
    generation: int
    port: int
    host: str = "127.0.0.1"
    ready: bool
    draining: bool = False

    @property
    def serves(self) -> bool:
        """Whether it may get new requests."""
        return self.ready and not self.draining


class BalancedFleet:
    """Each method raises ProcmanError where procman cannot be reached, and NotRunningError once it has ended."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._client = Client(path)
        self._watcher: Client | None = None
        self._changes: EventStream | None = None
        self._held: dict[str, float] = {}
        self._polled: FleetView | None = None

    def poll(self) -> Sequence[BalancedInstance]:
        """Every instance that has a port, as it is now."""
        self._watch()  # before the poll, so that nothing is missed in between
        for _ in range(TRIES):
            try:
                self._polled = self._client.ps().fleet
            except ClosedError:
                self._client.channel.connect_again()
                self._held.clear()
            else:
                return [_instance(i) for i in self._polled.instances if i.port is not None]
        raise ProcmanError("cannot poll: procman closes the connection again and again")

    def hold(self, type_name: str, seconds: float) -> None:
        """Let stops of this type wait for `release`, for at most this many seconds. Asked before each poll: holds end some
        seconds after their connection, so they are repeated on a new one.
        """
        if self._held.get(type_name) == seconds:
            return
        self._held[type_name] = seconds
        self._client.hold(f"{WHO}/{type_name}", (type_name,), seconds)

    def release(self, name: str, generation: int) -> None:
        """Release the stop of this run. No error where the run is over."""
        type_name = type_of(name)
        self._client.release(f"{WHO}/{type_name}", name, generation)

    def report(self, fault: str) -> None:
        """Report what is wrong at present ("": nothing), to be shown by `ps --companions`."""
        assert self._polled is not None
        report(self._client, self._polled, fault)

    def wait(self, seconds: float) -> None:
        """Wait until something has changed, or the time is over."""
        self._watch()
        assert self._changes is not None
        try:
            self._changes.timeout = seconds
            for _ in zip(range(MOST), self._changes, strict=False):
                self._changes.timeout = BURST
        except TimeoutError:
            return
        except ClosedError:
            self._changes = None

    def _watch(self) -> None:
        if self._changes is None:
            self._watcher = Client(self._path)
            self._changes = self._watcher.events()


def _instance(instance: InstanceView) -> BalancedInstance:
    assert instance.port is not None
    return BalancedInstance(
        name=instance.name,
        type=instance.type,
        generation=instance.generation,
        host=instance.host or "127.0.0.1",
        port=instance.port,
        ready=instance.ready,
        draining=instance.phase == "draining",
    )
