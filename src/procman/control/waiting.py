"""Waits on a running procman: by its method `wait`, or on an older one by its events and `ps`.

If procman is upgraded meanwhile, the wait continues with the program that takes its place.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress

from msgspec.structs import replace

from procman.control import methods
from procman.control.channel import Channel, ClosedError, answer
from procman.control.codec import Incoming
from procman.control.conditions import PENDING, Condition
from procman.control.messages import EventsParams, Happened, NoParams, StreamEnded, StreamStarted, Waited, WaitParams
from procman.control.streaming import notification
from procman.core.view import Change
from procman.errors import ProcmanError

PATIENCE = 10.0
"""Seconds after the deadline in which procman has to report that it has passed."""

OnChange = Callable[[Change], object]


class EndedError(ProcmanError):
    """procman has ended, and with it everything that it started."""


def wait(channel: Channel, params: WaitParams, on_change: OnChange) -> Waited:
    """Block until the condition is reached, cannot be reached any more, or the time is over. `on_change` gets every change
    meanwhile.

    Raises EndedError if procman ends, RefusedError for unknown names, NotUnderstoodError if an older procman has
    no `wait`.
    """
    deadline = math.inf if params.timeout is None else time.monotonic() + params.timeout
    while True:
        channel.call(methods.EVENTS.name, EventsParams(), StreamStarted)
        left = None if params.timeout is None else max(0.0, deadline - time.monotonic())
        number = channel.send(methods.WAIT.name, replace(params, timeout=left))
        while (message := _next(channel, deadline + PATIENCE)) is not None:
            if message.id == number:
                return answer(message, Waited)
            _pass_on(notification(message), on_change)
        _go_on(channel)


def _next(channel: Channel, deadline: float) -> Incoming | None:
    try:
        return channel.next_message(None if deadline == math.inf else max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        raise channel.silent() from None


def wait_by_polling(channel: Channel, params: WaitParams, on_change: OnChange) -> Waited:
    """The same for a procman that has no `wait`.

    It subscribes to the events, and asks `ps` after each. A change after one `ps` leads to the next, so nothing is
    missed, and a burst of changes costs one `ps`.
    """
    deadline = math.inf if params.timeout is None else time.monotonic() + params.timeout
    condition: Condition | None = None
    while True:
        with suppress(ClosedError):
            channel.call(methods.EVENTS.name, EventsParams(), StreamStarted)
            subscribed = channel.made
            while subscribed == channel.made:
                view = channel.call(methods.PS.name, NoParams(), methods.PS.result).fleet
                condition = condition or Condition(params.names, params.until, view)
                verdict = condition.judge(view)
                if verdict.outcome != PENDING:
                    return verdict
                if not _changed(channel, deadline, on_change):
                    return Waited("late", pending=verdict.pending)
            continue  # another program has taken procman's place
        _go_on(channel)


def _changed(channel: Channel, deadline: float, on_change: OnChange) -> bool:
    """Wait for a change, and pass on all other changes received by then; False at the deadline."""
    timeout = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
    try:
        message = channel.next_message(timeout)
    except TimeoutError:
        return False
    if message is None:
        raise ClosedError("cannot keep waiting: the connection has ended")
    for one in (message, *channel.take()):
        _pass_on(notification(one), on_change)
    return True


def _pass_on(notified: object, on_change: OnChange) -> None:
    if isinstance(notified, Happened):
        on_change(notified.change)
    elif isinstance(notified, StreamEnded):
        raise EndedError("cannot keep waiting: procman has ended")


def _go_on(channel: Channel) -> None:
    """Continue with the program that takes procman's place. Raises EndedError if there is none."""
    if not channel.upgrading:
        raise EndedError("cannot keep waiting: procman has ended")
    try:
        channel.connect_again()
    except ProcmanError:
        raise EndedError("cannot keep waiting: procman has ended") from None
