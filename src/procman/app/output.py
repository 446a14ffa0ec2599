"""Procman's own standard streams: how lines look, where output that cannot be written is reported, and the first line
of a start.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from procman import __version__
from procman.control.sockets import why_no_socket
from procman.kernel.output.formatting import Format
from procman.kernel.output.sinks import Sink, find_way
from procman.text.colour import wants_color

if TYPE_CHECKING:
    from procman.app.options import OutputOptions
    from procman.control.claim import Claim
    from procman.core.spec import Plan
    from procman.kernel.loop.reactor import Reactor

NO_SOCKET = "\ncannot make a control socket: {}; ps, scale, --watch and other commands will not work"


def sink(reactor: Reactor) -> Sink:
    return Sink(reactor, 1, on_trouble=warn)


def warn(text: str) -> None:
    """Write a line to standard error without blocking: it may have the same problem as standard output."""
    way = find_way(2)
    try:
        way.put(f"procman: {text}\n".encode())
    except OSError:  # BlockingIOError among them
        return
    finally:
        way.close()


def line_format(output: OutputOptions) -> Format:
    init = os.getpid() == 1
    colored = wants_color(os.environ, terminal=os.isatty(1), choice=output.color)
    return Format(
        mode=output.log_format,
        timestamps=not init if output.timestamps is None else output.timestamps,
        prefix=not output.no_prefix,
        color=colored and output.log_format == "text",
        quiet=frozenset(output.quiet),
        screen=os.isatty(1) and output.log_format == "text",
    )


def open_standard_descriptors() -> None:
    """Open descriptors 0-2 where procman was started without them; otherwise a pipe would become one of them."""
    opened = []
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        opened.append(fd)
    os.close(fd)
    if 1 in opened:
        warn("cannot write to standard output: it is closed; all output is dropped (`procman logs` has it)")


MOST_TYPES = 12
"""Most process types that the first line names at a terminal."""


def headline(plan: Plan, claimed: Claim | None) -> str:
    """The line that says what runs. At a terminal it also shows the ports of each type, and how to reach procman."""
    if os.isatty(1):
        reached = (
            f"\n`procman ps` and the other commands work in another terminal; socket {claimed.place.socket}"
            if claimed
            else NO_SOCKET.format(why_no_socket())
        )
        return f"procman {__version__} (pid {os.getpid()}): {counts_of(plan)}{reached}"
    counts = ", ".join(f"{name} {count}{_kept(plan, name)}" for name, count in plan.counts.items())
    where = _ports_from(plan, "; ")
    reached = "; `procman ps` in another terminal" if claimed else NO_SOCKET.format(why_no_socket())
    return f"procman {__version__}: {counts}{where}{reached}"


def counts_of(plan: Plan) -> str:
    """Each type with its count and ports; a summary if there are more than a person reads."""
    if len(plan.counts) <= MOST_TYPES:
        return ", ".join(f"{_counted(plan, name, count)}{_kept(plan, name)}" for name, count in plan.counts.items())
    return f"{len(plan.counts)} types, {sum(plan.counts.values())} instances{_ports_from(plan, ', ')}"


def _ports_from(plan: Plan, after: str) -> str:
    first = min((spec.port for spec in plan.types.values() if spec.port is not None), default=None)
    return "" if first is None else f"{after}ports from {first}"


def _kept(plan: Plan, name: str) -> str:
    """A note on a count that was set at run time and differs from that of the files."""
    return " (kept)" if name in plan.kept else ""


def _counted(plan: Plan, name: str, count: int) -> str:
    """A type with its count, such as `web 2 (ports 5000-5001)`."""
    first, last = plan.types[name].port, plan.types[name].port_of(count)
    if first is None or count == 0:
        return f"{name} {count}"
    return f"{name} {count} (port {first})" if count == 1 else f"{name} {count} (ports {first}-{last})"
