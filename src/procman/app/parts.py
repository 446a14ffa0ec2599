"""The parts of a running procman: what its inputs are read with, how it is reached, and everything that an upgrade needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.app.options import OutputOptions
from procman.config.options import Options
from procman.errors import ConfigError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.control.claim import Claim
    from procman.kernel.kernel import Kernel
    from procman.kernel.loop.reactor import Reactor
    from procman.kernel.output.logfiles import LogFiles
    from procman.serve.lazyserver import LazyServer


class ReloadInputs(Struct, frozen=True, kw_only=True, rename={"start_fd": "here"}):
    """What a reload reads the inputs with: everything as it was at the start.

    `kept` holds inputs that can be read only once. `start_dir` is the folder that procman was started in, by name and,
    as it may be renamed, as the descriptor `start_fd`; `root` is the descriptor of the folder that it works in. `inherited`
    are descriptors that procman's parent wants it to hold. `companions` are the options that ask for one; None if no
    companion can run, as there is no control socket.
    """

    options: Options
    environ: dict[str, str]
    kept: dict[str, bytes]
    start_dir: str
    start_fd: int
    root: int
    inherited: tuple[int, ...] = ()
    companions: tuple[str, ...] | None = ()


class Reach:
    """The claim and the server of one procman, which it maintains while folders appear and disappear around them. Without
    both there is nothing to maintain.
    """

    def __init__(self, claimed: Claim | None) -> None:
        self.claimed = claimed
        self._server: LazyServer | None = None
        self._log: Callable[[str], None] = lambda _text: None

    def serve(self, server: LazyServer | None, log: Callable[[str], None]) -> None:
        self._server = server
        self._log = log

    def renew(self) -> None:
        """Create the socket again if it has disappeared, for example with the runtime folder of a user who logged out."""
        if self.claimed is not None and self._server is not None:
            before = self.claimed.listener
            listener = self.claimed.renew()
            if listener is not None:
                self._server.replace(before, listener)
                self._log(f"the socket {self.claimed.place.socket} was removed: it is created again")

    def follow(self, root: str, hint: str) -> None:
        """The name of the root now leads to another folder. Raises ConfigError if another procman runs there."""
        if self.claimed is not None and self._server is not None:
            try:
                fresh = self.claimed.follow(root)
            except RefusedError as error:
                raise ConfigError(error.message.replace("start", f"use the root {root}", 1), error.hint) from None
            for listener in fresh:
                self._server.add(listener)
        real = os.path.realpath(root)
        where = "" if real == root else f", {real}"
        self._log(f"{root} is another folder now{where}: new processes run there; {hint}")


class RunningParts(Struct, frozen=True):
    """All parts of a running procman, for an upgrade."""

    output: OutputOptions
    inputs: ReloadInputs
    claimed: Claim | None
    files: LogFiles | None
    reactor: Reactor
    kernel: Kernel
    server: LazyServer | None
