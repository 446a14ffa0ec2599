"""The end of procman: only when it has no child left, and within five seconds of the core's Finish.

The KILLs here are not decisions of the core, because nothing decides after Finish. Procman must leave no process
behind, whether the fleet decided before, its fallback, or neither after a fault of both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from procman.core.view import Change, Kind
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.adoption import SWEEP_FIRST, Adoption
from procman.kernel.process.deaths import Deaths

LAST_REST = 5.0
"""Seconds to wait, after KILL, for a process that appeared after the end."""

REST_SCAN = 0.01
"""Seconds between two scans of the children where the loop no longer runs."""


class Ending:
    """`code` is the exit code, once there is nothing left to supervise. `stuck`: pids that were reported as unkillable."""

    def __init__(
        self,
        reactor: Reactor,
        adoption: Adoption,
        deaths: Deaths,
        publish: Callable[[Change], None],
        stuck: Callable[[], Collection[int]],
    ) -> None:
        self.code: int | None = None
        self._reactor = reactor
        self._adoption = adoption
        self._deaths = deaths
        self._publish = publish
        self._stuck = stuck
        self._give_up_at = 0.0
        self._waiting = False

    def begin(self, code: int) -> None:
        """The core has finished."""
        self.code = code
        self._give_up_at = time.monotonic() + LAST_REST
        self.check()

    def check(self) -> None:
        """Leave the loop when no child is left. A child that appears after the end gets KILL, and five seconds."""
        if self.code is None or self._waiting:
            return
        late = self._adoption.late(self._stuck())
        if not late:
            self._reactor.stop()
        elif time.monotonic() >= self._give_up_at:
            pids = ", ".join(map(str, late))
            self._publish(Change(event=Kind.UNKILLABLE, text=f"cannot end pid {pids}: still there after KILL"))
            self.code = 1
            self._reactor.stop()
        else:
            self._waiting = True
            self._adoption.kill(late)
            self._reactor.call_at(time.monotonic() + SWEEP_FIRST, self._check_again)

    def _check_again(self) -> None:
        self._waiting = False
        self.check()

    def abandon(self) -> None:
        """Both procman and its fallback have failed: KILL to all that procman started, as long as anything is left."""
        give_up_at = time.monotonic() + LAST_REST
        while True:
            self._deaths.kill_all()
            left = self._adoption.children()
            if not left or time.monotonic() > give_up_at:
                return
            self._adoption.kill(left)
            time.sleep(REST_SCAN)
