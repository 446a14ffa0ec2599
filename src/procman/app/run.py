"""What `procman start` does: it reads the inputs, claims the root, and runs the formation there. Decides nothing.

The order matters: inputs first (nothing is started if one is wrong), then the lock, then signals, then children.
Messages are written as soon as they are known.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec.structs import replace

from procman.app import build, output
from procman.app.inputs import refuse_companions, refuse_quiet, with_companions
from procman.app.parts import ReloadInputs
from procman.config.load import Kept, load
from procman.config.location import current_folder, note_of, search_upwards
from procman.config.procfile import is_name
from procman.control.claim import Claim, Wanted, claim
from procman.control.places import logical, start_places
from procman.core.spec import Plan
from procman.errors import RefusedError, UsageError
from procman.kernel import signals
from procman.kernel.process import spawn

if TYPE_CHECKING:
    from procman.app.options import StartOptions


class Foreground(Protocol):
    """The process that has put procman into the background, as procman knows it."""

    def listens(self, claimed: Claim | None) -> None:
        """Called when nothing can be refused any more, with the claim that procman listens on."""

    def has_ended(self, last: list[str]) -> None:
        """Called when the formation has ended, with its last lines."""


Fork: TypeAlias = Callable[[Plan, Callable[[Foreground], int]], int]
"""Puts procman into the background: makes two processes, calls its argument in the one that becomes procman, and
returns the exit code of either.
"""


def supervise(options: StartOptions, fork: Fork | None = None) -> int:
    """Run procman; returns the exit code. `fork` puts it into the background, where the user asked for that."""
    if options.name and not is_name(options.name):
        text = f"cannot use '{options.name}' as the name of a formation"
        raise UsageError(text, "letters, digits, '-' and '_', at most 63")
    companions = ("watch",) if options.watch else ()
    refuse_companions(companions)
    if fork is not None and os.getpid() == 1:
        raise UsageError("cannot detach: a container ends when its first process does", "leave --detach out")
    output.open_standard_descriptors()
    inherited = tuple(spawn.close_on_exec())
    environ = dict(os.environ)
    located, folder = search_upwards(options.inputs, environ)
    if folder is not None:
        output.warn(note_of(folder))
    inputs = ReloadInputs(
        options=replace(located, init=os.getpid() == 1, terminal=os.isatty(1)),
        environ=environ,
        kept=Kept(),
        start_dir=current_folder(environ),
        start_fd=os.open(".", os.O_RDONLY | os.O_DIRECTORY),
        root=-1,
        inherited=inherited,
        companions=companions,
    )
    plan = load(inputs.options, environ, kept=inputs.kept)
    refuse_quiet(options.output.quiet, plan)
    run = partial(_run, plan, inputs, options)
    return fork(plan, run) if fork is not None else run()


def _run(plan: Plan, inputs: ReloadInputs, options: StartOptions, foreground: Foreground | None = None) -> int:
    """Claim the root and supervise there."""
    output_options = options.output
    if output_options.log_dir is not None:
        output_options = replace(output_options, log_dir=os.path.abspath(output_options.log_dir))
    roots = (plan.root, logical(plan.root, inputs.environ))
    places = start_places(plan.root, options.socket, inputs.environ, options.name)
    try:
        claimed = claim(Wanted(places, roots, options.name), on_wait=_waits)
    except RefusedError as error:
        if not inputs.options.types:
            raise
        names = " ".join(inputs.options.types)
        hint = f"`procman restart {names}` starts what is stopped there; {error.hint}"
        raise RefusedError(error.message, hint) from None
    if claimed is not None and (plan.keep_counts or options.forget):
        plan = _as_kept(plan, inputs, claimed, forget=options.forget)
    signals.hold()
    if foreground is not None:
        foreground.listens(claimed)
    os.chdir(plan.root)
    root = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    inputs = replace(inputs, root=root, companions=inputs.companions if claimed is not None else None)
    parts = build.build(with_companions(plan, inputs), claimed, output_options, inputs)
    code = build.run(parts)
    if foreground is not None:
        foreground.has_ended(build.last_lines(parts))
    return code


def take_over(fd: int) -> int:
    """Take over from the previous program; returns the exit code. Raises RefusedError."""
    from procman.app.resume import Restored  # noqa: PLC0415  only after an upgrade

    spawn.close_on_exec()
    taken = Restored(fd)
    return build.run(build.build(taken.plan, taken.claimed, taken.output_options, taken.inputs, taken))


def _as_kept(plan: Plan, inputs: ReloadInputs, claimed: Claim, *, forget: bool) -> Plan:
    """The plan with the counts that the previous procman kept, if they are wanted."""
    from procman.app.kept_counts import counts_file, with_kept  # noqa: PLC0415  only where counts are kept

    file = counts_file(claimed, inputs, plan.root, output.warn)
    if forget:
        file.forget()
        return plan
    return with_kept(plan, file.read(), inputs.options, output.warn)


def _waits(pid: int) -> None:
    output.warn(f"procman (pid {pid}) has gone; waiting until what it left has ended")
