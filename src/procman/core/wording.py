"""Instances as people read them: the rows of ps, who is waited for, and how everything ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from procman.core.select import LISTED
from procman.core.state import ASKED_FOR, Instance, Phase
from procman.core.view import InstanceView, duration


def view_of(i: Instance, now: float, *, crash_loop: bool) -> InstanceView:
    """One row of ps at this moment."""
    return InstanceView(
        name=i.name,
        type=i.spec.type,
        phase=i.shown,
        pid=i.pid,
        port=i.spec.port_of(i.index),
        restarts=i.restarts,
        generation=i.generation,
        uptime=now - i.born if i.pid is not None else None,
        age=now - i.since,
        reason=reason_of(i, now, crash_loop=crash_loop),
        last_exit=str(i.last_exit) if i.last_exit else None,
        crash_loop=crash_loop,
    )


def reason_of(i: Instance, now: float, *, crash_loop: bool) -> str | None:
    """Why it is in its phase, and what comes next and when."""
    match i.phase:
        case Phase.BACKOFF:
            text = f"{i.reason}; again in {duration(i.deadline - now)}"
        case Phase.STOPPING if i.cause in ASKED_FOR and i.deadline > now:
            text = f"{i.reason}; KILL in {duration(i.deadline - now)}"
        case Phase.DOWN if i.reason:
            text = f"{i.reason} {duration(now - i.since)} ago"
        case Phase.SPAWNING | Phase.STARTING | Phase.READY:
            text = ""
        case _:
            text = i.reason
    if crash_loop and i.phase is not Phase.DOWN:
        text = f"{text} (crash loop)" if text else "crash loop"
    return text or None


def waiting_line(instances: Sequence[Instance], now: float) -> str:
    """`waiting for worker.1 (pid 4242, 8 s left)`; empty where nobody is waited for."""
    waited = [i for i in instances if i.phase is Phase.STOPPING]
    if not waited:
        return ""
    parts = [
        f"{i.name} ({f'pid {i.pid}' if i.alive else 'what it left'}, {duration(max(0.0, i.deadline - now))} left)"
        for i in waited[:LISTED]
    ]
    more = f" and {len(waited) - LISTED} more" if len(waited) > LISTED else ""
    return f"waiting for {', '.join(parts)}{more}"


def ended_line(instances: Sequence[Instance]) -> str:
    """`stopped: web.1 exit 0, worker.1 SIGTERM`; many instances are counted by type. Empty where none ever ran."""
    ended = [i for i in instances if i.last_exit is not None]
    if not ended:
        return ""
    if len(ended) <= LISTED:
        return "stopped: " + ", ".join(f"{i.name} {i.last_exit}" for i in ended)
    counts = Counter((i.spec.type, str(i.last_exit)) for i in ended)
    return "stopped: " + ", ".join(f"{n} {type_name} {status}" for (type_name, status), n in counts.items())
