"""`start --detach`: of one process two. The one in the background becomes procman; the other waits until all is up.

The fork comes before any thread, child, lock or socket is there, so that all of them are the background's own. As long
as it can refuse, it does so on the terminal itself, and the one who waits ends with its exit code; from when it listens
on, that one is a client like any other.
"""

from __future__ import annotations

import os
import stat
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from procman.cli.wait import tell
from procman.control.client import Client, ClosedError
from procman.control.messages import Waited, WaitParams
from procman.control.waiting import EndedError
from procman.errors import NotRunningError, ProcmanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.control.locate import Claim
    from procman.core.spec import Plan


def detached(plan: Plan, run: Callable[[Callable[[Claim | None], None]], int]) -> int:
    """Fork; returns the exit code, on either side. `run` becomes procman, and calls what it is given once it listens."""
    reader, writer = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None where the descriptor was closed
            stream.flush()
    pid = os.fork()
    if pid:
        os.close(writer)
        return _wait(plan, pid, reader)
    os.close(reader)
    os.setsid()  # no terminal, so none that could end it
    return run(partial(_leave, writer))


def _leave(to_foreground: int, claimed: Claim | None) -> None:
    """Let go of the terminal, and say where procman listens. BrokenPipeError where nobody waits any more."""
    if claimed is None:
        text = "cannot run in the background without a control socket: no folder for it can be written"
        raise ProcmanError(text, "--socket PATH names one")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    for fd in (1, 2):
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # the reader of a pipe, ssh for one, would wait for its end
            os.dup2(nowhere, fd)
    os.close(nowhere)
    os.write(to_foreground, os.fsencode(claimed.place.socket))
    os.close(to_foreground)


def _wait(plan: Plan, pid: int, from_background: int) -> int:
    """Until every instance is ready or done; returns the exit code. Raises ProcmanError where one will not be."""
    with open(from_background, "rb") as pipe:
        path = os.fsdecode(pipe.read())
    if not path:
        return _code(pid)  # it has said why
    goes_on = f"procman keeps running in the background (pid {pid}); `procman shutdown` ends it"
    try:
        with Client(path) as client:
            waited = client.wait(WaitParams(), tell)
    except (EndedError, ClosedError, NotRunningError):
        waited = Waited("ending")
    except KeyboardInterrupt:
        click.echo(f"procman: {goes_on}", err=True)
        raise
    if waited.outcome == "ending":
        click.echo("procman has ended again", err=True)
        return _code(pid)
    if waited.outcome == "failed":
        raise ProcmanError(waited.reason, f"{waited.hint}; {goes_on}")
    counts = ", ".join(f"{name} {count}" for name, count in plan.counts.items())
    click.echo(f"procman runs in the background (pid {pid}, socket {path}): {counts}")
    click.echo("`procman logs -f` shows its output, `procman ps` what runs; `procman shutdown` ends it")
    return 0


def _code(pid: int) -> int:
    """How it ended, as a shell tells it."""
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
