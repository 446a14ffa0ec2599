"""Conditions that can be waited for. Each is judged by the current view of the fleet alone: pure, and no event can be
missed that the view shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from procman.control.messages import Waited
from procman.core.requests import AwaitedState
from procman.core.select import Selector
from procman.core.view import FleetView, InstanceView, Operation, OperationState, ReasonCode

UP = ("ready", "done")
DOWN = ("stopped", "done", "failed")


PENDING = "pending"
"""The outcome of a verdict that is no answer yet."""

REACHED = Waited("reached")
_ENDING = Waited("ending", "cannot keep waiting: procman is stopping")


def _failed(reason: str, hint: str = "") -> Waited:
    return Waited("failed", reason, hint)


def _pending(*those: str) -> Waited:
    return Waited(PENDING, pending=those)


class Condition:
    """Every instance of these names is in the wanted state. `begun` is the fleet at the start of the wait.

    A type in a crash loop counts as failed once an instance of it has died since then.
    """

    def __init__(self, names: tuple[str, ...], until: AwaitedState, begun: FleetView) -> None:
        self._names = names
        self._until = until
        self._chosen = Selector(names) if names else None
        self._begun = {i.name: i for i in self._of(begun)}

    def judge(self, view: FleetView) -> Waited:
        """The verdict on a view."""
        verdict = self._judge(view)
        if view.stopping and verdict.outcome != "reached" and self._until is not AwaitedState.STOPPED:
            return _ENDING
        return verdict

    def _judge(self, view: FleetView) -> Waited:
        pending: list[str] = []
        rows = self._of(view)
        for i in rows:
            verdict = self._stopped(i) if self._until is AwaitedState.STOPPED else self._up(i)
            if verdict.outcome == "failed":
                return verdict
            pending += verdict.pending
        return _pending(*pending) if pending else self._gone(rows)

    def _of(self, view: FleetView) -> list[InstanceView]:
        return [i for i in view.instances if self._chosen is None or self._chosen.matches(i.name)]

    def _gone(self, rows: list[InstanceView]) -> Waited:
        """Names of instances that do not exist, unless they are to be stopped."""
        there = {i.name for i in rows}
        gone = [name for name in self._names if name in self._begun and name not in there]
        if not gone or self._until is AwaitedState.STOPPED:
            return REACHED
        return _failed(f"cannot keep waiting for {gone[0]}: it is no longer there")

    def _up(self, i: InstanceView) -> Waited:
        if i.phase in ("failed", "stopped"):
            return _failed(
                f"cannot keep waiting for {i.name}: it {_at_rest(i)}", f"`procman restart {i.name}` starts it"
            )
        if self._loops(i):
            why = i.reason or f"last {i.last_exit}"
            return _failed(f"cannot keep waiting for {i.name}: {why}", f"see `procman logs {i.name}`")
        wanted = UP if self._until is AwaitedState.READY else ("done",)
        return REACHED if i.phase in wanted else _pending(described(i))

    def _loops(self, i: InstanceView) -> bool:
        before = self._begun.get(i.name)
        died = before is not None and i.restarts > before.restarts
        return i.crash_loop and (i.phase == "backoff" or died)

    def _stopped(self, i: InstanceView) -> Waited:
        if i.phase in DOWN:
            return REACHED
        if _is_unkillable(i):
            return _failed(f"cannot stop {i.name}: {i.reason}", f"see pid {i.pid}")
        before = self._begun.get(i.name)
        if i.phase == "ready" and before is not None and before.phase == "stopping":
            return _failed(f"cannot keep waiting for {i.name}: it was started again")
        return _pending(described(i))


class OperationCondition:
    """An operation, by its number, has ended. `read` returns its state."""

    def __init__(self, read: Callable[[], Operation | None]) -> None:
        self._read = read

    def judge(self, view: FleetView) -> Waited:
        """The verdict."""
        operation = self._read()
        if operation is None:
            return _failed("cannot keep waiting: procman does not know the operation any more", "see `procman ps`")
        reason = operation.reason.text if operation.reason is not None else operation.what
        match operation.state:
            case OperationState.RUNNING:
                rows = {i.name: i for i in view.instances}
                return _pending(*(described(rows[name]) if name in rows else name for name in operation.left))
            case OperationState.DONE:
                return REACHED
            case OperationState.FAILED if view.stopping:
                return _ENDING
            case OperationState.FAILED:
                by = operation.instance or next(iter(operation.left), None)
                hint = f"see `procman logs {by}`" if by else "see `procman ps`"
                if any(i.name == by and i.phase == "stopped" for i in view.instances):
                    hint = f"`procman restart {by}` starts it"
                return _failed(f"cannot keep waiting: {reason}", hint)
            case OperationState.SUPERSEDED:
                return _failed(f"cannot keep waiting: {reason}", "see `procman ps`")
            case _:
                assert_never(operation.state)


def _at_rest(i: InstanceView) -> str:
    reason = i.reason or ""
    if reason.startswith("stopped "):
        return f"was {reason}"
    state = "has failed" if i.phase == "failed" else "is stopped"
    return f"{state}: {reason}" if reason else state


def _is_unkillable(i: InstanceView) -> bool:
    if i.reason_code is None:  # a procman of the first version has no codes
        return i.reason is not None and i.reason.startswith("unkillable")
    return i.reason_code == ReasonCode.UNKILLABLE.value


def described(i: InstanceView) -> str:
    """`web.1 (backoff: exit 1; again in 0.5 s)`"""
    return f"{i.name} ({i.phase}: {i.reason})" if i.reason else f"{i.name} ({i.phase})"


def listed(pending: tuple[str, ...], most: int = 5) -> str:
    """`web.1 (starting), web.2 (starting) and 3 more`"""
    more = f" and {len(pending) - most} more" if len(pending) > most else ""
    return ", ".join(pending[:most]) + more
