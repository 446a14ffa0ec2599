"""`start --detach`, and what `--then` shares with it: a fork, whose process in the background becomes procman, while the
other one is its client.

The fork comes before any thread, child, lock or socket exists, so that all of them belong to the background. procman
reports refusals on the terminal itself; once it listens, the client gets its socket.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import click

from procman.cli.early import release_signals
from procman.cli.wait_option import print_change
from procman.control.client import Client, ClosedError
from procman.control.messages import Waited, WaitParams
from procman.control.sockets import why_no_socket
from procman.control.waiting import EndedError
from procman.errors import NotRunningError, ProcmanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.app.run import Foreground
    from procman.control.claim import Claim
    from procman.core.spec import Plan
    from procman.core.view import FleetView


class Background(NamedTuple):
    """procman as its client knows it: `path` is its socket, "" if it refused to start and said why; `rest` ends with
    procman.
    """

    pid: int
    path: str
    rest: BinaryIO

    def last_lines(self) -> str:
        """What it wrote last; waits for its end."""
        return self.rest.read().decode(errors="replace")

    def code(self) -> int:
        """Its exit code once it has ended, as a shell reports it."""
        return code_of(self.pid)


def code_of(pid: int) -> int:
    """The exit code of a child once it has ended, as a shell reports it."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


class ClientInForeground:
    """The client as procman knows it (`app.run.Foreground`): the other end of a pipe, which may have no reader any more."""

    def __init__(self, pipe: int, enter: Callable[[], None]) -> None:
        self._pipe = pipe
        self._enter = enter

    def listens(self, claimed: Claim | None) -> None:
        """Report where procman listens. Raises BrokenPipeError if the client has ended."""
        if claimed is None:
            text = f"cannot run in the background without a control socket: {why_no_socket()}"
            raise ProcmanError(text, "--socket PATH names one")
        self._enter()
        os.write(self._pipe, os.fsencode(claimed.place.socket) + b"\n")

    def has_ended(self, last: list[str]) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, "".join(f"{line}\n" for line in last).encode(errors="replace")[-select.PIPE_BUF :])


def split(run: Callable[[Foreground], int], enter: Callable[[], None]) -> Background | int:
    """Fork. In the background `run` becomes procman and calls `enter` once it listens; returns its exit code there. In
    the foreground returns the Background.
    """
    reader, writer = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None where the descriptor was closed
            stream.flush()
    pid = os.fork()
    if not pid:
        os.close(reader)
        os.setsid()  # no terminal, and so none whose end would end it
        return run(ClientInForeground(writer, enter))
    release_signals()
    os.close(writer)
    pipe = open(reader, "rb")  # noqa: SIM115  until procman has ended
    return Background(pid, os.fsdecode(pipe.readline().rstrip(b"\n")), pipe)


def detached(_plan: Plan, run: Callable[[Foreground], int]) -> int:
    """Fork, and wait in the foreground until everything is up; returns the exit code of either process."""
    made = split(run, _leave)
    return made if isinstance(made, int) else _wait(made)


def _leave() -> None:
    """Close the terminal, and pipes whose reader (ssh, say) would wait for their end."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    for fd in (1, 2):
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.dup2(nowhere, fd)
    os.close(nowhere)


def _wait(made: Background) -> int:
    """Wait until every instance is ready or done; returns the exit code. Raises ProcmanError if one cannot be."""
    if not made.path:
        return made.code()  # procman has said why
    goes_on = f"procman keeps running in the background (pid {made.pid}); `procman shutdown` ends it"
    try:
        with Client(made.path) as client:
            waited = client.wait(WaitParams(), print_change)
            fleet = client.ps().fleet
            counts = fleet.formation  # those that procman keeps may differ from the files'
            if _ends_now(fleet):
                waited = Waited("ending")
    except (EndedError, ClosedError, NotRunningError):
        waited, counts = Waited("ending"), {}
    except KeyboardInterrupt:
        click.echo(f"procman: {goes_on}", err=True)
        raise
    if waited.outcome == "ending":
        click.echo(f"{made.last_lines()}procman has ended again", err=True)
        return made.code()
    if waited.outcome == "failed":
        raise ProcmanError(waited.reason, f"{waited.hint}; {goes_on}")
    formation = ", ".join(f"{name} {count}" for name, count in counts.items())
    click.echo(f"procman runs in the background (pid {made.pid}, socket {made.path}): {formation}")
    click.echo("`procman logs -f` shows its output, `procman ps` what runs; `procman shutdown` ends it")
    return 0


def _ends_now(fleet: FleetView) -> bool:
    """Whether procman ends, as all instances have ended by themselves."""
    rows = (*fleet.instances, *fleet.companions)
    return fleet.stopping or (bool(rows) and all(row.phase == "done" for row in rows))
