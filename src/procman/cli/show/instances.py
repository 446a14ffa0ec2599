"""Instances as a table, for `ps` and `top`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.cli.show.table import columns
from procman.text.lines import clean
from procman.text.words import duration

if TYPE_CHECKING:
    from procman.observe.listing import Listing, Row

HEAD = ("NAME", "PHASE", "PID", "UP", "RESTARTS", "PORT", "CPU", "MEMORY", "REASON")
NUMBERS = (2, 4, 5, 6, 7)


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
