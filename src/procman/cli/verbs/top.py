"""`procman top`: a live screen. The screen itself, and with it textual, is loaded only once it is certain that it can
be shown.
"""

from __future__ import annotations

import os

import click

from procman.cli.target import TargetOptions, client_options
from procman.errors import ProcmanError
from procman.extras import how_to_install
from procman.observe.poll import Poller


@click.command()
@client_options
def top(target: TargetOptions) -> int:
    """Show the formation on a live screen, with the last lines of one instance, and change it with keys.

    Arrows, or j and k, choose an instance; + and - scale its type, r restarts it, s stops it, a attaches to it, / filters
    the names, ? explains the keys and q quits. CPU is the use in the last second; CPU and MEMORY are those of the process
    and everything it started. When procman ends, the screen waits until it runs again.

    It needs textual, which is not installed with procman; if it is missing, a message says how to install it.

    \b
    Examples:
      procman top
      procman top -d shop
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    path = target.find()
    with Poller(path) as poller:
        poller.poll()  # a missing or refusing procman is reported before the screen changes
    if not (os.isatty(0) and os.isatty(1)):
        raise ProcmanError("cannot show a live screen: this is not a terminal", "try `procman ps --watch`")
    try:
        from procman.cli.live.app import Top  # noqa: PLC0415  textual is an extra, and 0.1 s at import
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        text = "cannot show a live screen: textual is not installed"
        hint = f"`{how_to_install('textual')}` installs it; `procman ps --watch` needs no package"
        raise ProcmanError(text, hint) from None
    screen = Top(path)
    screen.run()
    return screen.return_code or 0
