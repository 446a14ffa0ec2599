"""The pipes and terminals of all children, which are watched, paused and resumed together.

They are in an epoll(7) of their own, whose descriptor the reactor watches. Without epoll (macOS, a seccomp profile) they
are in a selector of the standard library, which takes 90 bytes more for each. A kqueue can be watched like an epoll; poll
and select have no descriptor, so there the reactor watches each pipe.
"""

from __future__ import annotations

import contextlib
import select
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
        self._streams: dict[int, ChildStream] = {}  # by descriptor
        self._set = _epoll() or selectors.DefaultSelector()
        own: int | None = getattr(self._set, "fileno", lambda: None)()
        self._own = own  # its descriptor, if it has one
        self.watched = False

    def register(self, fd: int, stream: ChildStream) -> None:
        """Raises OSError if the system has no watch left (epoll(7)), with everything unchanged."""
        self._set.register(fd, READ)  # EPOLLIN is the same number
        self._streams[fd] = stream
        if self.watched and self._own is None:
            self._reactor.register(fd, READ, self._on_ready)

    def unregister(self, fd: int) -> None:
        if self.watched and self._own is None:
            self._reactor.unregister(fd)
        del self._streams[fd]
        with contextlib.suppress(OSError):  # the system may refuse it, and closing the descriptor does the same
            self._set.unregister(fd)

    def ready(self) -> list[ChildStream]:
        """The descriptors with data, or at their end."""
        if isinstance(self._set, selectors.BaseSelector):
            return [self._streams[key.fd] for key, _ in self._set.select(0)]
        return [self._streams[fd] for fd, _ in self._set.poll(0, len(self._streams) or 1)]

    def watch(self) -> None:
        """Watch them. Raises OSError like `register`."""
        for fd in self._fds():
            self._reactor.register(fd, READ, self._on_ready)
        self.watched = True

    def pause(self) -> None:
        for fd in self._fds() if self.watched else ():
            self._reactor.unregister(fd)
        self.watched = False

    def close(self) -> None:
        self.pause()
        self._set.close()

    def _fds(self) -> list[int]:
        """The descriptors that the reactor watches."""
        return [*self._streams] if self._own is None else [self._own]


def _epoll() -> select.epoll | None:
    try:
        return select.epoll()
    except (AttributeError, OSError):  # another system, or one that refuses it
        return None
