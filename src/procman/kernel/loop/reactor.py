"""The event loop, the only place that waits: a selector, a heap of deadlines, and a wake-up for signals.

Knows descriptors, callbacks, times and signal numbers; knows no instances. Handlers run to completion. A round handles
signals first, then descriptors, then due deadlines, so that an exit is seen before a timer that it makes stale. If that
takes long, signals and deadlines do not wait for all descriptors: the remaining ones come first in the next round.
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

Callback = Callable[[], None]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

OneShotSelector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""For polling one descriptor, which may be a file: it needs no descriptor of its own, and epoll(7) accepts no files."""


RETRY = 0.1
"""Seconds until a deadline whose handler failed for lack of memory is handled again."""

ROUND = 0.01
"""Seconds after which the remaining descriptors wait for the next round: five hundred clients with a request each make
two seconds of work.
"""


class Reactor:
    """A selector loop. Times are `time.monotonic()` seconds."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callback]] = []
        self._order = itertools.count()
        self._pending: set[int] = set()
        self._handlers: dict[int, Callback] = {}
        self._signal_readers: list[Callback] = []
        self._muted: set[int] = set()  # descriptors whose callback has raised, and would raise in every round
        self._ready: deque[selectors.SelectorKey] = deque()  # descriptors still to be handled
        self._running = True
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, READ, self._on_wake)

    # ---- descriptors

    def register(self, fd: int, events: int, callback: Callback) -> None:
        """Call back whenever fd is ready (level-triggered) for READ and/or WRITE."""
        self._selector.register(fd, events, callback)

    def modify(self, fd: int, events: int, callback: Callback) -> None:
        if fd not in self._muted:
            self._selector.modify(fd, events, callback)

    def unregister(self, fd: int) -> None:
        """Forget fd. Call this before fd is closed."""
        if fd in self._muted:
            self._muted.discard(fd)
        else:
            self._selector.unregister(fd)

    # ---- deadlines

    def call_at(self, when: float, callback: Callback) -> None:
        """Call back once at `when`. Deadlines are never cancelled, so the callback must cope with being late or stale."""
        heapq.heappush(self._timers, (when, next(self._order), callback))

    # ---- signals

    def on_signal(self, number: int, callback: Callback) -> None:
        """Call back in the loop after this signal. Several that arrive before a round count as one (signal(7))."""
        self._handlers[number] = callback
        signal.signal(number, self._note)

    def handle_signals(self) -> None:
        """Handle signals that have arrived, before something starts that they would forbid."""
        for read in self._signal_readers:
            read()
        self._handle_pending()

    def _handle_pending(self) -> None:
        while self._pending and self._running:
            number = min(self._pending)
            self._pending.discard(number)
            try:
                self._handlers[number]()
            except MemoryError:
                self._pending.add(number)
                raise

    def read_signals_with(self, read: Callback) -> None:
        """`read` handles signals that arrive through a descriptor."""
        self._signal_readers.append(read)

    def is_waiting(self, numbers: Iterable[int]) -> bool:
        """Whether one of these signals has arrived and is not handled yet."""
        return not self._pending.isdisjoint(numbers) or not signal.sigpending().isdisjoint(numbers)

    def take_signals(self) -> set[int]:
        """Take the signals that have arrived and are not handled yet; the caller has to handle them."""
        taken, self._pending = self._pending, set()
        return taken

    def _note(self, number: int, _frame: Any) -> None:  # noqa: ANN401  the interpreter's frame
        self._pending.add(number)

    def _on_wake(self) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            return

    # ---- the loop

    def run(self) -> None:
        """Handle events until stop(), which may have been called before. The wake-up descriptor is only armed while the
        loop runs.

        An exception of a callback leaves the loop. run() may be called again, without that callback's descriptor; after
        a MemoryError with it, and a signal or deadline is handled again.
        """
        before = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            while self._running:
                self._round()
        finally:
            signal.set_wakeup_fd(before)

    def stop(self) -> None:
        """Leave run() after the present handler, for good."""
        self._running = False

    def _round(self) -> None:
        if not self._ready:
            self._ready.extend(key for key, _ in self._selector.select(self._timeout()))
        if self._pending:
            self._handle_pending()
        registered = self._selector.get_map()
        until = time.monotonic() + ROUND
        while self._ready and self._running:
            key = self._ready.popleft()
            if registered.get(key.fd) is key:  # otherwise an earlier handler of this round closed or changed it
                self._call(key)
            if time.monotonic() >= until:
                break
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now and self._running:
            when, order, callback = heapq.heappop(self._timers)
            try:
                callback()
            except MemoryError:
                heapq.heappush(self._timers, (max(when, now) + RETRY, order, callback))
                raise

    def _call(self, key: selectors.SelectorKey) -> None:
        try:
            key.data()
        except MemoryError:  # it is not the fault of the descriptor
            raise
        except Exception:
            if self._selector.get_map().get(key.fd) is key:
                self._selector.unregister(key.fd)
                self._muted.add(key.fd)
            raise

    def _timeout(self) -> float | None:
        if self._pending:
            return 0.0
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - time.monotonic())

    def close(self) -> None:
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
