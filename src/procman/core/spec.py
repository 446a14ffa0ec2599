"""What to run and how, compared by value.

Everything here is a frozen value. A reload is "did the value change?", so nothing that merely describes where the value
came from (a line number, a file) belongs here.
"""

from __future__ import annotations

from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from procman.core.requests import MAX_COUNT
from procman.later import later

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procman.core import policies
else:
    policies = later(__name__, "procman.core.policies")

Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
"""How many instances of a type, where it is read from bytes of unknown origin."""

FAR_TOO_MANY = 10**9
"""A count that is too long to be shown."""

LAST_PORT = 65535

DEFAULT_GRACE = 10.0
"""Seconds between the stop signal and KILL: what Docker and Heroku users know (Heroku: 30, Docker: 10)."""


class When(Enum):
    """Which ends lead to a restart."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


class StopMode(Enum):
    """Which processes get the stop signal first. docs/reference/signals.md says when each is right."""

    TOP_DOWN = "top-down"
    GROUP = "group"
    LEADER = "leader"


class OnEnd(Enum):
    """What the end (done or failed) of an instance means for the whole formation."""

    STAY = "stay"
    EXIT = "exit"
    EXIT_ON_FAILURE = "exit-on-failure"
    """Only if an instance has failed, with its status."""


class Stdin(Enum):
    """What a child without a terminal reads: nothing at all, or a pipe that is never written."""

    NULL = "null"
    OPEN = "open"


class RestartPolicy(Struct, frozen=True, kw_only=True):
    """When and how soon an ended instance is started again. Times in seconds."""

    policy: When = When.ON_FAILURE
    delay: float = 0.5
    max_delay: float = 30.0
    reset_after: float = 30.0
    max_restarts: int | None = None
    no_retry_exit_codes: tuple[int, ...] = ()


class StopPolicy(Struct, frozen=True, kw_only=True):
    """How an instance is stopped. `signal` is a name without SIG; `exit_code` is 128 + its number."""

    signal: str = "TERM"
    exit_code: int = 143
    grace: float = DEFAULT_GRACE
    mode: StopMode = StopMode.TOP_DOWN
    drain: policies.Drain | None = None


class BaseEnvironment(Struct, frozen=True, kw_only=True):
    """The environment of every instance of every type, in layers, so that variables of procman's parent (with all its
    secrets) can be distinguished from those in the application's own files. Shared by all types; merged when a process
    is started.
    """

    inherited: dict[str, str] = {}
    """The environment at the start of procman."""
    files: dict[str, str] = {}
    """What the environment files add to it, or override."""


class CompanionWords(Struct, frozen=True):
    """What a companion does, what does not happen while it cannot work, and what a person can do meanwhile."""

    purpose: str = ""
    without: str = ""
    help: str = ""


class ProcessSpec(Struct, frozen=True, kw_only=True):
    """How every instance of one process type is run. `env` is the type's own layer of the environment, over the `base`
    of all types; variables of one instance (PORT, PS, PROCMAN_*) come on top.

    `port` is the first instance's port, None if instances get none. `cwd` is absolute. With `tty` an instance has a
    terminal of its own, which is also its input, and `stdin` is ignored. `words` are what `procman why` says of a companion.
    """

    type: str
    command: str
    cwd: str
    env: dict[str, str] = {}
    base: BaseEnvironment = BaseEnvironment()
    port: int | None = None
    shell: str = "/bin/sh"
    restart: RestartPolicy = RestartPolicy()
    stop: StopPolicy = StopPolicy()
    success_exit_codes: tuple[int, ...] = (0,)
    on_end: OnEnd = OnEnd.STAY
    stdin: Stdin = Stdin.NULL
    tty: bool = False
    max: int | None = None
    oneshot: bool = False
    ready: policies.Readiness | None = None
    health: policies.Health | None = None
    depends_on: tuple[policies.Dependency, ...] = ()
    rolling: policies.Rolling | None = None
    recycle: policies.Recycle | None = None
    sockets: tuple[policies.ListenSocket, ...] = ()
    words: CompanionWords | None = None

    def environment(self) -> dict[str, str]:
        """All layers merged into a new dictionary."""
        return {**self.base.inherited, **self.base.files, **self.env}

    def port_of(self, index: int) -> int | None:
        """The port of instance number `index` (from 1)."""
        return None if self.port is None else self.port + index - 1


class Plan(Struct, frozen=True, kw_only=True, dict=True):
    """Everything that the inputs say. `types` is in the Procfile's order; `counts` and `positions` have its keys.

    A type's `position` decides its ports and is kept as long as procman runs, also over a reload that moves its line;
    so `positions` may contain removed types. A one-off, which has no port, has -1. `sections` are the keys of
    procman.yml for companions: by key, then by type, the value. `companions` are procman's own programs, which run
    beside the formation and do not belong to it. With `keep_counts` a count that is set at run time outlasts procman;
    `kept` are the types whose count here was set so, in the previous procman.
    """

    root: str
    types: dict[str, ProcessSpec]
    counts: dict[str, Count]
    positions: dict[str, int]
    port_step: int = 100
    procfile: str = "Procfile"
    sections: dict[str, dict[str, Any]] = {}
    companions: dict[str, ProcessSpec] = {}
    groups: tuple[policies.Group, ...] = ()
    keep_counts: bool = False
    kept: tuple[str, ...] = ()

    @cached_property  # asked at each end of a process, and looks at every type
    def has_followers(self) -> bool:
        """Whether a type is to be restarted after another one has been (`depends_on: {x: {restart: true}}`)."""
        return any(one.restart for spec in self.types.values() for one in spec.depends_on)

    @cached_property  # asked at each signal of a stop
    def has_order(self) -> bool:
        """Whether a type starts after another one, and ends before it."""
        return bool(self.groups) or any(spec.depends_on for spec in self.types.values())

    @property
    def autoscaled(self) -> Mapping[str, Any]:
        """The types whose count follows demand, with their settings."""
        return self.sections.get("autoscale", {})

    def port_variables(self) -> dict[str, str]:
        """`PROCMAN_PORT_<TYPE>`: the first instance's port of every type that has one."""
        return port_variables(self.types)


def is_companion(type_name: str) -> bool:
    """Whether it is the type of a companion, such as `@watch`, a name that no Procfile can have."""
    return type_name.startswith("@")


def port_variable(type_name: str) -> str:
    """The variable with the port of another type: `my-web` -> `PROCMAN_PORT_MY_WEB`."""
    return "PROCMAN_PORT_" + type_name.upper().replace("-", "_")


def port_variables(types: Mapping[str, ProcessSpec]) -> dict[str, str]:
    """The port variables of every type that has a port."""
    return {port_variable(name): str(spec.port) for name, spec in types.items() if spec.port is not None}


def instance_environment(spec: ProcessSpec, index: int) -> dict[str, str]:
    """What an instance's environment has in addition: its name and its port."""
    env = {"PS": f"{spec.type}.{index}", "PROCMAN_TYPE": spec.type, "PROCMAN_INDEX": str(index)}
    port = spec.port_of(index)
    if port is not None:
        env["PORT"] = str(port)
    return env


def room_of(plan: Plan, type_name: str) -> int:
    """The highest number that an instance of a type can have: beyond it there is no port, or `max` forbids it."""
    spec = plan.types[type_name]
    room = min(MAX_COUNT, spec.max if spec.max is not None else MAX_COUNT)
    return room if spec.port is None else min(room, plan.port_step, LAST_PORT + 1 - spec.port)


def refuse_count(plan: Plan, type_name: str, count: int) -> tuple[str, str] | None:
    """Why a type cannot have that many instances, as (message, hint); None if it can."""
    spec = plan.types[type_name]
    if count < 0:
        return f"cannot run fewer than 0 instances of {type_name}", "a count is 0 or more"
    if count > MAX_COUNT:
        count_text = str(count) if count < FAR_TOO_MANY else "so many"  # str() refuses 4,301 digits
        return f"cannot run {count_text} of {type_name}: at most {MAX_COUNT} instances of a type", ""
    if spec.max is not None and count > spec.max:
        return (
            f"cannot run {count} of {type_name}: its 'max' is {spec.max}",
            f"procman.yml says so: processes.{type_name}.max",
        )
    if spec.port is None or count == 0:
        return None
    if count > plan.port_step:
        return (
            f"cannot run {count} of {type_name}: each type has room for {plan.port_step} ports",
            "start with a larger --port-step, or with --no-port",
        )
    last = spec.port + count - 1
    if last > LAST_PORT:
        hint = "use a lower --port or --no-port"
        return f"cannot give {type_name}.{count} port {last}: the last port is {LAST_PORT}", hint
    return None
