"""Forks: the process in the background becomes procman, the other one is its client.

The fork comes before any thread, child, lock or socket exists, so that all of them belong to the background. procman
reports refusals on the terminal itself; once it listens, the client gets its socket.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from procman.cli.early import release_signals
from procman.control.sockets import why_no_socket
from procman.errors import ProcmanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.app.run import Foreground
    from procman.control.claim import Claim


class Background(NamedTuple):
    """procman as its client knows it: `path` is its socket, "" where it refused to start and said why; `rest` ends with
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
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


class ClientInForeground:
    """The client as procman knows it (`app.run.Foreground`): the other end of a pipe, which may have no reader any more."""

    def __init__(self, pipe: int, enter: Callable[[], None]) -> None:
        self._pipe = pipe
        self._enter = enter

    def listens(self, claimed: Claim | None) -> None:
        """Report where procman listens. Raises BrokenPipeError where the client has ended."""
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
