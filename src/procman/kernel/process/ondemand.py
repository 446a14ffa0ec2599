"""What only some types use: probes, commands of a drain, shared sockets, sockets for sd_notify(3), limits of memory.

Each is loaded when it is first used, so that other formations pay nothing for it. Owns what each of them has open.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias, assert_never

from msgspec import Struct

from procman.core.actions import CloseSockets, OpenSockets, RunHelper, Spawn, StartProbe, StopProbe
from procman.core.events import Notified
from procman.core.spec import ProcessSpec
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.process import Process
from procman.kernel.process.spawn import NO_ROOM, SpawnError
from procman.kernel.process.table import ProcessTable
from procman.later import later
from procman.text.words import index_of

if TYPE_CHECKING:
    from procman.core import policies
    from procman.kernel.process.listeners import Listener, Listeners
    from procman.kernel.process.memory import MemoryWatch
    from procman.kernel.process.notify import Fields, NotifySockets
    from procman.kernel.process.probes.attempts import ProbedProcess, ProbesHost
    from procman.kernel.process.probes.polling import ProbeState
    from procman.kernel.process.probes.probes import Probes
else:
    policies = later(__name__, "procman.core.policies")

Demand: TypeAlias = StartProbe | StopProbe | RunHelper | OpenSockets | CloseSockets


if TYPE_CHECKING:

    class OnDemandHost(ProbesHost, Protocol):
        """What these need of the kernel."""

        @property
        def root(self) -> str: ...
        def environment(self, process: Process) -> Mapping[str, str]:
            """The environment of this process."""


class Provided(Struct, frozen=True):
    """What a new process gets in addition to what all get: variables, and the descriptors of its sockets from 3 on."""

    env: Mapping[str, str] = {}
    sockets: tuple[int, ...] = ()


NOTHING = Provided()

MOST_DIGITS = 18
"""Most digits of a number in a message: a longer number makes no sense, and int() refuses one of 4,300 digits."""


class OnDemand:
    """Creates each of them once, and passes on actions and events."""

    def __init__(self, reactor: Reactor, processes: ProcessTable, host: OnDemandHost) -> None:
        self._reactor = reactor
        self._processes = processes
        self._host = host
        self._probes: Probes | None = None
        self._notify: NotifySockets | None = None
        self._listeners: Listeners | None = None
        self._memory: MemoryWatch | None = None

    # ---- what the core asks

    def perform(self, action: Demand) -> None:
        match action:
            case StartProbe():
                self.probes().start(action)
            case StopProbe(name, generation):
                if self._probes is not None:
                    self._probes.stop(name, generation)
            case RunHelper():
                self.probes().run(action)
            case OpenSockets(type_name, sockets):
                self._open(type_name, sockets)
            case CloseSockets(type_name, sockets):
                self.listeners().close(type_name, sockets)
            case _:
                assert_never(action)

    def _open(self, type_name: str, sockets: tuple[policies.ListenSocket, ...]) -> None:
        from procman.kernel.process.listeners import ListenError  # noqa: PLC0415  only where it is used

        try:
            self.listeners().open(type_name, sockets)
        except ListenError as error:  # every start of an instance tries again, and fails for this reason
            self._host.log(f"{type_name}: {error}")

    def forget(self, name: str) -> None:
        """The slot has been removed."""
        if self._notify is not None:
            self._notify.close(name)

    def end(self) -> None:
        """Procman is ending."""
        if self._listeners is not None:
            self._listeners.close_all()

    # ---- a run

    def provide(self, action: Spawn) -> Provided:
        """What a process that is about to start gets. Raises SpawnError."""
        spec = action.spec
        if not (spec.sockets or _notifies(spec)):
            return NOTHING
        env: dict[str, str] = {}
        sockets: tuple[int, ...] = ()
        if _notifies(spec):
            env |= self._notify_environment(action)
        if spec.sockets:
            from procman.kernel.process.listeners import ListenError, handed  # noqa: PLC0415  only where it is used

            try:
                sockets = tuple(self.listeners().open(spec.type, spec.sockets))
            except ListenError as error:
                raise SpawnError(NO_ROOM, str(error)) from error
            env |= handed(each.name for each in spec.sockets)
        return Provided(env, sockets)

    def _notify_environment(self, action: Spawn) -> dict[str, str]:
        try:
            env = {"NOTIFY_SOCKET": self.notify().address_of(action.name)}
        except OSError as error:
            raise SpawnError(NO_ROOM, f"cannot make a socket for sd_notify: {error.strerror or error}") from error
        health = action.spec.health
        if health is not None and isinstance(health.probe, policies.NotifyProbe):
            env["WATCHDOG_USEC"] = str(round(health.interval * 1_000_000))
        return env

    def began(self, process: Process) -> None:
        """A process has been started."""
        if process.spec.recycle is not None and process.spec.recycle.memory is not None:
            if self._memory is None:
                from procman.kernel.process.memory import MemoryWatch  # noqa: PLC0415  only where it is used

                self._memory = MemoryWatch(self._reactor, self._limited, self._host.post)
            self._memory.go_on()

    def _limited(self) -> dict[int, tuple[str, int]]:
        """The roots of the process trees whose memory has a limit, with name and generation."""
        return {
            pid: (process.name, process.generation)
            for process in self._processes.current.values()
            if process.spec.recycle and process.spec.recycle.memory
            for pid in (process.pid, *process.adopted)
        }

    def _probed_process(self, name: str, generation: int) -> ProbedProcess | None:
        """The process as probes see it, while its leader exists."""
        from procman.kernel.process.probes.attempts import ProbedProcess  # noqa: PLC0415  only where it is used

        process = self._processes.find(name, generation)
        if process is None or process.reaped:
            return None
        spec = process.spec
        return ProbedProcess(
            name=name,
            generation=generation,
            port=spec.port_of(index_of(name)),
            cwd=spec.cwd,
            root=self._host.root,
            shell=spec.shell,
            started_at=time.time() - (time.monotonic() - process.started_at),
            environment=lambda: self._host.environment(process),
        )

    # ---- what programs say

    def _received(self, name: str, pid: int, fields: Fields) -> None:
        """Handle a message, if it comes from a process of the present run."""
        process = self._processes.current.get(name)
        if process is None or not self._processes.is_of(pid, process):
            return
        if (
            fields.get("READY") == "1"
            and process.spec.ready is not None
            and isinstance(process.spec.ready.probe, policies.NotifyProbe)
        ):
            self.probes().ready(name, process.generation)
        if "WATCHDOG" in fields:
            self.probes().watchdog(name, process.generation, well=fields["WATCHDOG"] == "1")
        extend, main_pid = fields.get("EXTEND_TIMEOUT_USEC", ""), fields.get("MAINPID", "")
        said = Notified(
            name,
            process.generation,
            status=fields.get("STATUS"),
            stopping=fields.get("STOPPING") == "1",
            reloading=fields.get("RELOADING") == "1",
            extend=int(extend[:MOST_DIGITS]) / 1_000_000 if extend.isdecimal() else None,
            main_pid=int(main_pid[:MOST_DIGITS]) if main_pid.isdecimal() else None,
        )
        if said != Notified(name, process.generation):
            self._host.post(said)

    # ---- handing it on

    def probe_states(self) -> tuple[ProbeState, ...]:
        """The state of every probe."""
        return self._probes.state() if self._probes is not None else ()

    def open_listeners(self) -> tuple[Listener, ...]:
        """The shared sockets."""
        return self._listeners.state() if self._listeners is not None else ()

    def notify_descriptors(self) -> dict[str, int]:
        """The sockets for sd_notify(3), by instance."""
        return self._notify.state() if self._notify is not None else {}

    # ---- each of them

    @property
    def runs_commands(self) -> bool:
        """Whether a command of a drain runs."""
        return self._probes is not None and self._probes.commands > 0

    def probes(self) -> Probes:
        if self._probes is None:
            from procman.kernel.process.probes.probes import Probes  # noqa: PLC0415  only where it is used

            self._probes = Probes(self._reactor, self._host, self._probed_process)
        return self._probes

    def notify(self) -> NotifySockets:
        if self._notify is None:
            from procman.kernel.process.notify import NotifySockets  # noqa: PLC0415  only where it is used

            self._notify = NotifySockets(self._reactor, self._processes.ident, self._received)
        return self._notify

    def listeners(self) -> Listeners:
        if self._listeners is None:
            from procman.kernel.process.listeners import Listeners  # noqa: PLC0415  only where it is used

            self._listeners = Listeners()
        return self._listeners


def _notifies(spec: ProcessSpec) -> bool:
    """Whether its programs report themselves that they are ready, or well."""
    if spec.ready is None and spec.health is None:  # nearly every type
        return False
    return any(
        policy is not None and isinstance(policy.probe, policies.NotifyProbe) for policy in (spec.ready, spec.health)
    )
