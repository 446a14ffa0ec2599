"""Keeps one backend of HAProxy in step: reads its servers, plans, sends commands, and says which stops need not wait.

It only remembers since when an instance is draining; everything else is read again each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from procman.companions.balancer.answers import HaproxyError, Refusal
from procman.companions.balancer.planning import BackendSpec, Planned, included, plan, slots_of
from procman.companions.files import write_whole
from procman.companions.program import text_of
from procman.errors import ProcmanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procman.companions.balancer.fleet import BalancedInstance
    from procman.companions.balancer.runtime import Runtime

ROUNDS = 4
"""Plans in one step: drain, maintenance, deletion, and the name's next server, where no connection is in use."""

SOON = 0.05
"""Seconds until the next poll while an instance drains, or HAProxy cannot be reached."""

CALM = 1.0
"""Seconds until the next poll otherwise: for as long HAProxy answers 503 after a restart without a state file."""

HOPELESS = frozenset(
    {Refusal.FORBIDDEN, Refusal.TOO_OLD, Refusal.NO_BACKEND, Refusal.UNREADABLE, Refusal.UNKNOWN_COMMAND}
)
"""Faults that do not go away by waiting: stops are not held up for them."""


class StepResult(Struct, frozen=True, kw_only=True):
    """Instances (name, generation) to release, a fault as text ("": none), and seconds until the next poll."""

    released: tuple[tuple[str, int], ...] = ()
    fault: str = ""
    again_in: float = CALM


class HaproxyBackend:
    """The backend of one process type. `drain`: seconds."""

    def __init__(self, backend: BackendSpec, runtime: Runtime, drain: float) -> None:
        self.holds = drain
        self._backend = backend
        self._runtime = runtime
        self._since: dict[tuple[str, int], float] = {}
        self._met = False
        self._is_kept = False  # whether the file contains the last commands

    def step(self, instances: Sequence[BalancedInstance], now: float) -> StepResult:
        """Bring the backend to the state that these instances need. `now` is monotonic seconds."""
        leaving = {(i.name, i.generation) for i in instances if i.draining}
        self._since = {run: self._since.get(run, now) for run in leaving}
        overdue = {run for run, since in self._since.items() if now - since >= self.holds}
        try:
            planned = self._reconcile(instances, {name for name, _ in overdue})
            gone = set(planned.gone)
            waits = any(run[0] in gone for run in leaving - overdue) and self._runtime.is_replacing()
        except HaproxyError as error:
            self._met = False
            # when everything ends HAProxy has often ended first: then no request waits
            nobody = error.kind is Refusal.ABSENT and not any(i.serves for i in instances)
            released = leaving if nobody or error.kind in HOPELESS else overdue
            again = CALM if error.kind in HOPELESS else SOON * 5
            return StepResult(released=tuple(sorted(released)), fault=text_of(error), again_in=again)
        released = overdue | {run for run in leaving if run[0] in gone and not waits}
        return StepResult(
            released=tuple(sorted(released)),
            fault=self._keep(instances) or self._homeless(planned),
            again_in=SOON if planned.draining or waits else CALM,
        )

    def _homeless(self, planned: Planned) -> str:
        if not planned.homeless:
            return ""
        names = ", ".join(planned.homeless)
        return f"cannot add {names}: no free slot in {self._backend.name} (raise the number of its server-template)"

    def _reconcile(self, wanted: Sequence[BalancedInstance], overdue: set[str]) -> Planned:
        if not self._met:
            self._runtime.check_version()
            self._is_kept = False
        planned = Planned()
        for _ in range(ROUNDS):
            planned = plan(self._backend, wanted, self._runtime.servers(self._backend.name), overdue)
            if not planned.commands:
                break
            self._is_kept = False
            for command in planned.commands:
                self._command(command)
        self._met = True
        return planned

    def _command(self, command: str) -> None:
        """Send a command. A refusal because another was faster is ignored: the next poll sees the present state."""
        try:
            self._runtime.change(command)
        except HaproxyError as error:
            if error.kind not in {
                Refusal.NO_SERVER,
                Refusal.EXISTS,
                Refusal.CONNECTED,
                Refusal.NOT_IN_MAINTENANCE,
                Refusal.NO_CHECK,
            }:
                raise

    def _keep(self, wanted: Sequence[BalancedInstance]) -> str:
        """Write the file from which HAProxy reads its servers at its next start; why that failed, "" otherwise."""
        if not self._backend.file or self._is_kept:
            return ""
        try:
            actual = self._runtime.servers(self._backend.name)
            text = self._runtime.state() if slots_of(self._backend, actual) else included(self._backend, wanted)
            write_whole(self._backend.file, text.encode())
        except ProcmanError as error:
            return text_of(error)
        self._is_kept = True
        return ""
