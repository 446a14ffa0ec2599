"""The sections of procman.yml, such as `restart:`: their keys, with type, limits and description; first the types of values.

A key that was not written is UNSET, so that a process can override `defaults` key by key. Which sections a process type
has is defined in keys.py, and their meaning in policies.py. Knows neither YAML nor files.

msgspec knows each type. If a word may stand for a number (`90s`), `Meta.extra` has the function that reads the word,
and the JSON Schema allows it.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from procman.config.machine import read_count
from procman.config.options import YEAR
from procman.core.policies import OnUnhealthy, Strategy, Until
from procman.core.requests import MAX_COUNT
from procman.core.spec import Count, StopMode, When
from procman.text.quantities import SECONDS, about, read_seconds, read_size, worded

MOST_BYTES = 2**50
"""Largest size that can be set: a pebibyte."""

Seconds = Annotated[float, worded(read_seconds, "90s", SECONDS, ge=0, le=YEAR)]
Bytes = Annotated[
    int, worded(read_size, "512MB", r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]i?[Bb]?|[Bb])\s*$", ge=0, le=MOST_BYTES)
]
Counted = Annotated[int, worded(read_count, "cpus-1", r"^\s*(cpus(-\d+)?|\d+\s*%)\s*$", ge=0, le=MAX_COUNT)]
"""A number of instances: fixed, or relative to the machine."""
ExitCode = Annotated[int, Meta(ge=0, le=255)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Filled = Annotated[str, Meta(min_length=1)]
Restarts = Annotated[int, Meta(ge=0)] | None
Times = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
AsWritten = Annotated[str, Meta(description="Numbers and booleans are kept as written")]


class RestartSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how soon an ended instance is started again."""

    policy: Annotated[When | UnsetType, about("After which ends an instance is started again")] = UNSET
    delay: Annotated[Seconds | UnsetType, about("Seconds before the first restart; 0: at once")] = UNSET
    max_delay: Annotated[Seconds | UnsetType, about("Each restart doubles the delay, up to these seconds")] = UNSET
    reset_after: Annotated[
        Seconds | UnsetType, about("Seconds that it must be ready before the delay is `delay` again")
    ] = UNSET
    max_restarts: Annotated[
        Restarts | UnsetType, about("Restarts in a row before an instance is failed; null: no end")
    ] = UNSET
    no_retry_exit_codes: Annotated[
        tuple[ExitCode, ...] | UnsetType, about("Exit codes after which an instance is failed at once")
    ] = UNSET


class DrainSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens between leaving the rotation and the stop signal."""

    seconds: Annotated[Seconds, about("Seconds that it keeps running at most")] = 0.0
    signal: Annotated[Filled | UnsetType, about("A signal at the beginning of the drain, such as TSTP for sidekiq")] = (
        UNSET
    )
    exec: Annotated[
        Filled | UnsetType,
        about("A command at the beginning of the drain, such as one that removes it from a registry"),
    ] = UNSET


class StopSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an instance is stopped."""

    signal: Annotated[Filled | UnsetType, about("The stop signal by name: TERM, INT, QUIT …")] = UNSET
    grace: Annotated[Seconds | UnsetType, about("Seconds from the stop signal to KILL")] = UNSET
    mode: Annotated[StopMode | UnsetType, about("Who gets the stop signal first")] = UNSET
    drain: Annotated[
        Seconds | DrainSection | UnsetType,
        about("Seconds that it keeps running, out of rotation, before the stop signal; or a mapping"),
    ] = UNSET


class ProbeWord(Enum):
    """Probes that need nothing but their name."""

    TCP = "tcp"
    NOTIFY = "notify"


Status = Annotated[int, Meta(ge=100, le=599)]


class ReadySection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How procman learns that a process is ready. One of tcp, http, log, exec, notify, file."""

    tcp: Annotated[bool | Port | UnsetType, about("true: its PORT accepts connections; or another port")] = UNSET
    http: Annotated[Filled | UnsetType, about("A path on its PORT, or a URL, that is answered with 2xx or 3xx")] = UNSET
    status: Annotated[
        Status | tuple[Status, ...] | UnsetType,
        about("With `http`: the status, or several, that it answers with instead"),
    ] = UNSET
    log: Annotated[Filled | UnsetType, about("A regular expression that a line of its output matches")] = UNSET
    exec: Annotated[Filled | UnsetType, about("A command in its environment that ends with 0")] = UNSET
    notify: Annotated[bool | UnsetType, about("true: the program reports it itself, by sd_notify(3)")] = UNSET
    file: Annotated[Filled | UnsetType, about("A file that the program creates, relative to its working directory")] = (
        UNSET
    )
    timeout: Annotated[
        Seconds | UnsetType, about("Seconds after which a start has failed if the process is not ready")
    ] = UNSET
    interval: Annotated[Seconds | UnsetType, about("Seconds between two probes, at most")] = UNSET


class HealthSection(ReadySection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How procman learns that a ready process still serves: the same probes, again and again."""

    timeout: Annotated[Seconds | UnsetType, about("Seconds within which a probe has to be answered")] = UNSET
    interval: Annotated[Seconds | UnsetType, about("Seconds between two probes")] = UNSET
    failures: Annotated[Times | UnsetType, about("Failed probes in a row until `on_failure`")] = UNSET
    on_failure: Annotated[
        OnUnhealthy | UnsetType, about("What follows: a restart, or it is only taken out of rotation")
    ] = UNSET


class HowMany(Enum):
    """How many instances of a dependency must have reached the state."""

    ONE = "one"
    ALL = "all"


class DependencySection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which state of another type a type waits for."""

    until: Annotated[
        Until | UnsetType, about("What the dependency must have reached; default: done for a one-off, else ready")
    ] = UNSET
    instances: Annotated[HowMany, about("How many of its instances must have reached it")] = HowMany.ONE
    restart: Annotated[bool, about("Restart when the dependency has been started again")] = False


Needed = Until | DependencySection

Surge = Annotated[int, Meta(ge=0, le=1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Share = Annotated[str, Meta(pattern=r"^(100|[1-9]?[0-9])\s*%$", examples=["25%"])]


class RollingSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How instances are replaced one after another."""

    unavailable: Annotated[
        Times | Share | UnsetType, about("How many may be stopped at once: a number, or a share such as 25%")
    ] = UNSET
    surge: Annotated[
        Surge | UnsetType,
        about("1: an extra instance is started first, so that none is missing; the default behind a `balancer`"),
    ] = UNSET


class RecycleSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an instance is replaced by a new one although it works."""

    age: Annotated[Seconds | UnsetType, about("Seconds after which it is replaced")] = UNSET
    memory: Annotated[Bytes | UnsetType, about("It is replaced when it and its children use more than this")] = UNSET
    jitter: Annotated[Fraction | UnsetType, about("The ages of instances differ by up to this share")] = UNSET


class GroupSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Process types that are started, restarted and stopped together, like the children of an Erlang/OTP supervisor."""

    members: Annotated[tuple[Filled, ...], Meta(min_length=1, description="Process types, in the order of the start")]
    strategy: Annotated[Strategy, about("Who is restarted with a member that crashes")] = Strategy.ONE_FOR_ONE
    intensity: Annotated[Count, about("Most restarts within a period; after one more, the whole group has failed")] = 3
    period: Annotated[Seconds, about("Seconds over which restarts are counted")] = 60.0


class DefaultsSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of every process type that does not set them itself."""

    restart: RestartSection = RestartSection()
    stop: StopSection = StopSection()
