"""The command line: one file a verb, loaded when it is named. The only room that exits.

This file is the program's entry and imports nothing heavy, so that a Ctrl-C ends it quietly from the first
millisecond on; what a run is, and how it ends, is `outcome`'s.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


HELD = ("HUP", "QUIT", "USR1", "USR2", "TTIN", "TTOU", "ALRM", "VTALRM", "PROF", "POLL", "PWR", "XCPU")
"""What would end or stop a procman that has no handler yet, and means something to one that has."""


class StopAskedError(BaseException):
    """TERM has come before anything was started. No Exception: nobody who expects one is to catch it."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and exit with its code; `args` are the command line's where none are given.

    The garbage collector rests until the verb is `loaded`: imports make objects and no garbage.
    """
    gc.disable()
    words = sys.argv[1:] if args is None else args
    try:
        if words[:1] == ["start"]:
            hold_signals()
        from procman.cli.outcome import run  # noqa: PLC0415  30 ms of imports, in which Ctrl-C may come

        code = run(words)
    except KeyboardInterrupt:
        code = 130  # 128 + SIGINT
    except StopAskedError:
        code = 0  # as after any TERM
    _leave(code)


def hold_signals() -> None:
    """From the first line on none is lost: what asks for an end ends a start that has started nothing, and the rest waits
    for its handlers. As PID 1 it would be thrown away (pid_namespaces(7)), else be taken as an order to die.
    """
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


def loaded() -> None:
    """The verb is loaded: 54 ms for `procman scale` in place of 64, most of them the collection at the exit."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _leave(code: int) -> NoReturn:
    """Exit without taking the interpreter apart, object by object: 7 ms of each verb and a third of a stop of 100 instances.

    What was registered for the exit is done, and what was written is flushed, as far as anybody takes it.
    """
    atexit._run_exitfuncs()  # noqa: SLF001  as Py_Finalize does
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # there is none, or it takes no more, which `outcome` has told
            continue
    os._exit(code)
