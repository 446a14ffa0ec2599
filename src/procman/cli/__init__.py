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

from procman import bytecode
from procman.cli import early

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and exit with its code; `args` are the command line's where none are given.

    The garbage collector rests until the verb is `early.loaded`: imports make objects and no garbage.
    """
    gc.disable()
    words = sys.argv[1:] if args is None else args
    try:
        if words[:1] == ["start"]:
            early.hold_signals()
        bytecode.use()
        from procman.cli.outcome import run  # noqa: PLC0415  30 ms of imports, in which Ctrl-C may come

        code = run(words)
    except KeyboardInterrupt:
        code = 130  # 128 + SIGINT
    except (OSError, ImportError, SystemError) as error:  # no descriptor left to load what tells it better
        why = getattr(error, "strerror", None) or error
        os.write(2, f"procman: cannot load the program: {why} (`ulimit -n`?)\n".encode())
        code = 1
    _leave(code)


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
