"""`procman ps`: the formation as a table or as JSON, once or again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec import Struct

from procman.observe.poll import Poller
from procman.cli.line.completion import complete_instances
from procman.cli.target import TargetOptions, client_options
from procman.observe.processes import Meter
from procman.cli.show.screen import Screen, can_redraw
from procman.cli.show.table import columns
from procman.text.lines import clean, json_object
from procman.core.select import Chosen
from procman.core.view import InstanceView, duration
from procman.errors import RefusedError

if TYPE_CHECKING:
    from procman.observe.poll import Poll
    from procman.observe.processes import Trees

HEAD = ("NAME", "PHASE", "PID", "UP", "RESTARTS", "PORT", "CPU", "MEMORY", "REASON")
NUMBERS = (2, 4, 5, 6, 7)


class Row(Struct, frozen=True, kw_only=True):
    """One instance, as `--json` says it: times in seconds, `since` since the epoch, `cpu` in percent, `memory` in bytes.

    `cpu` is the CPU time of the whole tree over the life of its leader, as ps(1) counts it, and with `--watch` from the
    second look on over the time since the last; `memory` is the sum of resident sizes, so that pages which two processes
    share count twice. Both are null where there is no process.
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
@click.option("-w", "--watch", is_flag=True, show_envvar=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    metavar="SECONDS",
    show_envvar=True,
    help="From one look of --watch to the next.  [default: 2]",
)
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_instances)
@client_options
def ps(place: TargetOptions, names: tuple[str, ...], interval: float, *, json: bool, watch: bool) -> None:
    """List the instances: what each is doing, since when, and why.

    NAME is a type, an instance or a shell pattern; all without one. From outside procman's container CPU and MEMORY are
    not known.
    CPU is the average over the process's life, in percent of one core; CPU and MEMORY are those of the process and
    everything it started. A type in a crash loop says so in its REASON. Ends with 3 where no procman runs here.

    With --watch a terminal shows the table in place; elsewhere one comes after the other, with --json one object a
    line. CPU then is the average since the last look. It goes on when procman is upgraded, and ends with 3 when procman
    has ended.

    \b
    Examples:
      procman ps
      procman ps web worker.2
      procman ps --watch
      procman ps --json | jq '.instances[] | select(.phase != "ready") | .name'
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    with Poller(place.find()) as looker:
        meter = Meter()
        if not watch:
            click.echo(told(listed(looker.look(), meter, names), json=json))
            return
        screen = Screen() if can_redraw() and not json else None
        while True:
            text = told(listed(looker.look(), meter, names), json=json)
            if screen is not None:
                screen.draw(text)
            else:
                click.echo(text if json else f"{text}\n")
            looker.pause(interval)


def told(listing: Listing, *, json: bool) -> str:
    return json_object(listing).decode() if json else shown(listing)


def listed(look: Poll, meter: Meter, names: tuple[str, ...] = ()) -> Listing:
    """What procman knows of each instance that is meant, and what the process table adds. Raises RefusedError."""
    answer = look.answer
    known = answer.fleet.instances
    chosen = Chosen(names)
    refusal = chosen.refuse(answer.fleet.formation, [i.name for i in known])
    if refusal is not None:
        raise RefusedError(*refusal)
    meant = [i for i in known if not names or chosen.means(i.name)]
    meter.forget_all_but({(i.name, i.generation) for i in meant})
    return Listing(answer.fleet.formation, [_row(i, answer.time, look.trees, meter) for i in meant])


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
    )


def shown(listing: Listing) -> str:
    """The table. Nothing in it can move a terminal's cursor, whatever a reason holds."""
    if not listing.instances:
        return "no instances; `procman scale TYPE=N` starts some"
    return columns([HEAD, *map(cells, listing.instances)], right=NUMBERS)


def cells(row: Row) -> tuple[str, ...]:
    """What the table says of an instance, in the order of HEAD."""
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
