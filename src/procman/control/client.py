"""A blocking client of a running procman: a method for each verb, on one connection.

Prints nothing. The command line and the companions use it, and so may any program.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

from msgspec import Struct

from procman.control import methods
from procman.control.channel import Channel, ClosedError, NotUnderstoodError
from procman.control.codec import members
from procman.control.messages import (
    Accepted,
    Attached,
    AttachParams,
    Checked,
    EventsParams,
    Hello,
    HelloParams,
    InputParams,
    LogsParams,
    NoParams,
    Ps,
    ReleaseParams,
    ReportParams,
    ResizeParams,
    StreamStarted,
    Waited,
    WaitParams,
    Why,
    WhyParams,
)
from procman.control.methods import Method
from procman.core.requests import Hold, Restart, Scale, SendSignal, Shutdown, Stop
from procman.core.view import Change
from procman.errors import ProcmanError

if TYPE_CHECKING:
    from procman.control.streaming import EventStream, LogStream

__all__ = ["Client", "ClosedError", "LackingError"]

P = TypeVar("P", bound=Struct)
R = TypeVar("R", bound=Struct)


def _ignore(_change: Change) -> None:
    """The default of `on_change`: ignore changes."""


class LackingError(ProcmanError):
    """The running procman is an older version that cannot do what was asked."""


class Client:
    """One connection. To make calls while a stream is open, use two clients.

    `timeout`: seconds in which each call has to be answered. Every method raises RefusedError where procman refuses,
    LackingError where an older procman cannot do it, else another ProcmanError.
    """

    def __init__(self, path: str, timeout: float = 10.0) -> None:
        self.channel = Channel(path, timeout)
        self._hello: Hello | None = None
        self._greeted = 0  # the number of the connection on which `hello` was answered

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.channel.close()

    def hello(self, *, again: bool = False) -> Hello:
        """Who answers. Asked once for each connection when needed, or `again`."""
        if self._hello is None or again or self._greeted != self.channel.made:
            try:
                self._hello = self._ask(methods.HELLO, HelloParams(any_word=True))
            except NotUnderstoodError:  # the first version, which takes no parameter
                self._hello = self._ask(methods.HELLO, HelloParams())
            self._greeted = self.channel.made
        return self._hello

    # ---- reading

    def ps(self) -> Ps:
        """The formation and every instance."""
        return self._call(methods.PS, NoParams())

    def why(self, instance: str) -> Why:
        """Sentences about why an instance is as it is."""
        return self._call(methods.WHY, WhyParams(instance))

    def logs(self, names: Sequence[str] = (), lines: int | None = None, *, follow: bool = False) -> LogStream:
        """Kept output of these instances, the last `lines` or all, and with `follow` also new output."""
        from procman.control.streaming import LogStream  # noqa: PLC0415  0.2 ms, which `scale` and `ps` need not pay

        params = LogsParams(tuple(names), lines, follow)
        return LogStream(self.channel, lambda params: self._call(methods.LOGS, params), params)

    def events(self) -> EventStream:
        """Every change from now on."""
        from procman.control.streaming import EventStream  # noqa: PLC0415  as above

        return EventStream(self.channel, self._subscribe_events, EventsParams())

    def _subscribe_events(self, params: EventsParams) -> StreamStarted:
        self.hello()
        return self._call(methods.EVENTS, params)

    def wait(self, what: WaitParams, on_change: Callable[[Change], object] = _ignore) -> Waited:
        """Block until instances are ready, done or stopped, or an operation has ended. `on_change` gets every change
        meanwhile.

        An older procman has no method `wait`; then `ps` is asked after each change. Raises `waiting.EndedError` where
        procman ends.
        """
        from procman.control import waiting  # noqa: PLC0415  as above

        try:
            return waiting.wait(self.channel, what, on_change)
        except NotUnderstoodError:
            return waiting.wait_by_polling(self.channel, what, on_change)

    # ---- changing

    def scale(
        self,
        to: Mapping[str, int] | None = None,
        by: Mapping[str, int] | None = None,
        why: str = "",
        *,
        force: bool = False,
        remove: Sequence[str] = (),
    ) -> Accepted:
        """Set and change counts, all or nothing. Without either it returns the current formation.

        `force`: also autoscaled types. `remove`: instances that stop first where a count is lowered.
        """
        return self._call(methods.SCALE, Scale(dict(to or {}), dict(by or {}), why, force, tuple(remove)))

    def restart(self, names: Sequence[str] = (), *, together: bool = False, why: str = "") -> Accepted:
        """Restart types, instances or patterns, or all without a name: a few of a type at a time, or `together`."""
        return self._call(methods.RESTART, Restart(tuple(names), why, together))

    def stop(self, names: Sequence[str] = (), *, everything: bool = False) -> Accepted:
        """Stop types, instances or patterns, or everything."""
        return self._call(methods.STOP, Stop(tuple(names), everything))

    def signal(self, signal: str, names: Sequence[str], *, leader: bool = False) -> Accepted:
        """Send a signal by name to the process groups of instances, or only to their first processes."""
        return self._call(methods.SIGNAL, SendSignal(signal, tuple(names), leader))

    def hold(self, by: str, types: Sequence[str], seconds: float) -> Accepted:
        """Let stops of ready instances of these types wait for `release`, for at most this many seconds; 0 ends that.

        A new call replaces the earlier one of the same holder. A hold ends ten seconds after this connection, unless
        another connection holds under the same name by then.
        """
        return self._call(methods.HOLD, Hold(by, tuple(types), seconds))

    def release(self, by: str, instance: str, generation: int) -> None:
        """Release the stop of an instance, in the run of that number."""
        self._call(methods.RELEASE, ReleaseParams(by, instance, generation))

    def report(self, instance: str, generation: int, fault: str) -> None:
        """Say what is wrong with what this companion looks after, "" for nothing: it is `unhealthy` in `ps` meanwhile."""
        self._call(methods.REPORT, ReportParams(instance, generation, fault))

    def reload(self) -> Accepted:
        """Read the inputs again and apply what changed. Raises ConfigError if they are wrong."""
        return self._call(methods.RELOAD, NoParams())

    def upgrade(self) -> Checked:
        """Let the installed program take procman's place."""
        return self._call(methods.UPGRADE, NoParams())

    def shutdown(self, why: str = "") -> Accepted:
        """Stop everything and end."""
        return self._call(methods.SHUTDOWN, Shutdown(why))

    # ---- being attached; the answers are waited for by who also waits for keys

    def attach(self, instance: str, size: tuple[int, int] = (0, 0), *, read_only: bool = False) -> Attached:
        """Show an instance on a screen of so many columns and rows, and type into it."""
        self.hello()
        return self._call(methods.ATTACH, AttachParams(instance, read_only, *size))

    def send_input(self, stream: int, data: bytes) -> int:
        """Type into the instance of a stream. Returns the number of the request, whose answer is `Taken`."""
        return self.channel.send(
            methods.INPUT.name, InputParams(stream, base64=b2a_base64(data, newline=False).decode())
        )

    def send_size(self, stream: int, columns: int, rows: int) -> int:
        """Report the size of the screen. Returns the number of the request."""
        return self.channel.send(methods.RESIZE.name, ResizeParams(stream, columns, rows))

    # ---- one call

    def _ask(self, method: Method[P, R], params: P) -> R:
        return self.channel.call(method.name, params, method.result)

    def _call(self, method: Method[P, R], params: P) -> R:
        try:
            return self._ask(method, params)
        except NotUnderstoodError as error:
            raise self._lacking(method.name, params) or error from None

    def _lacking(self, method: str, params: Struct) -> LackingError | None:
        """What an older procman lacks; None if it should have understood."""
        from procman.control.first_version import CAPABILITIES  # noqa: PLC0415  only on the way to an error

        try:
            hello = self.hello()
        except ProcmanError:  # it has ended since: its answer stands
            return None
        known = hello.capabilities or CAPABILITIES
        words = [f"{method}.{member}" for member in members(params)] if method in known else [method]
        lacking = [f"`{word}`" for word in words if word not in known]
        if not lacking:
            return None
        text = f"cannot do that: the running procman ({hello.version}) does not know {', '.join(lacking)}"
        return LackingError(text, "`procman upgrade` replaces it with the installed version")
