"""The instances at one moment: what procman knows of each, and what the process table adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from procman.core.select import Selector
from procman.core.view import InstanceView, OrphanView, TypeView
from procman.errors import RefusedError

if TYPE_CHECKING:
    from procman.observe.poll import Poll
    from procman.observe.processes import Meter, Trees


class Row(Struct, frozen=True, kw_only=True):
    """One instance, as in `--json`: times in seconds, `since` since the epoch, `cpu` in percent, `memory` in bytes.

    `cpu` is the CPU time of the whole tree since the start of its leader, as in ps(1); with `--watch`, from the second
    poll on, over the time since the last poll. `memory` is the sum of resident sizes, so that pages which two processes
    share count twice. Both are null without a process.
    """

    name: str
    type: str
    phase: str
    pid: int | None
    port: int | None
    restarts: int
    uptime: float | None
    since: float
    reason: str | None
    last_exit: str | None
    cpu: float | None
    memory: int | None
    crash_loop: bool
    generation: int
    adopted: tuple[int, ...]
    reason_code: str | None
    ready: bool
    host: str | None
    probe: str | None
    role: str


class Listing(Struct, frozen=True):
    """All rows. `number` is that of the last event; `orphans` are processes whose instance is unknown."""

    formation: dict[str, int]
    instances: list[Row]
    types: tuple[TypeView, ...] = ()
    number: int = 0
    companions: list[Row] = []
    orphans: tuple[OrphanView, ...] = ()


def listed(poll: Poll, meter: Meter, names: tuple[str, ...] = ()) -> Listing:
    """What procman and the process table know of each selected instance. Raises RefusedError."""
    answer = poll.answer
    known = answer.fleet.instances
    chosen = Selector(names)
    refusal = chosen.refuse(answer.fleet.formation, [i.name for i in known])
    if refusal is not None:
        raise RefusedError(*refusal)
    meant = [i for i in known if not names or chosen.matches(i.name)]
    companions = answer.fleet.companions
    meter.forget_all_but({(i.name, i.generation) for i in (*meant, *companions)})
    return Listing(
        answer.fleet.formation,
        [_row(i, answer.time, poll.trees, meter) for i in meant],
        answer.fleet.types,
        answer.fleet.number,
        [_row(i, answer.time, poll.trees, meter) for i in companions],
        () if names else answer.fleet.orphans,
    )


def _row(i: InstanceView, now: float, trees: Trees, meter: Meter) -> Row:
    used = trees.used_by((i.pid, *i.adopted)) if i.pid is not None else None
    return Row(
        name=i.name,
        type=i.type,
        phase=i.phase,
        pid=i.pid,
        port=i.port,
        restarts=i.restarts,
        uptime=None if i.uptime is None else round(i.uptime, 3),
        since=round(now - i.age, 3),
        reason=i.reason or None,
        last_exit=i.last_exit,
        cpu=meter.percent((i.name, i.generation), used[0], i.uptime) if used and i.uptime is not None else None,
        memory=used[1] if used else None,
        crash_loop=i.crash_loop,
        generation=i.generation,
        adopted=i.adopted,
        reason_code=i.reason_code,
        ready=i.ready,
        host=i.host,
        probe=i.probe,
        role=i.role,
    )
