"""`procman start` once its command line is read, by click or without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.app.run import supervise

if TYPE_CHECKING:
    from procman.app.options import StartOptions


def start_formation(options: StartOptions) -> int:
    """Returns the exit code."""
    if not options.detach:
        return supervise(options)
    from procman.cli.detach import detached  # noqa: PLC0415  it is a client, too

    return supervise(options, detached)
