"""Signals that come before there are handlers: from the first line of `start` on none is lost.

As PID 1 they would be thrown away (pid_namespaces(7)), else be taken as an order to die. Imports nothing but what `start`
needs anyhow, and that when it does.
"""

from __future__ import annotations

HELD = ("HUP", "QUIT", "USR1", "USR2", "TTIN", "TTOU", "ALRM", "VTALRM", "PROF", "POLL", "PWR", "XCPU")
"""What would end or stop a procman that has no handler yet, and means something to one that has."""


class StopAskedError(BaseException):
    """TERM has come before anything was started. No Exception: nobody who expects one is to catch it."""


def hold_signals() -> None:
    """What asks for an end ends a start that has started nothing, and the rest waits for its handlers."""
    import signal  # noqa: PLC0415  1 ms, for `start` alone

    signal.signal(signal.SIGTERM, _stop)
    signal.pthread_sigmask(signal.SIG_BLOCK, _held())


def release_signals() -> None:
    """For a process that does not become procman after all: as any other program."""
    import signal  # noqa: PLC0415  as above

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _held())


def _held() -> set[int]:
    import signal  # noqa: PLC0415  as above

    return {getattr(signal, f"SIG{name}") for name in HELD if hasattr(signal, f"SIG{name}")}


def _stop(_number: int, _frame: object) -> None:
    raise StopAskedError
