"""How a run of any verb ends: its exit code, and messages on standard error.

0 done; 1 refused or failed; 2 usage or configuration; 3 no procman runs for this folder; 130 interrupted; 141 the
reader of our output has gone. Every line of an error starts with `procman: `; tracebacks are shown to developers only.

It knows errors and one verb: `start`, which may be read without click.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

from procman.cli.early import load_msgspec, loaded
from procman.errors import ProcmanError, fault_of_system

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPLETE = "_PROCMAN_COMPLETE"
"""The variable of click's shell completion (click.palletsprojects.com/shell-completion)."""


def run(args: Sequence[str]) -> int:
    """Run one verb; returns the exit code. KeyboardInterrupt is the caller's."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a reason may contain what a Latin-1 terminal cannot show
    try:
        code = _dispatch(list(args))
        if sys.stdout is not None:
            sys.stdout.flush()
    except ProcmanError as error:
        return _print(_advised(error, args))
    except BrokenPipeError:  # `procman ps | head`: like any Unix program, without dying of SIGPIPE
        _abandon_output()
        return 141
    except OSError as error:
        _abandon_output()
        return _print(_of_system(error))
    except Exception as error:
        if os.environ.get("PROCMAN_DEBUG"):
            raise
        if lacking := fault_of_system(error):
            return _print(ProcmanError(lacking))
        text = f"cannot continue: {type(error).__name__}: {error}"
        return _print(ProcmanError(text, "this is a fault of procman itself; PROCMAN_DEBUG=1 shows where"))
    return code


OUTPUT_FAILS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EBADF, errno.ENXIO)
"""Errors of a write to a standard output that is full, closed or gone."""


def _of_system(error: OSError) -> ProcmanError:
    """The error for a user, by what is known of the system's."""
    if lacking := fault_of_system(error):
        return ProcmanError(lacking)
    why = error.strerror or str(error)
    if error.filename:
        return ProcmanError(f"cannot use {error.filename}: {why}")
    if error.errno in OUTPUT_FAILS:
        return ProcmanError(f"cannot write to standard output: {why}")
    name = errno.errorcode.get(error.errno or 0, "")
    return ProcmanError(f"cannot continue: {why}{f' ({name})' if name else ''}")


def _dispatch(args: list[str]) -> int:
    if os.environ.get(COMPLETE):
        from procman.cli.group import complete  # noqa: PLC0415  click takes 13 ms

        return complete(COMPLETE, os.environ[COMPLETE])
    if args[:1] == ["start"]:
        load_msgspec()
        from procman.cli.line import fast_parse as plain  # noqa: PLC0415  no other verb is read without click

        options = plain.read(args[1:], os.environ)
        if options is not None:
            from procman.cli.starting import start_formation  # noqa: PLC0415  only where it is done

            loaded()
            return start_formation(options)
    from procman.cli.group import dispatch  # noqa: PLC0415  as above

    return dispatch(args)


def _advised(error: ProcmanError, args: Sequence[str]) -> ProcmanError:
    """The refusal with advice for what was typed, if there is any."""
    from procman.cli.group import VERBS  # noqa: PLC0415  only on the way to an error
    from procman.cli.line.advice import of_refused  # noqa: PLC0415  as above

    advice = of_refused(args, error.message, VERBS) if error.exit_code in (1, 2) else None
    if advice is None:
        return error
    advised = ProcmanError(advice.message or error.message.partition(" (")[0], advice.hint)
    advised.exit_code = error.exit_code
    return advised


def _print(error: ProcmanError) -> int:
    from procman.text.lines import clean  # noqa: PLC0415  only on the way to an error

    for line in "\n".join(error.lines()).split("\n"):
        if sys.stderr is not None:
            print(f"procman: {clean(line)}", file=sys.stderr)  # what it names may contain anything: a folder, an answer
    return error.exit_code


def _abandon_output() -> None:
    """Redirect standard output to nowhere; otherwise the interpreter would write to it once more at its end, and report
    that this failed.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
