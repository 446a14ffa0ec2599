"""Puts a procman together: reactor, output, kernel and server, connected to one another. Starts nothing and decides
nothing.

`run` builds a new one, or one that continues after an upgrade.
"""

from __future__ import annotations

import time
from functools import cache, partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from procman.app import output
from procman.app.inputs import locate_root, reload
from procman.app.parts import Reach, ReloadInputs, RunningParts
from procman.control.claim import Claim
from procman.control.places import trace_file
from procman.core.fleet import Fleet
from procman.errors import ProcmanError
from procman.kernel import signals
from procman.kernel.kernel import Kernel
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.history import History
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.process.launcher import SpawnContext
from procman.kernel.wiring import KernelSettings
from procman.later import later
from procman.serve.lazyserver import LazyServer
from procman.text.lines import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procman.app import resume
    from procman.app.kept_counts import CountsFile
    from procman.app.options import OutputOptions
    from procman.core.spec import Plan
    from procman.kernel.output.logfiles import LogFiles
    from procman.kernel.output.sinks import FilesState
else:
    resume = later(__name__, "procman.app.resume")

for each in (
    *("saved", "survive.handover", "survive.upgrading"),
    *("process.holder", "process.listeners", "process.probes.attempts", "process.probes.polling"),
):
    later(__name__, f"procman.kernel.{each}")  # what `resume` imports is kept together with it

LAST_LINES = 10
"""Lines that the client shows of a procman that ends while it starts in the background: nobody could read them later.
"""

FLUSH_WITHIN = 2.0
"""Seconds that writing the last lines to a slow reader may take."""


def build(
    plan: Plan,
    claimed: Claim | None,
    options: OutputOptions,
    inputs: ReloadInputs,
    before: resume.Restored | None = None,
) -> RunningParts:
    """All parts, ready to run. `before` is what an upgrade handed over. Raises ProcmanError, with the claim released."""
    reactor = Reactor()
    files = _log_files(reactor, options, claimed, before.files if before is not None else None)
    history = History(limit_all=options.history * 1024 * 1024)
    lines = Multiplexer(reactor, output.sink(reactor), history, output.line_format(options), files)
    lines.widen([f"{name}.{count}" for name, count in plan.counts.items() if count])
    reach = Reach(claimed)

    def log(text: str) -> None:
        parts.kernel.log(text)

    settings = replace(
        _settings(reach, options, inputs),
        upgrading=lambda: resume.upgrading(parts),
        keep=_keeper(claimed, inputs, plan.root, log),
    )
    if before is None:
        kernel = Kernel(reactor, Fleet(plan), lines, history, settings)
    else:
        state = before.restore(history, lines)
        kernel = Kernel(reactor, state.fleet(), lines, history, replace(settings, before=state))
        del state  # in memory
    signals.install(reactor, kernel)
    server = _server(reactor, claimed, kernel)
    reach.serve(server, kernel.log)
    _tell_service_manager(reactor, kernel, inputs)
    parts: RunningParts = RunningParts(options, inputs, claimed, files, reactor, kernel, server)
    if before is not None:
        before.go_on(server)
    else:
        kernel.log(output.headline(plan, claimed))
    return parts


def _server(reactor: Reactor, claimed: Claim | None, kernel: Kernel) -> LazyServer | None:
    """The control socket, to which the kernel passes its changes. None if procman runs without one."""
    if claimed is None:
        return None
    server = LazyServer(reactor, claimed.listeners, kernel)
    kernel.listeners.append(server.publish)
    kernel.operation_listeners.append(server.operation_ended)
    return server


def _keeper(
    claimed: Claim | None, inputs: ReloadInputs, root: str, log: Callable[[str], None]
) -> Callable[[Mapping[str, int]], None]:
    """Writes the counts that were set at run time. Without a place of its own procman keeps none."""
    if claimed is None:
        return lambda _counts: None

    @cache
    def counts_file() -> CountsFile:
        from procman.app import kept_counts  # noqa: PLC0415  only where counts are kept

        return kept_counts.counts_file(claimed, inputs, root, log)

    return lambda counts: counts_file().write(counts)


def run(parts: RunningParts) -> int:
    """Run until the formation ends; returns the exit code."""
    try:
        return parts.kernel.run()
    finally:
        parts.kernel.output.finish(time.monotonic() + FLUSH_WITHIN)
        if parts.claimed is not None and parts.server is not None:
            parts.server.stop_listening()
            parts.claimed.release()  # before connections are closed: a client that waits for their end may start the next procman at once
            parts.server.close()


def last_lines(parts: RunningParts) -> list[str]:
    """The last lines of all, each after its name."""
    history = parts.kernel.history
    entries, _ = history.tail(history.names(), LAST_LINES)
    lines = ((entry.name, line) for entry in entries for line in entry.data.decode(errors="replace").splitlines())
    return [f"{name} | {clean(line)}" for name, line in lines]


def _settings(reach: Reach, options: OutputOptions, inputs: ReloadInputs) -> KernelSettings:
    claimed = reach.claimed
    path = claimed.place.socket if claimed is not None else None
    locks = claimed.held if claimed is not None else ()
    locate = partial(locate_root, inputs, reach)
    context = SpawnContext(path, options.split_streams, options.log_dir is not None, locate)
    return KernelSettings(partial(reload, inputs, reach), context, trace_file(path), guarded=locks)


def _tell_service_manager(reactor: Reactor, kernel: Kernel, inputs: ReloadInputs) -> None:
    if not inputs.environ.get("NOTIFY_SOCKET"):
        return
    from procman.kernel.survive.service import Service  # noqa: PLC0415  only where there is one

    service = Service(reactor, inputs.environ, kernel.view)
    kernel.listeners.append(service.changed)
    service.start()


def _log_files(
    reactor: Reactor, options: OutputOptions, claimed: Claim | None, before: FilesState | None
) -> LogFiles | None:
    """The log files, if any were asked for. Releases the claim where they cannot be opened."""
    if options.log_dir is None:
        return None
    from procman.kernel.output.logfiles import LogFiles, Rotation  # noqa: PLC0415  only where they are wanted

    try:
        return LogFiles(reactor, options.log_dir, Rotation(options.log_max_bytes, options.log_keep), before)
    except ProcmanError:
        if claimed is not None:
            claimed.release()
        raise
