"""Forks: the process in the background becomes procman, the other one is its client.

The fork comes before any thread, child, lock or socket exists, so that all of them belong to the background. procman
reports refusals on the terminal itself; once it listens, the client gets its socket.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from procman.cli.early import release_signals
from procman.control.sockets import why_no_socket
from procman.errors import ProcmanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.control.claim import Claim


class Background(NamedTuple):
    """procman as its client knows it: `path` is its socket, "" where it refused to start and said why."""

    pid: int
    path: str

    def code(self) -> int:
        """Its exit code once it has ended, as a shell reports it."""
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


def split(run: Callable[[Callable[[Claim | None], None]], int], enter: Callable[[], None]) -> Background | int:
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
        return run(partial(_listens, writer, enter))
    release_signals()
    os.close(writer)
    with open(reader, "rb") as pipe:
        return Background(pid, os.fsdecode(pipe.read()))


def _listens(to_foreground: int, enter: Callable[[], None], claimed: Claim | None) -> None:
    """Report where procman listens. Raises BrokenPipeError where the client has ended."""
    if claimed is None:
        text = f"cannot run in the background without a control socket: {why_no_socket()}"
        raise ProcmanError(text, "--socket PATH names one")
    enter()
    os.write(to_foreground, os.fsencode(claimed.place.socket))
    os.close(to_foreground)
