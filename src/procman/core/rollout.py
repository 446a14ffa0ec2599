"""Replacing the instances of a type a few at a time: which may be restarted now, and when to go back.

At most so many are away at once as the type's `rolling` says. Each batch must stay ready for a moment before the next
follows, and the last one before the rollout is over, so that a version that becomes ready and dies is not rolled out. If
new ones keep failing the rollout is aborted: instances that were touched are started again from the old spec, which stays
in force.

With `surge` an extra instance is started first: while it is not ready none is replaced, and then one at a time, so that
as many are ready as without a rollout. It is stopped when the others are back, or when an aborted rollout has gone
back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from procman.core.desired import Desired
from procman.core.facts import Died
from procman.core.phases import AT_REST, Backoff, Done, Instance, Ready, Unhealthy, Waiting
from procman.core.spec import ProcessSpec
from procman.later import later

if TYPE_CHECKING:
    from procman.core import policies
else:
    policies = later(__name__, "procman.core.policies")

SETTLE = 3.0
"""Seconds that a batch has to stay ready before the next follows. (Docker's `update_config.monitor` is 5, Nomad's
`min_healthy_time` 10.)
"""

FAILURES = 3
"""Deaths of replaced instances that abort a rollout."""

HOPELESS = (Waiting, Backoff, Unhealthy)
"""Phases of an extra instance for which going back does not wait, as it may never leave them."""


BACK = (Ready, Done)
"""Phases in which an instance that was replaced is back."""


class Rollout(Struct, frozen=True, kw_only=True):
    """The rollout of one type. `old` is the spec to go back to, `total` how many are replaced, `replaced` those whose
    new run has begun, including the extra instance. `batch` are those of them that have not stayed ready for long enough
    yet, and `settled_at` is when they will have, if all are ready.
    """

    old: ProcessSpec
    total: int
    replaced: tuple[str, ...] = ()
    failures: int = 0
    settled_at: float | None = None
    back: bool = False
    batch: tuple[str, ...] = ()


class RolloutsState(Struct, frozen=True):
    """Rollouts under way by type, why the last one of a type was aborted, extra instances that failed, whose output is
    kept, and until when no instance of a type is replaced for its memory.
    """

    running: dict[str, Rollout] = {}
    aborted: dict[str, str] = {}
    kept: tuple[str, ...] = ()
    pauses: dict[str, float] = {}


class Rollouts:
    """What RolloutsState describes, as it changes."""

    def __init__(self, state: RolloutsState = RolloutsState()) -> None:  # noqa: B008  frozen
        self.running = dict(state.running)
        self.aborted = dict(state.aborted)
        self.kept = set(state.kept)
        self.pauses = dict(state.pauses)

    def state(self) -> RolloutsState:
        return RolloutsState(dict(self.running), dict(self.aborted), tuple(sorted(self.kept)), dict(self.pauses))

    def begin(self, type_name: str, rollout: Rollout) -> None:
        """Some instances of a type are to be replaced; one rollout after another goes back to the same spec."""
        before = self.running.get(type_name)
        if before is not None and not before.back and not rollout.back:
            rollout = replace(rollout, old=before.old)
        if not rollout.back:
            self.aborted.pop(type_name, None)
            self.pauses.pop(type_name, None)
        self.running[type_name] = rollout

    def budget(self, spec: ProcessSpec, regular: list[Instance], extra: Instance | None) -> int:
        """How many instances in rotation may be replaced now. `extra` is the rollout's extra instance."""
        rollout = self.running.get(spec.type)
        back = rollout is not None and rollout.back
        limit = 1 if extra is not None else (spec.rolling or policies.Rolling()).away(len(regular))
        free = limit - away(regular)
        if extra is not None and not (back and isinstance(extra.phase, HOPELESS)):
            free -= away([extra])
        if rollout is None or back:
            return free
        return min(free, limit - len(rollout.batch))

    def replaced(self, i: Instance) -> None:
        """An instance is being replaced."""
        rollout = self.running.get(i.spec.type)
        if rollout is not None:
            replaced, batch = _added(rollout.replaced, i.name), _added(rollout.batch, i.name)
            self.running[i.spec.type] = replace(rollout, replaced=replaced, batch=batch)

    def is_on_trial(self, i: Instance) -> bool:
        """Whether it has been replaced and is back, and has not stayed ready for long enough yet."""
        rollout = self.running.get(i.spec.type)
        on_trial = rollout is not None and not rollout.back and i.name in rollout.batch
        return on_trial and isinstance(i.phase, BACK)

    def trial_left(self, i: Instance, now: float) -> float | None:
        """For how many seconds it must stay ready; None if it need not, or another one of its batch is not ready yet."""
        rollout = self.running.get(i.spec.type)
        if rollout is None or rollout.settled_at is None or not self.is_on_trial(i):
            return None
        return max(0.0, rollout.settled_at - now)

    def settle(self, type_name: str, slots: list[Instance], now: float) -> float | None:
        """When the batch will have been ready for long enough, if it is just ready. What is stopped does not count."""
        rollout = self.running.get(type_name)
        if rollout is None or rollout.back:
            return None
        wanted = {i.name: i for i in slots if i.wanted}
        batch = tuple(name for name in rollout.batch if name in wanted)
        ready = bool(batch) and all(isinstance(wanted[name].phase, BACK) for name in batch)
        at = now + SETTLE if rollout.settled_at is None else rollout.settled_at
        replaced = tuple(name for name in rollout.replaced if name in wanted)
        self.running[type_name] = replace(rollout, replaced=replaced, batch=batch, settled_at=at if ready else None)
        return at if ready and rollout.settled_at is None else None

    def settled(self, type_name: str, now: float) -> bool:
        """A deadline has come: whether the batch has stayed ready for long enough, so that the next may follow."""
        rollout = self.running.get(type_name)
        if rollout is None or rollout.settled_at is None or now < rollout.settled_at:
            return False
        self.running[type_name] = replace(rollout, batch=(), settled_at=None)
        return True

    def died(self, i: Instance, died: Died, *, extra: bool) -> Rollout | None:
        """An instance, or the extra one, has died; returns the rollout that this aborts."""
        rollout = self.running.get(i.spec.type)
        if rollout is None or rollout.back or not (extra or i.name in rollout.replaced):
            return None
        failures = rollout.failures + 1
        if failures < FAILURES and died.retried and not died.late:
            again = replace(rollout, failures=failures, settled_at=None, batch=rollout.replaced)
            self.running[i.spec.type] = again
            return None
        del self.running[i.spec.type]
        return rollout

    def progress(self, type_name: str, desired: Desired, slots: list[Instance]) -> str | None:
        """`2 of 4`: two of four have been replaced and are back in rotation. None if none is replaced."""
        rollout = self.running.get(type_name)
        if rollout is None or not rollout.total:
            return None
        begun = {*desired.names(type_name)} & {*rollout.replaced}
        left = desired.pending(type_name) + away([i for i in slots if i.name in begun and i.name not in desired.moves])
        return f"{max(0, rollout.total - left)} of {rollout.total}"

    def shown(self, type_name: str, desired: Desired, slots: list[Instance]) -> str | None:
        """`2 of 4`, or `aborted: …`."""
        done, aborted = self.progress(type_name, desired, slots), self.aborted.get(type_name)
        if aborted is None:
            return done
        return f"aborted: {aborted}" + (f"; back to the old settings: {done}" if done else "")


def away(slots: list[Instance]) -> int:
    """How many are wanted and not in rotation now. Those that are stopped, done or failed do not count."""
    return sum(i.wanted and not isinstance(i.phase, (Ready, *AT_REST)) for i in slots)


def _added(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names else (*names, name)
