"""`procman attach`: the keyboard and the screen of one instance."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from procman.cli.attach.input_queue import DetachKeys
from procman.cli.attach.raw import raw_keys
from procman.cli.attach.screen_state import ScreenState
from procman.cli.attach.session import AttachEnd, AttachSession, Endpoints, size, wakes
from procman.cli.line.completion import complete_instances
from procman.cli.target import TargetOptions, client_options

if TYPE_CHECKING:
    from procman.control.client import Client
    from procman.core.view import FleetView


@click.command()
@click.argument("instance", metavar="INSTANCE", shell_complete=complete_instances)
@click.option("-r", "--read-only", is_flag=True, show_envvar=True, help="Show the screen, and type nothing.")
@click.option(
    "--detach-keys",
    default="ctrl-]",
    metavar="KEYS",
    show_envvar=True,
    help="The keys that detach, separated by commas, such as ctrl-p,ctrl-q.  [default: ctrl-]]",
)
@client_options
def attach(target: TargetOptions, instance: str, detach_keys: str, *, read_only: bool) -> int:
    """Connect the keyboard and the screen to an instance: a debugger, a prompt, a REPL. Ctrl-] detaches; the instance
    keeps running.

    INSTANCE is web.1, or web if only one web runs. Its last output is shown first. When it restarts, the attachment
    continues with the new process. Several people may attach to one instance. Only one of them can type: the first, until
    that person detaches. The instance's terminal has the size of that person's screen.

    An instance has a terminal if `procman start` was typed in one, or with `--tty`, or with `tty: true` in procman.yml.
    If an instance has no terminal, its output is shown, and Ctrl-C detaches. Input from a pipe is typed, and attach
    detaches when the input ends.

    \b
    Examples:
      procman attach web.1
      procman attach worker --read-only
      echo 'reload()' | procman attach console
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    try:
        keys = DetachKeys(detach_keys)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--detach-keys'") from None
    way = Endpoints(keys, read_only, os.isatty(0))
    shown = ScreenState(raw=way.person)
    with target.connect() as client, wakes() as wake:
        attachment, fleet = _attached(client, instance, way, shown)
        with raw_keys(shown.undo) if way.person else nullcontext():
            while (ending := attachment.follow(fleet, wake)) is AttachEnd.UPGRADED:
                client.channel.connect_again()
                attachment, fleet = _attached(client, instance, way, shown)
        return attachment.leave(ending)


def _attached(client: Client, instance: str, way: Endpoints, shown: ScreenState) -> tuple[AttachSession, FleetView]:
    """A new attachment, and the formation as it was just before."""
    fleet = client.ps().fleet
    return AttachSession(client, client.attach(instance, size(), read_only=way.read_only), way, shown), fleet
