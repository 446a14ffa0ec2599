"""The command line: one file for each verb, loaded when that verb is called. The only room that exits.

This file is the program's entry and imports nothing heavy, so that Ctrl-C ends it quietly from the first millisecond
on. Exit codes and error messages are in `outcome`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # no import time at all; `signal` takes 1 ms
import os


def _end_line() -> None:
    """Begin a line after the `^C` that a terminal shows: a shell does so only for a program that the signal has killed."""
    try:
        if os.isatty(2):
            os.write(2, b"\n")
    except OSError:  # the terminal may have gone meanwhile
        return


def _interrupted(_number: int, _frame: object) -> None:
    """Exit at once: KeyboardInterrupt would be a traceback in an import, and lost in a callback of one."""
    _end_line()
    os._exit(130)  # 128 + SIGINT


def _hand_interrupts(before: object, after: object) -> None:
    """Install another handler for Ctrl-C, unless it is ignored, or the program that imports this has one of its own."""
    if _signal.getsignal(_signal.SIGINT) is before:
        try:
            _signal.signal(_signal.SIGINT, after)
        except ValueError:  # imported by another thread than the main one
            return


_hand_interrupts(_signal.default_int_handler, _interrupted)

import atexit  # noqa: E402  Ctrl-C is quiet from here on
import errno  # noqa: E402
import gc  # noqa: E402
import sys  # noqa: E402

from procman import bytecode  # noqa: E402
from procman.cli import early  # noqa: E402

_hand_interrupts(_interrupted, _signal.default_int_handler)  # of a program that only imports this

TYPE_CHECKING = False  # typing itself takes 5 ms, before Ctrl-C ends it quietly
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and exit with its code. `args` defaults to the words of the command line.

    The garbage collector is off until `early.loaded`: imports create objects and no garbage.
    """
    gc.disable()
    words = sys.argv[1:] if args is None else args
    try:
        if words[:1] == ["start"]:
            early.hold_signals()
        _hand_interrupts(_signal.default_int_handler, _interrupted)
        bytecode.use()
        from procman.cli.outcome import run  # noqa: PLC0415  30 ms of imports, in which Ctrl-C may come

        _hand_interrupts(_interrupted, _signal.default_int_handler)
        code = run(words)
    except KeyboardInterrupt:
        _end_line()
        code = 130  # 128 + SIGINT
    except (OSError, ImportError, SystemError) as error:  # no descriptor left to load what would report it better
        os.write(2, f"procman: cannot load the program: {_why(error)}\n".encode(errors="replace"))
        code = 1
    _leave(code)


def _why(error: Exception) -> str:
    """The reason in words, with the file that it is about."""
    if not isinstance(error, OSError):
        return str(error)
    hint = " (`ulimit -n`?)" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}{hint}"


def _leave(code: int) -> NoReturn:
    """Exit without destroying every object of the interpreter, which takes 7 ms of each verb, and a third of stopping
    100 instances.

    Exit functions are called, and output is flushed as far as its reader takes it.
    """
    atexit._run_exitfuncs()  # noqa: SLF001  as Py_Finalize does
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        # there is none, or it cannot be written to, which `outcome` has reported
        except (AttributeError, OSError, ValueError):
            continue
    os._exit(code)
