"""The pipes and terminals of all children, which are watched, paused and resumed together.

They are in a selector of their own, whose descriptor the reactor watches (epoll and kqueue can be nested). Where the
system only has poll or select (a seccomp profile without epoll), which have no descriptor, the reactor watches each
pipe.
"""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING

from procman.kernel.loop.reactor import READ

if TYPE_CHECKING:
    from procman.kernel.loop.reactor import Callback, Reactor
    from procman.kernel.output.stream import ChildStream


class Pipes:
    """`on_ready` is called as long as one of them is ready and they are watched."""

    def __init__(self, reactor: Reactor, on_ready: Callback) -> None:
        self._reactor = reactor
        self._on_ready = on_ready
        self._selector = selectors.DefaultSelector()
        own: int | None = getattr(self._selector, "fileno", lambda: None)()
        self._own = own  # its descriptor, if it has one
        self._watched = False

    def register(self, fd: int, stream: ChildStream) -> None:
        """Raises OSError where the system has no watch left (epoll(7)), with everything unchanged."""
        self._selector.register(fd, READ, stream)
        if self._watched and self._own is None:
            self._reactor.register(fd, READ, self._on_ready)

    def unregister(self, fd: int) -> None:
        if self._watched and self._own is None:
            self._reactor.unregister(fd)
        self._selector.unregister(fd)

    def ready(self) -> list[ChildStream]:
        """Those with data, or at their end."""
        return [key.data for key, _ in self._selector.select(0)]

    def watch(self) -> None:
        """Watch them. Raises OSError like `register`."""
        for fd in self._fds():
            self._reactor.register(fd, READ, self._on_ready)
        self._watched = True

    def pause(self) -> None:
        for fd in self._fds():
            self._reactor.unregister(fd)
        self._watched = False

    def close(self) -> None:
        self._selector.close()

    def _fds(self) -> list[int]:
        """The descriptors that the reactor watches."""
        return [key.fd for key in self._selector.get_map().values()] if self._own is None else [self._own]
