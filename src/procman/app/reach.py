"""How a running procman is reached, and from which folders: kept right while folders come and go around it."""

from __future__ import annotations

import os
from collections.abc import Callable

from procman.control.claim import Claim
from procman.errors import ConfigError, RefusedError
from procman.serve.server import Server


class Reach:
    """The claim and the server of one procman; without both there is nothing to keep right."""

    def __init__(self, claimed: Claim | None) -> None:
        self._claimed = claimed
        self._server: Server | None = None
        self._say: Callable[[str], None] = lambda _text: None

    def serve(self, server: Server | None, say: Callable[[str], None]) -> None:
        self._server = server
        self._say = say

    def renew(self) -> None:
        """Make the socket again where it has gone, as with the runtime folder of a user who has logged out."""
        if self._claimed is not None and self._server is not None:
            before = self._claimed.listener
            listener = self._claimed.renew()
            if listener is not None:
                self._server.replace(before, listener)
                self._say(f"the socket {self._claimed.place.socket} had gone: it is there again")

    def follow(self, root: str) -> None:
        """The root is another folder now, by the same name. Raises ConfigError where another procman runs there."""
        if self._claimed is not None and self._server is not None:
            try:
                fresh = self._claimed.follow(root)
            except RefusedError as error:
                raise ConfigError(error.message.replace("start", f"use the root {root}", 1), error.hint) from None
            for listener in fresh:
                self._server.listen(listener)
        self._say(
            f"{root} is another folder now, {os.path.realpath(root)}: what is started from here on runs there; "
            "`procman restart` moves the rest"
        )


def leads_elsewhere(path: str, held: int) -> bool:
    """Whether the path leads to a folder, and to another than that of this descriptor."""
    try:
        return os.path.isdir(path) and not os.path.samestat(os.stat(path), os.fstat(held))
    except OSError:  # it has gone meanwhile: what it was is still there
        return False


def move(held: int, path: str) -> None:
    """The descriptor is of the folder that the path leads to, from now on. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.dup2(fd, held, inheritable=False)
    finally:
        os.close(fd)
