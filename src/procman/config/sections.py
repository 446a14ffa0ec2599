"""The sections of procman.yml, such as `restart:`: their keys, with type, limits and description.

A key that was not written is UNSET, so that a process can override `defaults` key by key. Which sections a process type
has is defined in keys.py, and their meaning in policies.py. Knows neither YAML nor files.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from procman.config.values import Bytes, ExitCode, Filled, Port, Restarts, Seconds, Times
from procman.core.policies import OnUnhealthy, Strategy, Until
from procman.core.spec import Count, StopMode, When


class RestartSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how soon an ended instance is started again."""

    policy: Annotated[When, Meta(description="After which ends an instance is started again")] | UnsetType = UNSET
    delay: Annotated[Seconds, Meta(description="Seconds before the first restart; 0: at once")] | UnsetType = UNSET
    max_delay: (
        Annotated[Seconds, Meta(description="Each restart doubles the delay, up to these seconds")] | UnsetType
    ) = UNSET
    reset_after: (
        Annotated[Seconds, Meta(description="Seconds that it must be ready before the delay is `delay` again")]
        | UnsetType
    ) = UNSET
    max_restarts: (
        Annotated[Restarts, Meta(description="Restarts in a row before an instance is failed; null: no end")]
        | UnsetType
    ) = UNSET
    no_retry_exit_codes: (
        Annotated[tuple[ExitCode, ...], Meta(description="Exit codes after which an instance is failed at once")]
        | UnsetType
    ) = UNSET


class DrainSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens between leaving the rotation and the stop signal."""

    seconds: Annotated[Seconds, Meta(description="Seconds that it keeps running at most")] = 0.0
    signal: (
        Annotated[Filled, Meta(description="A signal at the beginning of the drain, such as TSTP for sidekiq")]
        | UnsetType
    ) = UNSET
    exec: (
        Annotated[
            Filled,
            Meta(description="A command at the beginning of the drain, such as one that removes it from a registry"),
        ]
        | UnsetType
    ) = UNSET


class StopSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an instance is stopped."""

    signal: Annotated[Filled, Meta(description="The stop signal by name: TERM, INT, QUIT …")] | UnsetType = UNSET
    grace: Annotated[Seconds, Meta(description="Seconds from the stop signal to KILL")] | UnsetType = UNSET
    mode: Annotated[StopMode, Meta(description="Who gets the stop signal first")] | UnsetType = UNSET
    drain: (
        Annotated[
            Seconds | DrainSection,
            Meta(description="Seconds that it keeps running, out of rotation, before the stop signal; or a mapping"),
        ]
        | UnsetType
    ) = UNSET


class ProbeWord(Enum):
    """Probes that need nothing but their name."""

    TCP = "tcp"
    NOTIFY = "notify"


Status = Annotated[int, Meta(ge=100, le=599)]


class ReadySection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How procman learns that a process is ready. One of tcp, http, log, exec, notify, file."""

    tcp: Annotated[bool | Port, Meta(description="true: its PORT accepts connections; or another port")] | UnsetType = (
        UNSET
    )
    http: (
        Annotated[Filled, Meta(description="A path on its PORT, or a URL, that is answered with 2xx or 3xx")]
        | UnsetType
    ) = UNSET
    status: (
        Annotated[
            Status | tuple[Status, ...],
            Meta(description="With `http`: the status, or several, that it answers with instead"),
        ]
        | UnsetType
    ) = UNSET
    log: Annotated[Filled, Meta(description="A regular expression that a line of its output matches")] | UnsetType = (
        UNSET
    )
    exec: Annotated[Filled, Meta(description="A command in its environment that ends with 0")] | UnsetType = UNSET
    notify: Annotated[bool, Meta(description="true: the program reports it itself, by sd_notify(3)")] | UnsetType = (
        UNSET
    )
    file: (
        Annotated[Filled, Meta(description="A file that the program creates, relative to its working directory")]
        | UnsetType
    ) = UNSET
    timeout: (
        Annotated[Seconds, Meta(description="Seconds after which a start has failed if the process is not ready")]
        | UnsetType
    ) = UNSET
    interval: Annotated[Seconds, Meta(description="Seconds between two probes, at most")] | UnsetType = UNSET


class HealthSection(ReadySection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How procman learns that a ready process still serves: the same probes, again and again."""

    timeout: Annotated[Seconds, Meta(description="Seconds within which a probe has to be answered")] | UnsetType = UNSET
    interval: Annotated[Seconds, Meta(description="Seconds between two probes")] | UnsetType = UNSET
    failures: Annotated[Times, Meta(description="Failed probes in a row until `on_failure`")] | UnsetType = UNSET
    on_failure: (
        Annotated[OnUnhealthy, Meta(description="What follows: a restart, or it is only taken out of rotation")]
        | UnsetType
    ) = UNSET


class HowMany(Enum):
    """How many instances of a dependency must have reached the state."""

    ONE = "one"
    ALL = "all"


class DependencySection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which state of another type a type waits for."""

    until: (
        Annotated[
            Until, Meta(description="What the dependency must have reached; default: done for a one-off, else ready")
        ]
        | UnsetType
    ) = UNSET
    instances: Annotated[HowMany, Meta(description="How many of its instances must have reached it")] = HowMany.ONE
    restart: Annotated[bool, Meta(description="Restart when the dependency has been started again")] = False


Needed = Until | DependencySection

Share = Annotated[str, Meta(pattern=r"^(100|[1-9]?[0-9])\s*%$", examples=["25%"])]


class RollingSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How instances are replaced one after another."""

    unavailable: (
        Annotated[Times | Share, Meta(description="How many may be stopped at once: a number, or a share such as 25%")]
        | UnsetType
    ) = UNSET
    surge: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=1,
                description="1: an extra instance is started first, so that none is missing; the default behind a `balancer`",
            ),
        ]
        | UnsetType
    ) = UNSET


class RecycleSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an instance is replaced by a new one although it works."""

    age: Annotated[Seconds, Meta(description="Seconds after which it is replaced")] | UnsetType = UNSET
    memory: (
        Annotated[Bytes, Meta(description="It is replaced when it and its children use more than this")] | UnsetType
    ) = UNSET
    jitter: (
        Annotated[float, Meta(ge=0, le=1, description="The ages of instances differ by up to this share")] | UnsetType
    ) = UNSET


class GroupSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Process types that are started, restarted and stopped together, like the children of an Erlang/OTP supervisor."""

    members: Annotated[tuple[Filled, ...], Meta(min_length=1, description="Process types, in the order of the start")]
    strategy: Annotated[Strategy, Meta(description="Who is restarted with a member that crashes")] = (
        Strategy.ONE_FOR_ONE
    )
    intensity: Annotated[
        Count, Meta(description="Most restarts within a period; after one more, the whole group has failed")
    ] = 3
    period: Annotated[Seconds, Meta(description="Seconds over which restarts are counted")] = 60.0


class DefaultsSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of every process type that does not set them itself."""

    restart: RestartSection = RestartSection()
    stop: StopSection = StopSection()
