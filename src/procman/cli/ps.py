"""`procman ps`: the formation as a table or as JSON."""

from __future__ import annotations

import click
import msgspec
from msgspec import Struct

from procman.cli.names import complete_instances
from procman.cli.place import Place, client_options
from procman.cli.resources import Trees, process_table
from procman.cli.table import columns
from procman.control.protocol import Ps
from procman.core.display import clean
from procman.core.select import Chosen
from procman.core.view import InstanceView, duration
from procman.errors import RefusedError

HEAD = ("NAME", "PHASE", "PID", "UP", "RESTARTS", "PORT", "CPU", "MEMORY", "REASON")
NUMBERS = (2, 4, 5, 6, 7)


class Row(Struct, frozen=True, kw_only=True):
    """One instance, as `--json` says it: times in seconds, `since` since the epoch, `cpu` in percent, `memory` in bytes.

    `cpu` is the CPU time of the whole tree over the life of its leader, as ps(1) counts it; `memory` is the sum of
    resident sizes, so that pages which two processes share count twice. Both are null where there is no process.
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


class Listing(Struct, frozen=True):
    formation: dict[str, int]
    instances: list[Row]


@click.command()
@click.option("--json", is_flag=True, show_envvar=True, help="Print one JSON object.")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_instances)
@client_options
def ps(place: Place, names: tuple[str, ...], *, json: bool) -> None:
    """List the instances: what each is doing, since when, and why.

    NAME is a type, an instance or a shell pattern; all without one. From outside procman's container CPU and MEMORY are
    not known.
    CPU is the average over the process's life, in percent of one core; CPU and MEMORY are those of the process and
    everything it started. A type in a crash loop says so in its REASON. Ends with 3 where no procman runs here.

    \b
    Examples:
      procman ps
      procman ps web worker.2
      procman ps --json | jq '.instances[] | select(.phase != "ready") | .name'
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    with place.connect() as client:
        answer = client.call("ps")
        table = process_table() if client.peer in (answer.pid, 0) else {}
    listing = listed(answer, Trees(table), names)
    click.echo(msgspec.json.encode(listing) if json else shown(listing))


def listed(answer: Ps, trees: Trees, names: tuple[str, ...] = ()) -> Listing:
    """What procman knows of each instance that is meant, and what the process table adds. Raises RefusedError."""
    known = answer.fleet.instances
    chosen = Chosen(names)
    refusal = chosen.refuse(answer.fleet.formation, [i.name for i in known])
    if refusal is not None:
        raise RefusedError(*refusal)
    meant = [i for i in known if not names or chosen.means(i.name)]
    return Listing(answer.fleet.formation, [_row(i, answer.time, trees) for i in meant])


def _row(i: InstanceView, now: float, trees: Trees) -> Row:
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
        cpu=round(100 * used[0] / i.uptime, 1) if used and i.uptime else None,
        memory=used[1] if used else None,
        crash_loop=i.crash_loop,
        generation=i.generation,
        adopted=i.adopted,
    )


def shown(listing: Listing) -> str:
    """The table. Nothing in it can move a terminal's cursor, whatever a reason holds."""
    if not listing.instances:
        return "no instances; `procman scale TYPE=N` starts some"
    return columns([HEAD, *map(_cells, listing.instances)], right=NUMBERS)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.phase,
        "" if row.pid is None else str(row.pid),
        "" if row.uptime is None else duration(row.uptime),
        str(row.restarts),
        "" if row.port is None else str(row.port),
        "" if row.cpu is None else f"{row.cpu:.1f} %",
        "" if row.memory is None else size(row.memory),
        clean(row.reason or ""),
    )


def size(count: int) -> str:
    """Bytes as a person says them, in powers of 1000."""
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB"
    if count < 1_000_000_000:
        return f"{count / 1_000_000:.0f} MB"
    return f"{count / 1_000_000_000:.1f} GB"
