"""Settings of procman.yml about readiness, waiting, replacement, draining and shared sockets, compared by value.

Times are seconds, sizes bytes. docs/reference/procman-yml.md explains each.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from msgspec import Struct

# ---- readiness and health (the kernel probes, instance.py decides)


class TcpProbe(Struct, frozen=True, tag="tcp"):
    """A connection to `host` is accepted; `port` None is the instance's own."""

    port: int | None = None
    host: str = "127.0.0.1"


class HttpProbe(Struct, frozen=True, tag="http"):
    """A GET is answered with one of `status` (none: 200 to 399). `url` is whole, or a path on the instance's port."""

    url: str
    status: tuple[int, ...] = ()


class LogProbe(Struct, frozen=True, tag="log"):
    """A line of output matches this regular expression (`re.search`), terminal sequences removed."""

    pattern: str


class ExecProbe(Struct, frozen=True, tag="exec"):
    """A command with the instance's environment ends with 0."""

    command: str


class NotifyProbe(Struct, frozen=True, tag="notify"):
    """The program reports it itself: sd_notify(3)."""


class FileProbe(Struct, frozen=True, tag="file"):
    """A file exists that is newer than the process; `path` is relative to the type's working directory."""

    path: str


Probe: TypeAlias = TcpProbe | HttpProbe | LogProbe | ExecProbe | NotifyProbe | FileProbe


class Readiness(Struct, frozen=True, kw_only=True):
    """When a new process counts as ready: tried first after 50 ms, then at doubling intervals up to `interval`."""

    probe: Probe
    timeout: float = 60.0
    interval: float = 1.0


class OnUnhealthy(Enum):
    """What follows `failures` failed checks in a row."""

    RESTART = "restart"
    UNREADY = "unready"


class Health(Struct, frozen=True, kw_only=True):
    """The same kinds of probe once it is ready, every `interval`; each answer must come within `timeout`."""

    probe: Probe
    interval: float = 10.0
    timeout: float = 5.0
    failures: int = 3
    on_failure: OnUnhealthy = OnUnhealthy.RESTART


# ---- order (order.py decides)


class Until(Enum):
    """What a dependency must have reached."""

    STARTED = "started"
    READY = "ready"
    DONE = "done"


class Dependency(Struct, frozen=True, kw_only=True):
    """An instance waits until one instance of `type` (with `every`: all of them) is in this state. With `restart` it is
    restarted when the dependency has been started again.
    """

    type: str
    until: Until = Until.READY
    every: bool = False
    restart: bool = False


# ---- replacing (rollout.py decides)


class Rolling(Struct, frozen=True, kw_only=True):
    """How many may be away at once, as a share of the count (0.25) rounded down, or as a number; at least 1.

    `surge` is how many extra instances come up first (0 or 1).
    """

    unavailable: float | int = 0.25
    surge: int = 0

    def away(self, count: int) -> int:
        """The most instances of `count` that may be away at once."""
        most = self.unavailable if isinstance(self.unavailable, int) else int(count * self.unavailable)
        return max(1, most)


class Recycle(Struct, frozen=True, kw_only=True):
    """An instance over this age, or whose tree is over this memory, is replaced; `jitter` spreads the ages."""

    age: float | None = None
    memory: int | None = None
    jitter: float = 0.1


class Drain(Struct, frozen=True, kw_only=True):
    """How long at most an instance continues after it has left the rotation and before the stop signal. At the start it
    gets `signal`, or `command` is run in its environment. A companion may hold the stop for as long.
    """

    seconds: float = 0.0
    signal: str | None = None
    command: str | None = None


# ---- one socket, many workers (the kernel opens, adopts and closes it)


class ListenSocket(Struct, frozen=True):
    """A listening socket that all instances of a type share. `address`: `tcp://HOST:PORT` or `unix://PATH`."""

    name: str
    address: str


# ---- groups (groups.py decides)


class Strategy(Enum):
    """What a crash of one member means for the others: the supervisor strategies of Erlang/OTP."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class Group(Struct, frozen=True, kw_only=True):
    """Types that are restarted together. With over `intensity` restarts in `period` seconds the group is failed."""

    name: str
    members: tuple[str, ...]
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 3
    period: float = 60.0
