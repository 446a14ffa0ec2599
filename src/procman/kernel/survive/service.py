"""procman as a service of systemd, or of another manager with sd_notify(3): reports when it is ready, what runs, and
that it ends.

Only loaded where NOTIFY_SOCKET is in procman's own environment. The variables of that protocol are procman's, and never
reach a child (config/checks.py).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping

from procman.core.view import Change, FleetView, Kind
from procman.kernel.loop.reactor import Reactor

STATUS_AFTER = 1.0
"""Seconds in which the status is sent at most once."""

UP = ("ready", "done", "stopped", "failed")
"""Phases in which an instance does not delay readiness any more. Neither does one in a crash loop, nor one that waits
for that: systemd ends a service that is not ready in time, and one broken worker must not end the others.
"""


class Service:
    """Reports to systemd. `view` returns the present formation."""

    def __init__(self, reactor: Reactor, environ: Mapping[str, str], view: Callable[[], FleetView]) -> None:
        self._reactor = reactor
        self._view = view
        self._address = environ.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self._watchdog = _watchdog_seconds(environ)
        self._ready = False
        self._status = ""
        self._due = False

    def start(self) -> None:
        """The loop is about to run."""
        self._send_soon()
        if self._watchdog:
            self._feed()

    def changed(self, _time: float, change: Change) -> None:
        """A listener of the kernel's changes."""
        match change.event:
            case Kind.SHUTDOWN:
                self._send("STOPPING=1")
            case Kind.RELOADED:
                self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
                self._send("READY=1")
        self._send_soon()

    def _send_soon(self) -> None:
        """Send the status: the first at once, as readiness waits for it; later many changes make one."""
        if not self._due:
            self._due = True
            self._reactor.call_at(time.monotonic() + (STATUS_AFTER if self._ready else 0.0), self._send_status)

    def _send_status(self) -> None:
        self._due = False
        view = self._view()
        if not self._ready and _is_up(view):
            self._ready = True
            self._send("READY=1")
        up: dict[str, int] = {}
        for row in view.instances:
            up[row.type] = up.get(row.type, 0) + (row.phase == "ready")
        status = ", ".join(f"{name} {up.get(name, 0)}/{count}" for name, count in view.formation.items())
        if status != self._status:
            self._status = status
            self._send(f"STATUS={status}")

    def _feed(self) -> None:
        self._send("WATCHDOG=1")
        self._reactor.call_at(time.monotonic() + self._watchdog / 2, self._feed)

    def _send(self, text: str) -> None:
        """Send without blocking. A service manager that is gone is ignored."""
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way,
        ):
            way.setblocking(False)  # noqa: FBT003  the standard library's signature
            way.sendto(text.encode(), self._address)


def _is_up(view: FleetView) -> bool:
    rows = view.instances
    broken = any(row.crash_loop or row.phase == "failed" for row in rows)
    return all(row.phase in UP or row.crash_loop or (broken and row.phase == "waiting") for row in rows)


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """Seconds within which WATCHDOG=1 is expected from this process, else 0.0 (sd_watchdog_enabled(3))."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    mine = not pid or pid == str(os.getpid())
    return int(usec) / 1_000_000 if mine and usec.isdecimal() else 0.0
