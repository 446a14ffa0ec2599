"""The sentences: an instance's changes, the rows of ps, which instances are waited for, how everything ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import assert_never

from msgspec import Struct

from procman.core import hints
from procman.core.actions import Publish
from procman.core.events import Exited
from procman.core.phases import (
    ENDING,
    Backoff,
    Clearing,
    Done,
    Down,
    Draining,
    Failed,
    Instance,
    Phase,
    Ready,
    Spawning,
    Starting,
    Stopping,
    Unhealthy,
    Waiting,
)
from procman.core.restart import Outcome, described
from procman.core.view import Change, CountChange, Kind, PathStep, Reason, ReasonCode
from procman.text.words import LISTED, duration, times

# ---- why an instance is as it is

STOPPED = Reason(ReasonCode.STOPPED, "stopped by procman stop")
SCALED_DOWN = Reason(ReasonCode.SCALED_DOWN, "scaled down")
SCALED_DOWN_BY_RELOAD = Reason(ReasonCode.SCALED_DOWN, "scaled down by reload")
REMOVED = Reason(ReasonCode.REMOVED, "removed from the Procfile")
REMOVED_BY_RELOAD = Reason(ReasonCode.REMOVED, "removed by reload")
RESTARTED = Reason(ReasonCode.RESTARTED, "procman restart")
RELOADED = Reason(ReasonCode.RELOADED, "changed by reload")
KILLED = Reason(ReasonCode.KILLED, "killed")
SHUTDOWN = Reason(ReasonCode.SHUTDOWN, "everything stops")
ROLLED_BACK = Reason(ReasonCode.ROLLED_BACK, "the rollout was aborted")
ROLLED_OUT = Reason(ReasonCode.ROLLED_OUT, "the rollout is over")
UNKILLABLE = Reason(ReasonCode.UNKILLABLE, "unkillable: KILL had no effect")


def _publish(i: Instance, kind: Kind, text: str, *, logged: bool = True, retry_in: float | None = None) -> Publish:
    """A change of one instance, with its exit if the change is the end of a run."""
    exited = i.record.last_exit if kind in _ENDS else None
    leader = i.leader
    return Publish(
        Change(
            event=kind,
            text=text,
            instance=i.name,
            type=i.spec.type,
            phase=i.phase.shown,
            pid=leader.pid if leader is not None else None,
            exit=str(exited) if exited else None,
            retry_in=retry_in,
            generation=i.generation,
            ready=isinstance(i.phase, Ready),
            port=i.spec.port_of(i.index),
            logged=logged,
            quiet=not logged,
        )
    )


_ENDS = (Kind.STOPPED, Kind.ENDED, Kind.START_FAILED, Kind.BACKOFF, Kind.FAILED, Kind.DONE)


# ---- a run


def started(i: Instance) -> Publish:
    return _publish(i, Kind.STARTED, f"{i.name} started (pid {i.pid})", logged=False)


def is_ready(i: Instance) -> Publish:
    return _publish(i, Kind.READY, f"{i.name} is ready", logged=False)


IS_STOPPING = "it says that it is stopping"
IS_RELOADING = "it says that it is reloading"


def not_ready(timeout: float, answer: str) -> Reason:
    last = f": {answer}" if answer else ""
    return Reason(ReasonCode.NOT_READY, f"not ready within {duration(timeout)}{last}")


def unhealthy(answer: str, failures: int) -> Reason:
    counted = f", {times(failures)}" if failures > 1 else ""
    return Reason(ReasonCode.UNHEALTHY, f"unhealthy: {answer or 'no answer'}{counted}")


def is_unhealthy(i: Instance, answer: str, *, logged: bool = True) -> Publish:
    return _publish(i, Kind.UNHEALTHY, f"{i.name} is unhealthy: {answer or 'no answer'}", logged=logged)


def is_healthy(i: Instance, *, logged: bool = True) -> Publish:
    return _publish(i, Kind.READY, f"{i.name} is healthy again", logged=logged)


def ended_for_its_state(i: Instance, why: Reason, *, retried: bool) -> Publish:
    return _publish(i, Kind.UNHEALTHY, f"{i.name} is {'restarted' if retried else 'ended'}: {why.text}")


def waits(i: Instance, on: Sequence[str]) -> Publish:
    return _publish(i, Kind.WAITING, f"{i.name} waits for {', '.join(on) or 'its turn'}", logged=False)


def draining(i: Instance) -> Publish:
    return _publish(i, Kind.DRAINING, f"draining {i.name}", logged=False)


def has_daemon(i: Instance, pid: int) -> Publish:
    return _publish(i, Kind.ADOPTED, f"{i.name} has a daemon (pid {pid})", logged=False)


def went_to_background(i: Instance, pid: int) -> Publish:
    return _publish(i, Kind.ADOPTED, f"{i.name} went to the background (pid {pid}), {hints.foreground(i.spec.command)}")


def did_not_start(i: Instance, why: str, delay: float) -> Publish:
    return _publish(i, Kind.START_FAILED, f"{i.name} did not start: {why}; {_again(delay)}", retry_in=delay)


BEFORE_READY = " before it was ready"
WENT_AWAY = " (a command that goes to the background by itself must stay in the foreground)"


class EndWords(Struct, frozen=True):
    """An end in words: as a reason, and with how long the process ran."""

    reason: str
    line: str


def end_of(i: Instance, event: Exited, lived: float, *, again: bool, unready: bool = False) -> EndWords:
    """How it ended; also how often in a row, if it is started again."""
    how, when = described(event.status, lived), BEFORE_READY if unready else ""
    if unready and event.status.code == 0:
        when += WENT_AWAY
    row = f" {times(i.record.failures)}" if again and i.record.failures > 1 else ""
    note = f": {event.note}" if event.note else ""
    reason = f"{how}{when}{',' if when and row else ''}{row}{note}"
    return EndWords(reason, f"{how} after {duration(lived)}{',' if when else ''}{when}{',' if row else ''}{row}{note}")


def ended(i: Instance, outcome: Outcome, how: EndWords, rule: str) -> Publish:
    assert isinstance(i.phase, Clearing)
    match outcome:
        case Outcome.RETRY:
            delay = i.phase.delay
            return _publish(i, Kind.ENDED, f"{i.name} ended: {how.line}; {_again(delay)}", retry_in=delay)
        case Outcome.GIVE_UP:
            return _publish(i, Kind.ENDED, f"{i.name} failed: {how.line}; {rule}")
        case Outcome.DONE:
            return _publish(i, Kind.ENDED, f"{i.name} is done: {how.line}" + (f" ({rule})" if rule else ""))
        case _:
            assert_never(outcome)


def backs_off(i: Instance, delay: float) -> Publish:
    return _publish(i, Kind.BACKOFF, f"{i.name}: {_again(delay)}", logged=False, retry_in=delay)


def is_failed(i: Instance, why: Reason, *, logged: bool) -> Publish:
    return _publish(i, Kind.FAILED, f"{i.name} failed: {why.text}", logged=logged)


def is_done_at_rest(i: Instance, why: Reason) -> Publish:
    return _publish(i, Kind.DONE, f"{i.name} is done: {why.text}", logged=False)


def _again(delay: float) -> str:
    return f"starting again in {duration(delay)}" if delay > 0 else "starting again at once"


def all_ready(path: Sequence[PathStep], seconds: float) -> Publish:
    """`ready after 8.2 s: redis 0.3, migrate 4.1, web 3.8`."""
    parts = ", ".join(f"{step.type} {duration(step.seconds).removesuffix(' s')}" for step in path)
    text = f"ready after {duration(seconds)}" + (f": {parts}" if parts else "")
    return Publish(Change(event=Kind.ALL_READY, text=text, path=tuple(path)))


# ---- a stop


_UNASKED = frozenset({ReasonCode.FOLLOWED, ReasonCode.RECYCLED})
"""Restarts that no other line of the log explains, because no command was given and nothing has died."""


def stopping(i: Instance, why: Reason) -> Publish:
    return _publish(i, Kind.STOPPING, f"stopping {i.name}: {why.text}", logged=why.code in _UNASKED)


def has_more_time(i: Instance, seconds: float) -> Publish:
    return _publish(i, Kind.STOPPING, f"{i.name} asks for more time to stop: KILL in {duration(seconds)}")


def names_another(i: Instance, pid: int) -> Publish:
    text = f"{i.name} names pid {pid} as its main process (MAINPID); procman goes on watching pid {i.pid}, which it started"
    return _publish(i, Kind.ADOPTED, text)


def group_is_asked(i: Instance) -> Publish:
    assert isinstance(i.phase, Stopping)
    signal = i.phase.leader.stop.signal
    text = f"{i.name}: its shell has not ended, so its whole group gets SIG{signal}"
    return _publish(i, Kind.STOPPING, text)


def killed(i: Instance, what: str) -> Publish:
    assert isinstance(i.phase, ENDING)
    return _publish(i, Kind.KILLED, f"{i.name} {what} in {duration(i.phase.leader.stop.grace)}: killed")


def cannot_be_read(i: Instance, why: str) -> Publish:
    return _publish(i, Kind.KILLED, f"{i.name}: cannot read its output ({why}): killed")


def unkillable(i: Instance, after: float) -> Publish:
    return _publish(i, Kind.UNKILLABLE, f"{i.name} (pid {i.pid}) is unkillable: still there {after:.0f} s after KILL")


def stopped(i: Instance, before: Phase) -> Publish:
    """It is down now. Logged if its end was not the one that was asked for."""
    text, clean = f"{i.name} stopped", True
    if isinstance(before, ENDING):
        status = i.record.last_exit
        clean = status is None or status.code in (0, before.leader.stop.exit_code)
        text += f": {status}" if status else ""
    return _publish(i, Kind.STOPPED, text, logged=not clean)


# ---- rows


def why_it_is(i: Instance) -> Reason | None:
    match i.phase:  # what is frequent comes first
        case Ready() | Starting() | Spawning():
            return None
        case Waiting(on):
            return Reason(ReasonCode.WAITING, f"waiting for {', '.join(on)}")
        case Unhealthy(answer=answer, failed_checks=failed_checks):
            return unhealthy(answer, failed_checks)
        case phase:
            return phase.why


def reason_of(i: Instance, now: float, *, crash_loop: bool) -> str | None:
    """Why it is in its phase, and what comes next and when."""
    match i.phase:  # what is frequent comes first
        case Ready() | Starting() | Spawning():
            text = ""
        case Backoff(why, until):
            text = f"{why.text}; again in {duration(until - now)}"
        case Stopping(why=why, kill_at=kill_at) if kill_at > now:
            text = f"{why.text}; KILL in {duration(kill_at - now)}"
        case Down(why):
            text = f"{why.text} {duration(now - i.phase_since)} ago" if why is not None else ""
        case Stopping(why=why) | Clearing(why=why) | Failed(why) | Done(why):
            text = why.text
        case Waiting() | Unhealthy():
            why = why_it_is(i)
            text = why.text if why is not None else ""
        case Draining(why=why, until=until, held_by=held_by):
            by = f", held by {', '.join(held_by)}" if held_by else ""
            text = f"{why.text}; stop signal in {duration(until - now)}{by}"
        case _:
            assert_never(i.phase)
    if crash_loop:
        text = f"{text} (crash loop)" if text else "crash loop"
    return text or None


# ---- all of them


def waiting_line(instances: Sequence[Instance], now: float) -> str:
    """`waiting for worker.1 (pid 4242, 8 s left)`; empty if no instance is waited for."""
    waited = [(i, i.phase) for i in instances if isinstance(i.phase, Draining | Stopping | Clearing)]
    if not waited:
        return ""
    parts = [
        f"{i.name} ({f'pid {i.pid}' if i.alive else 'its remaining processes'}, {duration(max(0.0, (phase.until if isinstance(phase, Draining) else phase.kill_at) - now))} left)"
        for i, phase in waited[:LISTED]
    ]
    more = f" and {len(waited) - LISTED} more" if len(waited) > LISTED else ""
    return f"waiting for {', '.join(parts)}{more}"


def ended_line(instances: Sequence[Instance]) -> str:
    """`stopped: web.1 exit 0, worker.1 SIGTERM`; many are counted by type, or by how they ended. Empty if none ever ran."""
    ends = [(i, _end_shown(i)) for i in instances if i.record.last_exit is not None or i.unkillable]
    if not ends:
        return ""
    if len(ends) <= LISTED:
        return "stopped: " + ", ".join(f"{i.name} {end}" for i, end in ends)
    counts = Counter((i.spec.type, end) for i, end in ends)
    if len(counts) > LISTED:
        by_end = Counter(end for _, end in ends)
        return "stopped: " + ", ".join(f"{n} instance{'s' * (n > 1)} {end}" for end, n in by_end.items())
    return "stopped: " + ", ".join(f"{n} {type_name} {end}" for (type_name, end), n in counts.items())


def _end_shown(i: Instance) -> str:
    """How its last run ended. An unkillable process still runs; earlier runs of its instance have ended."""
    return "unkillable" if i.unkillable and i.alive else str(i.record.last_exit)


def crash_loop_line(i: Instance) -> str:
    return f"{i.spec.type} is in a crash loop; procman keeps trying (last: {name_and_reason(i)})"


def recovered_line(type_name: str) -> str:
    return f"{type_name} is out of its crash loop: a minute without a death"


def before_its_turn(needing: Instance) -> str:
    return f"before its turn, as {needing.name} has not ended"


def shutdown_line(stopped: Sequence[Instance], why: str) -> str:
    count = sum(not isinstance(i.phase, Waiting | Backoff) for i in stopped)  # those have no process to stop
    return f"stopping {count} instance{'' if count == 1 else 's'}: {why}" if count else f"stopping: {why}"


def superseded(what: str) -> Reason:
    return Reason(ReasonCode.SUPERSEDED, f"superseded by {what}")


def too_many(most: int) -> Reason:
    return Reason(ReasonCode.SUPERSEDED, f"given up: {most} later operations are under way, and no more are kept")


def scaled(changed: Mapping[str, CountChange]) -> str:
    return "scaled " + ", ".join([f"{t} from {count.before} to {count.after}" for t, count in changed.items()])


def autoscaled(type_name: str) -> tuple[str, str]:
    """Why a person does not set this count, and what they can do."""
    hint = f"`procman scale {type_name}=MIN..MAX` sets its bounds, --force its count until the next decision"
    return f"cannot scale {type_name}: its count follows demand (`autoscale:`)", hint


STOPPING = "cannot do that: procman is stopping"
AGAIN_KILLS = "Ctrl-C again kills them at once"


def no_main_type(main: str) -> str:
    return f"cannot scale by signal: there is no type '{main}', and more than one other"


def by_signal(message: str) -> str:
    return f"{message} (asked by signal)"


def name_and_reason(i: Instance) -> str:
    why = why_it_is(i)
    return f"{i.name} {why.text}" if why is not None else i.name


def extra_comes(i: Instance) -> Publish:
    return _publish(i, Kind.ROLLOUT, f"rollout of {i.spec.type}: the extra instance {i.name} comes up first")


def extra_reason(reason: str | None, done: str | None) -> str:
    text = f"extra instance of the rollout{f' {done}' if done else ''}"
    return f"{reason} ({text})" if reason else text


def is_extra(name: str, type_name: str) -> tuple[str, str]:
    hint = f"it is stopped when the rollout of {type_name} is over; `procman why {name}` shows its progress"
    return f"cannot do that to {name}: it is the extra instance of a rollout", hint


def aborted_line(type_name: str, why: str, *, back: bool) -> str:
    rest = "; what was replaced goes back to the old settings" if back else "; the others are left as they are"
    return f"rollout of {type_name} aborted: {why}{rest}"
