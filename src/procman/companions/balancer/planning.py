"""The commands that bring a backend of HAProxy to the wanted state: `plan(wanted, actual)`. Pure.

It compares with the present state, not with earlier commands, so it may be called at any moment and any number of
times, also by a companion that was just killed. There are two ways to keep servers, depending on HAProxy's
configuration:

* slots: lines of `server-template`, each a server without an address, which gets one while it is in maintenance. Works
  with every balancing algorithm, and a state file keeps it over a reload and a restart.
* dynamic: `add server` and `del server`, named after the instance. Not possible with `source`, `uri` and `static-rr`.

In both a server leaves by `drain`, waits until no connection is in use, and goes into maintenance.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from procman.companions.balancer.answers import BackendServer
    from procman.companions.balancer.fleet import BalancedInstance


class BackendSpec(Struct, frozen=True, kw_only=True):
    """The backend of a process type; `file` and `section` as of HaproxyBalancer. Slots start with `prefix`; `options` follow the address in `add server`."""

    name: str
    type: str
    prefix: str
    options: str = "check"
    file: str = ""
    section: tuple[str, ...] = ()


class Planned(Struct, frozen=True, kw_only=True):
    """`commands` in order; instances that are `gone` (they have no request and get none), `drained` ones that get no
    new requests and still have some, and `homeless` ones, which serve and have no server.
    """

    commands: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    draining: tuple[str, ...] = ()
    homeless: tuple[str, ...] = ()


def slots_of(backend: BackendSpec, actual: Iterable[BackendServer]) -> list[BackendServer]:
    """The servers of the backend that are slots: numbered after its prefix, as by `server-template`. If there is one,
    its servers are kept in slots.
    """
    return _named(backend, re.escape(backend.prefix), actual)


def plan(
    backend: BackendSpec,
    wanted: Sequence[BalancedInstance],
    actual: Sequence[BackendServer],
    overdue: Collection[str] = (),
) -> Planned:
    """The commands to send now. Call it again afterwards, as long as an instance is draining. For `overdue` instances the
    time to drain is over: remaining connections do not hold them up.
    """
    slots = slots_of(backend, actual)
    if slots:
        return _plan_slots(wanted, slots, overdue)
    return _plan_dynamic(backend, wanted, _named(backend, rf"{re.escape(backend.type)}\.", actual), overdue)


def _named(backend: BackendSpec, start: str, actual: Iterable[BackendServer]) -> list[BackendServer]:
    """Servers of these names, as only those are ours: any that people added (a spare one elsewhere) are not touched."""
    return [s for s in actual if s.backend == backend.name and re.fullmatch(rf"{start}\d+", s.name)]


def _plan_slots(wanted: Sequence[BalancedInstance], slots: list[BackendServer], overdue: Collection[str]) -> Planned:
    slots = sorted(slots, key=_number)
    held: dict[str, BackendServer] = {}
    by_place = {(e.host, e.port): e for e in wanted}
    commands: list[str] = []
    for slot in sorted(slots, key=lambda each: not each.serves):  # of two with the same address, the one that serves
        instance = by_place.get((slot.address, slot.port))
        if instance is not None and instance.name not in held:
            held[instance.name] = slot
        elif not slot.maintenance:  # no instance is there any more, or another slot has the address
            commands.append(_state(slot, "maint"))
    taken = {slot.name for slot in held.values()}
    free = [slot for slot in slots if slot.name not in taken and not slot.used]
    homeless = []
    for instance in wanted:
        if instance.serves and instance.name not in held:
            if not free:
                homeless.append(instance.name)
                continue
            slot = free.pop(0)
            commands.append(f"set server {slot.backend}/{slot.name} addr {instance.host} port {instance.port}")
            commands.append(_state(slot, "ready"))
    more, gone, draining = _settle(wanted, held, overdue)
    return Planned(commands=(*commands, *more), gone=gone, draining=draining, homeless=tuple(homeless))


def _plan_dynamic(
    backend: BackendSpec, wanted: Sequence[BalancedInstance], servers: list[BackendServer], overdue: Collection[str]
) -> Planned:
    by_name = {instance.name: instance for instance in wanted}
    held: dict[str, BackendServer] = {}
    commands: list[str] = []
    leaving = set()
    for server in servers:
        instance = by_name.get(server.name)
        if instance is not None and (instance.host, instance.port) == (server.address, server.port):
            held[server.name] = server
            continue
        if not server.maintenance:
            commands.append(_state(server, "maint"))
        if not server.used:
            commands.append(f"del server {server.backend}/{server.name}")
        leaving.add(server.name)  # the next poll sees whose name is free again, as a deletion can be refused
    for instance in wanted:
        if instance.serves and instance.name not in held and instance.name not in leaving:
            name = f"{backend.name}/{instance.name}"
            commands.append(f"add server {name} {_address(instance)} {backend.options}".rstrip())
            commands += [f"enable health {name}"] if "check" in backend.options.split() else []
            commands.append(f"set server {name} state ready")
    more, gone, draining = _settle(wanted, held, overdue)
    return Planned(commands=(*commands, *more), gone=gone, draining=draining)


def _settle(
    wanted: Sequence[BalancedInstance], held: dict[str, BackendServer], overdue: Collection[str]
) -> tuple[list[str], tuple[str, ...], tuple[str, ...]]:
    """Commands for servers that have their instance's address, and instances that have left or are leaving."""
    commands, gone, draining = [], [], []
    for instance in wanted:
        server = held.get(instance.name)
        if server is None:
            gone += [] if instance.serves else [instance.name]
        elif instance.serves:
            commands += [] if server.serves else [_state(server, "ready")]
        elif server.maintenance:
            gone.append(instance.name)
        elif server.drain and (server.used == 0 or instance.name in overdue):
            commands.append(_state(server, "maint"))
            gone.append(instance.name)
        else:
            commands += [] if server.drain else [_state(server, "drain")]
            draining.append(instance.name)
    return commands, tuple(gone), tuple(draining)


def _state(server: BackendServer, state: str) -> str:
    return f"set server {server.backend}/{server.name} state {state}"


def _address(instance: BalancedInstance) -> str:
    return f"[{instance.host}]:{instance.port}" if ":" in instance.host else f"{instance.host}:{instance.port}"


def _number(server: BackendServer) -> int:
    return int(server.name[len(server.name.rstrip("0123456789")) :])


def included(backend: BackendSpec, wanted: Iterable[BalancedInstance]) -> str:
    """The backend as a configuration file that HAProxy reads beside its own, for dynamic servers.

    A section of HAProxy's configuration cannot be continued in another file, so this file has the whole backend.
    """
    lines = ["# Written by procman at each change; changes by hand are lost.", f"backend {backend.name}"]
    lines += [f"    {line}" for line in backend.section]
    lines += [f"    server {e.name} {_address(e)} {backend.options}".rstrip() for e in wanted if e.serves]
    return "\n".join(lines) + "\n"
