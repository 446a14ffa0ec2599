"""The whole state of a fleet as a value, and its bytes: the start of a trace, and part of what a live upgrade hands
over.

A snapshot costs a few shallow copies, since everything in it is frozen. The bytes are MessagePack, in which each spec
is stored once however many instances share it, and is read as one object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from procman.core.desired import Desired
from procman.core.operations import OperationsState
from procman.core.orphans import OrphansState
from procman.core.requests import Hold
from procman.core.restart import CrashWatch
from procman.core.rollout import RolloutsState
from procman.core.slots import SlotsState
from procman.core.spec import Plan, ProcessSpec
from procman.later import later

if TYPE_CHECKING:
    from procman.core import policies
else:
    policies = later(__name__, "procman.core.policies")


class GroupsState(Struct, frozen=True):
    """By group: the instances of an ordered start under way, and the times of the last restarts. It is defined here, as
    groups.py is only loaded where there are groups.
    """

    rounds: dict[str, tuple[str, ...]] = {}
    restarts: dict[str, tuple[float, ...]] = {}


class TypeCounts(Struct, frozen=True, gc=False):
    """Counters of a type, which outlast its slots: how many processes were started, and how often each exit code was
    seen.
    """

    starts: int = 0
    exits: dict[int, int] = {}


class Moments(Struct, frozen=True):
    """When an instance was first started, first ready, first done."""

    started: float | None = None
    ready: float | None = None
    done: float | None = None


class StartupState(Struct, frozen=True):
    """The start under way, as the operation of that number: when it began, and what each instance has reached."""

    operation: int
    began_at: float
    moments: dict[str, Moments] = {}


class FleetState(Struct, frozen=True, kw_only=True):
    """Everything that a `Fleet` knows. Times are monotonic seconds, and only valid for this boot of this machine."""

    plan: Plan
    desired: Desired
    slots: SlotsState
    finished: bool = False
    crashes: dict[str, CrashWatch] = {}
    counters: dict[str, TypeCounts] = {}
    operations: OperationsState = OperationsState()
    orphans: OrphansState = OrphansState()
    rollouts: RolloutsState = RolloutsState()
    holds: dict[str, Hold] = {}
    waiting_token: int = 0
    groups: GroupsState = GroupsState()
    lingering: dict[str, tuple[policies.ListenSocket, ...]] = {}
    startup: StartupState | None = None


class Packed(Struct, frozen=True):
    """A state whose instances have no specs: these are in `specs`, the plan's first, at the indexes in `numbers`."""

    state: FleetState
    specs: tuple[ProcessSpec, ...]
    numbers: tuple[int, ...]


_NONE = ProcessSpec(type="", command="", cwd="", env={})


def encode(state: FleetState) -> bytes:
    return msgspec.msgpack.encode(pack(state))


def decode(data: bytes) -> FleetState:
    """The state in these bytes. Raises msgspec.DecodeError (ValidationError among them) for others."""
    return unpack(msgspec.msgpack.decode(data, type=Packed))


def pack(state: FleetState, change: Callable[[ProcessSpec], ProcessSpec] = lambda spec: spec) -> Packed:
    """The state, ready to be encoded. `change` is applied to every spec, for example to leave secrets out."""
    plan = changed_plan(state.plan, change)
    known = {id(spec): number for number, spec in enumerate(state.plan.types.values())}
    specs = list(plan.types.values())
    numbers = []
    for i in state.slots.instances:
        if id(i.spec) not in known:
            known[id(i.spec)] = len(specs)
            specs.append(change(i.spec))
        numbers.append(known[id(i.spec)])
    return Packed(_with_specs(state, plan, [_NONE] * len(numbers)), tuple(specs), tuple(numbers))


def changed_plan(plan: Plan, change: Callable[[ProcessSpec], ProcessSpec]) -> Plan:
    """The plan with `change` applied to every spec in it."""
    types = {name: change(spec) for name, spec in plan.types.items()}
    return replace(plan, types=types, companions={name: change(spec) for name, spec in plan.companions.items()})


def unpack(packed: Packed) -> FleetState:
    """The state that was packed. Raises msgspec.ValidationError where the numbers do not fit."""
    types = list(packed.state.plan.types.values())
    specs = [*types, *packed.specs[len(types) :]]
    instances = packed.state.slots.instances
    if len(packed.numbers) != len(instances) or not all(0 <= number < len(specs) for number in packed.numbers):
        raise msgspec.ValidationError("an instance names a spec that does not exist")
    return _with_specs(packed.state, packed.state.plan, [specs[number] for number in packed.numbers])


def _with_specs(state: FleetState, plan: Plan, specs: list[ProcessSpec]) -> FleetState:
    instances = tuple(replace(i, spec=spec) for i, spec in zip(state.slots.instances, specs, strict=True))
    return replace(state, plan=plan, slots=replace(state.slots, instances=instances))
