"""How a running procman can be reached, and from which folders, while folders appear and disappear around it."""

from __future__ import annotations

import os
from collections.abc import Callable

from procman.control.claim import Claim
from procman.errors import ConfigError, RefusedError
from procman.serve.lazyserver import LazyServer


class Reach:
    """The claim and the server of one procman. Without both there is nothing to maintain."""

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
        """The name of the root now leads to another folder. Raises ConfigError where another procman runs there."""
        if self.claimed is not None and self._server is not None:
            try:
                fresh = self.claimed.follow(root)
            except RefusedError as error:
                raise ConfigError(error.message.replace("start", f"use the root {root}", 1), error.hint) from None
            for listener in fresh:
                self._server.listen(listener)
        real = os.path.realpath(root)
        where = "" if real == root else f", {real}"
        self._log(f"{root} is another folder now{where}: new processes run there; {hint}")
