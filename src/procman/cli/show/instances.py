"""A table of instances, for `ps` and `top`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.cli.show.table import columns
from procman.text.lines import clean
from procman.text.words import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procman.observe.listing import Listing, Row

HEAD = ("NAME", "PHASE", "PID", "UP", "RESTARTS", "PORT", "CPU", "MEMORY", "REASON")
NUMBERS = (2, 4, 5, 6, 7)


MOST_ORPHANS = 10
"""As PID 1 procman may have many orphans."""

REASON = len(HEAD) - 1
SPARE = (7, 6, 5, 4)
"""Columns that a narrow terminal omits, in this order."""

INDENT = "    "


def shown(listing: Listing, width: int | None = None, *, companions: bool = False) -> str:
    """The table, in lines of at most `width` if given; a reason that does not fit is then below its row.

    Nothing in it can move a terminal's cursor, whatever a reason contains.
    """
    rows = [*listing.instances, *(listing.companions if companions else ())]
    if not rows:
        demand = "; `procman autoscale` explains the counts that follow demand"
        follows = any(one.autoscaled for one in listing.types)
        return f"no instances; `procman scale TYPE=N` starts some{demand if follows else ''}"
    table = [HEAD, *map(cells, rows)]
    text = columns(table, right=NUMBERS)
    if width is not None and max(map(len, text.splitlines())) > width:
        text = _narrow(table, width)
    rollouts = [f"{one.type}: rollout {one.rollout}" for one in listing.types if one.rollout]
    return "\n".join([text, *rollouts, *_orphans(listing)])


def _narrow(table: Sequence[Sequence[str]], width: int) -> str:
    """Omit columns as far as needed, and put each reason on lines of its own."""
    left, lines = list(range(REASON)), [""]
    for spare in (None, *SPARE):
        if spare is not None:
            left.remove(spare)
        right = [at for at, n in enumerate(left) if n in NUMBERS]
        lines = columns([[row[n] for n in left] for row in table], right=right).splitlines()
        if max(map(len, lines)) <= width:
            break
    shown = lines[:1]
    for line, row in zip(lines[1:], table[1:], strict=True):
        shown += [line[:width], *_wrapped(row[REASON], width)]
    return "\n".join(shown)


def _wrapped(text: str, width: int) -> list[str]:
    """Words in indented lines. The terminal cuts a word that is longer than a line."""
    import textwrap  # noqa: PLC0415  2 ms, where a line is too long

    words = " ".join(text.split())
    return textwrap.wrap(
        words, width, initial_indent=INDENT, subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False
    )


def _orphans(listing: Listing) -> list[str]:
    if not listing.orphans:
        return []
    named = ", ".join(f"pid {orphan.pid} ({clean(orphan.name)})" for orphan in listing.orphans[:MOST_ORPHANS])
    more = len(listing.orphans) - MOST_ORPHANS
    return [f"orphans (their instance is unknown): {named}{f' and {more} more' if more > 0 else ''}"]


def cells(row: Row) -> tuple[str, ...]:
    """The cells of an instance, in the order of HEAD."""
    return (
        row.name,
        row.phase,
        "" if row.pid is None else str(row.pid),
        "" if row.uptime is None else duration(row.uptime),
        str(row.restarts),
        "" if row.port is None else str(row.port),
        "" if row.cpu is None else f"{row.cpu:.1f} %",
        "" if row.memory is None else size(row.memory),
        clean(_reason(row)),
    )


def _reason(row: Row) -> str:
    """The reason, with the probe's last answer where the instance is not ready and the reason does not contain it."""
    reason = row.reason or ""
    if row.ready or row.pid is None or not row.probe or row.probe in reason:
        return reason
    return f"{reason}; probe: {row.probe}" if reason else f"probe: {row.probe}"


def size(count: int) -> str:
    """Bytes as people say them, in powers of 1000."""
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB"
    if count < 1_000_000_000:
        return f"{count / 1_000_000:.0f} MB"
    return f"{count / 1_000_000_000:.1f} GB"
