"""Arithmetic of backoff and crash loops: what an end means and how long to wait. Numbers in, numbers out."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from procman.core.events import ExitStatus
from procman.core.spec import OnEnd, ProcessSpec, RestartPolicy, When

JITTER = 0.1
"""Largest fraction added to a delay, so that processes that died together do not come back together."""

EARLY_DEATHS = 3
"""Deaths of one instance in a row, each before it was ready, that make a crash loop."""

MANY_DEATHS = 5
"""Deaths over a type within `WINDOW` that make a crash loop."""

WINDOW = 60.0
"""Seconds; also how long a type must run without a death to leave its crash loop."""


ONCE = "a one-off is not tried again without max_restarts"
ENDS_EVERYTHING = "its end stops everything (on_end: exit, or --exit-on)"


class Outcome(Enum):
    """What follows an end that was not asked for."""

    RETRY = "retry"
    GIVE_UP = "give up"
    DONE = "done"


def judge(spec: ProcessSpec, status: ExitStatus, failures: int, *, unready: bool = False) -> tuple[Outcome, str]:
    """What follows the `failures`-th end in a row, and for giving up, the rule that says so.

    `unready`: it ended before its readiness check succeeded, which is not a success, whatever its status.
    """
    policy = spec.restart
    success = not unready and (status.code == 0 or status.code in spec.success_exit_codes)
    if spec.oneshot and policy.policy is not When.NEVER:
        return _once(policy, status.code, failures) if not success else (Outcome.DONE, "")
    if spec.on_end is OnEnd.EXIT and policy.policy is not When.NEVER:
        return (Outcome.DONE, "") if success else (Outcome.GIVE_UP, ENDS_EVERYTHING)
    if success and policy.policy is not When.ALWAYS:
        return Outcome.DONE, ""
    return _tried_on(policy, status.code, failures)


def _once(policy: RestartPolicy, code: int, failures: int) -> tuple[Outcome, str]:
    """A one-off is only restarted where the settings say how often."""
    return (Outcome.GIVE_UP, ONCE) if policy.max_restarts is None else _tried_on(policy, code, failures)


def judge_failed_start(spec: ProcessSpec, code: int, failures: int) -> tuple[Outcome, str]:
    """The same for a failed start: never a success, and `code` 1 (no resources) is not an exit code of the program."""
    if spec.on_end is OnEnd.EXIT and spec.restart.policy is not When.NEVER:
        return Outcome.GIVE_UP, ENDS_EVERYTHING
    if spec.oneshot and spec.restart.max_restarts is None:
        return Outcome.GIVE_UP, ONCE
    return _tried_on(spec.restart, None if code == 1 else code, failures)


def _tried_on(policy: RestartPolicy, code: int | None, failures: int) -> tuple[Outcome, str]:
    if policy.policy is When.NEVER:
        return Outcome.GIVE_UP, "not restarted (policy: never, or --no-restart)"
    if code in policy.no_retry_exit_codes:
        return Outcome.GIVE_UP, f"not restarted ({code} is in no_retry_exit_codes)"
    if policy.max_restarts == 0:
        return Outcome.GIVE_UP, "not restarted (max_restarts: 0)"
    if policy.max_restarts is not None and failures > policy.max_restarts:
        many = "restart" if policy.max_restarts == 1 else "restarts in a row"
        return Outcome.GIVE_UP, f"given up after {policy.max_restarts} {many} (max_restarts)"
    return Outcome.RETRY, ""


def backoff(policy: RestartPolicy, failures: int, jitter: float) -> float:
    """Seconds to wait after the `failures`-th failure in a row: delay, doubling, at most max_delay, plus jitter.

    `jitter` in [0, 1) adds up to 10 %. With the defaults: 0.5, 1, 2, 4, 8, 16, 30, 30 …
    """
    doublings = min(failures - 1, 40)  # 2**40 x any delay is above any max_delay, and the float stays finite
    return min(policy.delay * 2.0**doublings, policy.max_delay) * (1 + JITTER * jitter)


def described(status: ExitStatus, lived: float) -> str:
    """`exit 1`; with the shell's explanation for 126 and 127 where it ran for less than a second."""
    meaning = {127: "command not found", 126: "not executable"}.get(status.code) if lived < 1.0 else None
    return f"{status} ({meaning})" if meaning and status.signal is None else str(status)


class CrashWatch(Struct, frozen=True):
    """The deaths of one type: the times of the last few, whether it is in a crash loop, and the token of its deadline."""

    deaths: tuple[float, ...] = ()
    looping: bool = False
    token: int = 0

    def death(self, now: float, early_exits: int, *, retried: bool) -> CrashWatch:
        """One more death, with the number of early ones in a row. What is not `retried` makes no crash loop."""
        recent = (*(at for at in self.deaths if now - at < WINDOW), now)[-MANY_DEATHS:]
        looping = self.looping or (retried and (early_exits >= EARLY_DEATHS or len(recent) >= MANY_DEATHS))
        return CrashWatch(recent, looping, self.token + 1)
