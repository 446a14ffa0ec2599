"""What `procman start` does: wires the rooms together and runs the formation. With `takeover`, its other half, the only module that imports the kernel.

Nothing is decided here. The order matters: inputs first (nothing is started when one is wrong), then the lock, then
signals, then children; what a person reads is written as soon as it is known.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from procman import __version__
from procman.app.options import Value, collect
from procman.app.usage import UsageError
from procman.config.load import Options, load, read_stdin
from procman.control.locate import Claim, claim, start_places, trace_file
from procman.core.spec import Plan
from procman.errors import ConfigError, Fault, ProcmanError, nearest
from procman.kernel import signals
from procman.kernel.process import spawn
from procman.kernel.output.formatting import Format
from procman.kernel.output.history import History
from procman.kernel.kernel import Kernel, KernelSettings
from procman.kernel.process.launcher import SpawnContext
from procman.kernel.output.fanout import Mux
from procman.kernel.loop.reactor import Reactor
from procman.serve.server import Server
from procman.kernel.output.sinks import Sink, find_way

if TYPE_CHECKING:
    from procman.app.resume import Restored
    from procman.kernel.output.logfiles import LogFiles
    from procman.kernel.survive.upgrading import LiveUpgrade

FLUSH_WITHIN = 2.0
"""Seconds that the last lines may take to be written to a reader that is slow."""


class OutputOptions(Struct, frozen=True, kw_only=True):
    """How the output looks and how much of it is kept, as given on the command line."""

    log_format: str
    timestamps: bool | None
    no_prefix: bool
    quiet: tuple[str, ...]
    color: str
    history: int
    split_streams: bool
    log_dir: str | None
    log_max_bytes: int
    log_keep: int


def supervise(values: dict[str, Value]) -> int:
    """What `start` does; returns the exit code. `values` are by the names of its options, and are used up."""
    options = collect(values)
    socket, watch, detach = values.pop("socket"), values.pop("watch"), values.pop("detach")
    look = OutputOptions(split_streams=options.split_streams, **values)
    if watch:
        _refuse_watch()
    if detach and os.getpid() == 1:
        raise UsageError("cannot detach: a container ends when its first process does", "leave --detach out")
    _open_standard_descriptors()
    inherited = tuple(spawn.close_on_exec())
    options = replace(options, init=os.getpid() == 1, terminal=os.isatty(1))
    environ = dict(os.environ)
    given = read_stdin() if options.procfile == "-" else None
    plan = load(options, environ, stdin=given)
    _check_types(look.quiet, plan)
    if look.log_dir is not None:
        look = replace(look, log_dir=os.path.abspath(look.log_dir))
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    run = partial(_run, plan, look, ReloadInputs(options, environ, given, here, inherited, watch=watch), socket)
    if detach:
        from procman.cli.detach import detached  # noqa: PLC0415  it is a client, too

        return detached(plan, run)
    return run()


def _run(
    plan: Plan, look: OutputOptions, inputs: ReloadInputs, socket: str | None, leave: Callable[[Claim | None], None] | None = None
) -> int:
    """Claim the root and supervise there; `leave` is called where nothing can be refused any more."""
    claimed = claim(start_places(plan.root, socket, inputs.environ), on_wait=_waits)
    if leave is not None:
        leave(claimed)
    os.chdir(plan.root)
    root = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    inputs = replace(inputs, root=root, watch=inputs.watch and claimed is not None)
    return _supervise(_accompanied(plan, inputs), claimed, look, inputs)


def take_over(fd: int) -> int:
    """Go on where the program was that this one replaces."""
    from procman.app.resume import Restored  # noqa: PLC0415  after an upgrade only

    spawn.close_on_exec()
    taken = Restored(fd)
    return _supervise(taken.plan, taken.claimed, taken.look, taken.inputs, taken)


def check(fd: int) -> int:
    from procman.app.resume import check as can_take_over  # noqa: PLC0415  before an upgrade only

    can_take_over(fd)
    return 0


def _refuse_watch() -> None:
    """Raises UsageError where the watcher could not run."""
    from importlib.util import find_spec  # noqa: PLC0415  only with --watch

    if find_spec("watchfiles") is None:
        text = "cannot watch files: watchfiles is not installed"
        raise UsageError(text, "`pip install 'procman[watch]'` installs it")


def _accompanied(plan: Plan, inputs: ReloadInputs) -> Plan:
    """The plan with the companions that were asked for."""
    if not inputs.watch:
        return plan
    from procman.companions.watcher import NAME, watcher  # noqa: PLC0415  only with --watch

    return replace(plan, companions={NAME: watcher(plan, inputs.environ)})


def _waits(pid: int) -> None:
    _warn(f"procman (pid {pid}) was killed; waiting until what it left has ended")


def _check_types(quiet: tuple[str, ...], plan: Plan) -> None:
    faults = [
        Fault("", 0, f"cannot find the process type '{name}' of --quiet", nearest(name, plan.types))
        for name in quiet
        if name not in plan.types
    ]
    if faults:
        raise ConfigError(faults)


def _supervise(plan: Plan, claimed: Claim | None, look: OutputOptions, inputs: ReloadInputs, taken: Restored | None = None) -> int:
    reactor = Reactor()
    try:
        files = _log_files(reactor, look, taken)
    except ProcmanError:
        if claimed is not None:
            claimed.release()
        raise
    history = History(limit_all=look.history * 1024 * 1024)
    mux = Mux(reactor, _sink(reactor), history, _format(look), files)
    mux.widen([*(f"{name}.1" for name in plan.types)])
    before = taken.restore(history, mux) if taken is not None else None
    kernel = Kernel(reactor, plan, mux, history, _settings(plan, claimed, look, inputs))
    if before is not None:
        kernel.take_over(before)
        del before  # all the state, in memory
    signals.install(reactor, kernel)
    server = Server(reactor, claimed.listener, kernel) if claimed is not None else None
    if server is not None:
        kernel.on_change = server.publish
    if taken is not None:
        taken.go_on(kernel, server)
    else:
        kernel.say(_headline(plan, claimed))
    kernel.make_upgrading = lambda: _upgrading(RunningParts(look, inputs, claimed, files, reactor, kernel, server))
    try:
        return kernel.run()
    finally:
        mux.finish(time.monotonic() + FLUSH_WITHIN)
        if claimed is not None and server is not None:
            server.stop_listening()
            claimed.release()  # before the connections end: who waits for that may start the next procman at once
            server.close()


def _settings(plan: Plan, claimed: Claim | None, look: OutputOptions, inputs: ReloadInputs) -> KernelSettings:
    path = claimed.place.socket if claimed is not None else None
    locks = (claimed.lock_fd, *claimed.guards) if claimed is not None else ()
    given = SpawnContext(plan.root, path, look.split_streams, look.log_dir is not None)
    return KernelSettings(partial(_reload, inputs), given, trace_file(path), guarded=locks)


class ReloadInputs(Struct, frozen=True):
    """What a reload reads again with: all as it was at the start. `here` and `root` are descriptors of folders, and
    `inherited` those that whoever started procman meant it to hold.
    """

    options: Options
    environ: dict[str, str]
    given: bytes | None
    here: int
    inherited: tuple[int, ...] = ()
    root: int = -1
    watch: bool = False


class RunningParts(Struct, frozen=True):
    """All that a running procman is made of, for the program that takes its place."""

    look: OutputOptions
    inputs: ReloadInputs
    claimed: Claim | None
    files: LogFiles | None
    reactor: Reactor
    kernel: Kernel
    server: Server | None


def _upgrading(parts: RunningParts) -> LiveUpgrade:
    from procman.app.resume import upgrading  # noqa: PLC0415  2 ms, for which no instance waits

    return upgrading(parts)


def _reload(inputs: ReloadInputs, old: Plan) -> Plan:
    """The inputs as they are now. Both folders are descriptors: either may have been renamed or removed meanwhile."""
    os.fchdir(inputs.here)
    try:
        return _accompanied(load(inputs.options, inputs.environ, old.positions, inputs.given), inputs)
    finally:
        os.fchdir(inputs.root)


NO_SOCKET = (
    "\ncannot make a control socket: no folder for it can be written; ps, scale, --watch and the like will not work"
)


def _headline(plan: Plan, claimed: Claim | None) -> str:
    """What runs. A person at a terminal is also told the ports of each type, and where procman is reached."""
    if os.isatty(1):
        counts = ", ".join(_counted(plan, name, count) for name, count in plan.counts.items())
        reached = (
            f"\n`procman ps` and the like in another terminal; socket {claimed.place.socket}" if claimed else NO_SOCKET
        )
        return f"procman {__version__} (pid {os.getpid()}): {counts}{reached}"
    counts = ", ".join(f"{name} {count}" for name, count in plan.counts.items())
    ports = [spec.port for spec in plan.types.values() if spec.port is not None]
    told = f"; ports from {min(ports)}" if ports else ""
    return f"procman {__version__}: {counts}{told}; `procman ps` in another terminal{'' if claimed else NO_SOCKET}"


def _counted(plan: Plan, name: str, count: int) -> str:
    """`web 2 (ports 5000-5001)`"""
    first, last = plan.types[name].port, plan.types[name].port_of(count)
    if first is None or count == 0:
        return f"{name} {count}"
    return f"{name} {count} (port {first})" if count == 1 else f"{name} {count} (ports {first}-{last})"


# ---- standard output


def _sink(reactor: Reactor) -> Sink:
    return Sink(reactor, 1, on_trouble=_warn)


def _warn(text: str) -> None:
    """A line on standard error, which must not block: it may be in the same trouble as the standard output of which it tells."""
    way = find_way(2)
    try:
        way.put(f"procman: {text}\n".encode())
    except OSError:  # BlockingIOError among them
        return
    finally:
        way.close()


def _log_files(reactor: Reactor, look: OutputOptions, taken: Restored | None) -> LogFiles | None:
    if look.log_dir is None:
        return None
    from procman.kernel.output.logfiles import LogFiles, Rotation  # noqa: PLC0415  only where they are wanted

    before = taken.files if taken is not None else None
    return LogFiles(reactor, look.log_dir, Rotation(look.log_max_bytes, look.log_keep), before)


def _format(look: OutputOptions) -> Format:
    init = os.getpid() == 1
    return Format(
        mode=look.log_format,
        timestamps=not init if look.timestamps is None else look.timestamps,
        prefix=not look.no_prefix,
        color=_wants_color(look.color) and look.log_format == "text",
        quiet=frozenset(look.quiet),
    )


def _wants_color(choice: str) -> bool:
    """`--color`, else NO_COLOR (no-color.org) and FORCE_COLOR (force-color.org), else whether a terminal that can shows it."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return os.environ["FORCE_COLOR"] not in ("0", "false")  # what Node.js programs take for no
    return os.isatty(1) and os.environ.get("TERM", "dumb") != "dumb"


def _open_standard_descriptors() -> None:
    """Descriptors 0-2 exist, also where procman was started with some closed: else a pipe would become one of them."""
    opened = []
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        opened.append(fd)
    os.close(fd)
    if 1 in opened:
        _warn("cannot write to standard output: it is closed; all output is dropped (`procman logs` has it)")
