"""`procman start` after its command line has been read, with click or without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.app.run import supervise
from procman.errors import UsageError

if TYPE_CHECKING:
    from procman.app.options import StartOptions


def start_formation(options: StartOptions) -> int:
    """Start procman; returns the exit code."""
    if options.then is not None or options.words:
        if options.detach or (options.then is not None and options.words):
            other = "--detach" if options.detach else "a command after --"
            raise UsageError(f"cannot use --then and {other} at once", "leave one of them out")
        from procman.cli.then import Then  # noqa: PLC0415  is a client, too

        return supervise(options, Then(options.then, options.words).fork)
    if not options.detach:
        return supervise(options)
    from procman.cli.background import detached  # noqa: PLC0415  is a client, too

    return supervise(options, detached)
