"""The first milliseconds of a run: signals that come before there are handlers, the garbage collector's rest, and a
shorter way to a library.

Without a handler PID 1 never sees a signal (pid_namespaces(7)), and any other process is ended by it; `start` loses none
from its first line on. Imports nothing but what every verb needs anyhow.
"""

from __future__ import annotations

import gc
import os
import sys
from types import ModuleType

HELD = ("HUP", "QUIT", "USR1", "USR2", "TTIN", "TTOU", "ALRM", "VTALRM", "PROF", "POLL", "PWR", "XCPU")
"""Signals that would end or stop a procman without handlers, and have a meaning once it has them."""


def hold_signals() -> None:
    """TERM and INT end a start at once, as it has started nothing; the other signals wait for their handlers."""
    import signal  # noqa: PLC0415  1 ms, for `start` alone

    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell's job in the background
        signal.signal(signal.SIGINT, _end)
    signal.pthread_sigmask(signal.SIG_BLOCK, _held())


def release_signals() -> None:
    """Undo `hold_signals` in a process that does not become procman after all."""
    import signal  # noqa: PLC0415  as above

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _held())


def _held() -> set[int]:
    import signal  # noqa: PLC0415  as above

    return {getattr(signal, f"SIG{name}") for name in HELD if hasattr(signal, f"SIG{name}")}


def _end(number: int, _frame: object) -> None:
    """Exit at once: there is nothing to undo yet, and an exception in the middle of an import has crashed libraries."""
    os._exit(130 if number == 2 else 0)  # SIGINT; as after any TERM


def load_uuid() -> None:
    """Load uuid, which msgspec needs, without `platform`, of which uuid only asks `system()`: it would compile three
    patterns, 8 of the 240 million instructions of a start.
    """
    if "platform" in sys.modules:
        return
    stand_in = ModuleType("platform")
    vars(stand_in)["system"] = lambda: os.uname().sysname
    sys.modules["platform"] = stand_in
    try:
        import uuid  # noqa: PLC0415, F401
    except (AttributeError, ImportError):  # a uuid that asks for more: msgspec imports it as usual
        return
    finally:
        del sys.modules["platform"]


def loaded() -> None:
    """Let the garbage collector work again, without what is loaded by now: saves `procman scale` 10 of its 64 ms."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
