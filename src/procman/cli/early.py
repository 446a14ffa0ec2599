"""Signals that come before there are handlers: from the first line of `start` on none is lost.

As PID 1 they would be thrown away (pid_namespaces(7)), else be taken as an order to die. Imports nothing but what `start`
needs anyhow, and that when it does.
"""

from __future__ import annotations

import os

HELD = ("HUP", "QUIT", "USR1", "USR2", "TTIN", "TTOU", "ALRM", "VTALRM", "PROF", "POLL", "PWR", "XCPU")
"""What would end or stop a procman that has no handler yet, and means something to one that has."""


def hold_signals() -> None:
    """What asks for an end ends a start that has started nothing, and the rest waits for its handlers."""
    import signal  # noqa: PLC0415  1 ms, for `start` alone

    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell's job in the background
        signal.signal(signal.SIGINT, _end)
    signal.pthread_sigmask(signal.SIG_BLOCK, _held())


def release_signals() -> None:
    """For a process that does not become procman after all: as any other program."""
    import signal  # noqa: PLC0415  as above

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _held())


def _held() -> set[int]:
    import signal  # noqa: PLC0415  as above

    return {getattr(signal, f"SIG{name}") for name in HELD if hasattr(signal, f"SIG{name}")}


def _end(number: int, _frame: object) -> None:
    """At once: there is nothing to undo yet, and an exception in the midst of an import has crashed libraries."""
    os._exit(130 if number == 2 else 0)  # SIGINT; as after any TERM
