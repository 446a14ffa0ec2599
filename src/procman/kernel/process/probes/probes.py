"""The probes in force, one for each process: the core starts and stops them, and gets their answers.

Owns the last answer of each: a check whose result is the same as before is not posted again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from msgspec import Struct
from msgspec.structs import replace

from procman.core.actions import RunHelper, StartProbe
from procman.core.events import Probed
from procman.core.policies import ExecProbe, FileProbe, HttpProbe, LogProbe, NotifyProbe, TcpProbe
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.helpers import HelperEnd
from procman.kernel.process.probes.attempts import (
    ExecAttempt,
    FileAttempt,
    OnAnswer,
    ProbeAnswer,
    ProbedProcess,
    described,
    failed,
    run_command,
)
from procman.kernel.process.probes.polling import SPREAD, Limits, Polling, ProbeState
from procman.kernel.process.spawn import SpawnError

if TYPE_CHECKING:
    from procman.kernel.process.probes.attempts import ProbesHost, Watching


READY = "READY=1"


class Watchdog:
    """Answers when a program has not sent `WATCHDOG=1` for an interval, and when it sends it again."""

    def __init__(self, limits: Limits, interval: float, answer: OnAnswer) -> None:
        self._limits = limits
        self._interval = interval
        self._answer = answer
        self._expire = self._expired

    def start(self) -> None:
        self._limits.set(self._expire, self._interval)

    def cancel(self) -> None:
        self._limits.drop(self._expire)

    def fed(self) -> None:
        self._limits.set(self._expire, self._interval)
        self._answer(ProbeAnswer(ok=True, text="WATCHDOG=1"))

    def trigger(self) -> None:
        """The program itself reports that it is unhealthy."""
        self._answer(failed("WATCHDOG=trigger"))

    def _expired(self) -> None:
        self._limits.set(self._expire, self._interval)
        self._answer(failed(f"no WATCHDOG=1 for {self._interval:g} s"))


class _Current(Struct):
    """The probe in force for a name; without `watching` the program itself reports."""

    state: ProbeState
    watching: Watching | None = None


class Probes:
    """The probes in force, by instance. Every answer has the generation of the process that was probed.
    `probed_process` finds the process of an instance's generation, while it exists.
    """

    def __init__(
        self, reactor: Reactor, host: ProbesHost, probed_process: Callable[[str, int], ProbedProcess | None]
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._probed_process = probed_process
        self._limits = Limits(reactor)
        self._current: dict[str, _Current] = {}
        self.commands = 0  # how many commands of drains run
        self._checks = 0  # how many health checks were ever started

    def start(self, action: StartProbe) -> None:
        """Start a probe, in place of the one in force for that name."""
        if action.health:
            self._checks += 1
        self._begin(ProbeState(action=action, phase=(self._checks * SPREAD) % 1))

    def stop(self, name: str, generation: int) -> None:
        if self._of(name, generation) is not None:
            self._drop(name)

    def state(self) -> tuple[ProbeState, ...]:
        """The probes in force, for another program."""
        return tuple(current.state for current in self._current.values())

    def restore(self, states: tuple[ProbeState, ...]) -> None:
        for state in states:
            self._checks += state.action.health
            self._begin(state)

    def run(self, action: RunHelper) -> None:
        """Run a command of an instance's drain. A failure is logged."""
        process = self._probed_process(action.name, action.generation)
        if process is None:
            return

        def ended(end: HelperEnd) -> None:
            self.commands -= 1
            if end.status.code or end.timed_out:
                what = described(end, action.seconds)
                self._host.log(f"{action.name}: its drain command '{action.command}' failed: {what}")

        try:
            run_command(self._host.helpers, action.command, process, action.seconds, ended)
            self.commands += 1
        except (SpawnError, OSError, ValueError) as error:
            self._host.log(f"{action.name}: cannot run its drain command: {error}")

    # ---- what a program says by itself

    def ready(self, name: str, generation: int) -> None:
        """`READY=1` from a program that reports it itself: when it has started, and again after each reload."""
        current = self._of(name, generation)
        if current is not None and not current.state.action.health:
            self._answered(current, ProbeAnswer(ok=True, text=READY))
        else:
            self._host.post(Probed(name, generation, ok=True, answer=READY))

    def watchdog(self, name: str, generation: int, *, well: bool) -> None:
        """`WATCHDOG=1` or `WATCHDOG=trigger`."""
        current = self._of(name, generation)
        if current is not None and isinstance(current.watching, Watchdog):
            current.watching.fed() if well else current.watching.trigger()

    def _of(self, name: str, generation: int) -> _Current | None:
        current = self._current.get(name)
        return current if current is not None and current.state.action.generation == generation else None

    # ---- one probe

    def _begin(self, state: ProbeState) -> None:
        action = state.action
        self._drop(action.name)
        process = self._probed_process(action.name, action.generation)
        if process is None:
            return

        def answered(answer: ProbeAnswer) -> None:
            if self._current.get(action.name) is current:
                self._answered(current, answer)

        current = self._current[action.name] = _Current(state)
        current.watching = self._watching(state, process, answered)
        if current.watching is not None:
            current.watching.start()

    def _drop(self, name: str) -> None:
        current = self._current.pop(name, None)
        if current is not None and current.watching is not None:
            current.watching.cancel()

    def _answered(self, current: _Current, answer: ProbeAnswer) -> None:
        """Post an answer. Each failure is posted, as the core counts them; a success only if it is a change."""
        action, last = current.state.action, current.state.last
        if self._probed_process(action.name, action.generation) is None:
            self.stop(action.name, action.generation)
            return
        current.state = replace(current.state, last=answer)
        if answer.ok and not action.health:
            self._drop(action.name)
        if answer != last or not answer.ok:
            self._host.post(Probed(action.name, action.generation, answer.ok, answer.text))

    def _watching(self, state: ProbeState, process: ProbedProcess, answered: OnAnswer) -> Watching | None:
        action = state.action
        match action.probe:
            case LogProbe():
                from procman.kernel.process.probes.log import LogWatch  # noqa: PLC0415  only where it is used

                return LogWatch(self._host.output, action.name, action.probe, answered)
            case NotifyProbe():
                return Watchdog(self._limits, action.interval, answered) if action.health else None
            case TcpProbe() | HttpProbe() | ExecProbe() | FileProbe():
                return Polling(self._reactor, self._limits, state, self._attempt_of(action, process), answered)
            case _:
                assert_never(action.probe)

    def _attempt_of(self, action: StartProbe, process: ProbedProcess) -> Callable[[OnAnswer], Watching]:
        probe = action.probe
        match probe:
            case TcpProbe():
                from procman.kernel.process.probes.tcp import TcpAttempt  # noqa: PLC0415  only where it is used

                return lambda answer: TcpAttempt(self._reactor, probe, process, answer)
            case HttpProbe():
                from procman.kernel.process.probes.http import HttpAttempt  # noqa: PLC0415  15 ms with h11

                return lambda answer: HttpAttempt(self._reactor, probe, process, answer)
            case ExecProbe():
                return lambda answer: ExecAttempt(self._host.helpers, probe.command, process, action.timeout, answer)
            case FileProbe():
                return lambda answer: FileAttempt(probe, process, answer)
            case LogProbe() | NotifyProbe():
                raise AssertionError(probe)  # probes without attempts
            case _:
                assert_never(probe)
