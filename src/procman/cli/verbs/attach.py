"""`procman attach`: the keyboard and the screen of one instance."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from procman.cli.attach.session import AttachSession, AttachEnd, Endpoints, size, wakes
from procman.cli.line.completion import complete_instances
from procman.cli.target import TargetOptions, client_options
from procman.cli.attach.raw import raw_keys
from procman.cli.attach.screen_state import ScreenState
from procman.cli.attach.input_queue import DetachKeys
from procman.control.protocol import Attached, AttachParams

if TYPE_CHECKING:
    from procman.control.client import Client
    from procman.core.view import FleetView


@click.command()
@click.argument("instance", metavar="INSTANCE", shell_complete=complete_instances)
@click.option("-r", "--read-only", is_flag=True, show_envvar=True, help="Only look; nothing is typed.")
@click.option(
    "--detach-keys",
    default="ctrl-]",
    metavar="KEYS",
    show_envvar=True,
    help="What leaves: keys with commas between, such as ctrl-p,ctrl-q.  [default: ctrl-]]",
)
@client_options
def attach(place: TargetOptions, instance: str, detach_keys: str, *, read_only: bool) -> int:
    """Type into an instance and see its screen: a debugger, a prompt, a REPL. Ctrl-] leaves; the instance goes on.

    INSTANCE is web.1, or web where one web runs. Its last output is shown first. When it restarts, the attachment follows
    its next life. Several may look at the same time, and one types: whoever came first, until that one leaves; the
    instance's terminal has the size of the screen of the one who types.

    An instance has a terminal where `procman start` was called at one, or with `--tty`, or with `tty: true` in
    procman.yml. Of one without, the output is shown, and Ctrl-C leaves. Input that is piped in is typed; at its end
    this leaves.

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
    with place.connect() as client, wakes() as wake:
        attachment, fleet = _attached(client, instance, way, shown)
        with raw_keys(shown.undo) if way.person else nullcontext():
            while (ending := attachment.follow(fleet, wake)) is AttachEnd.UPGRADED:
                client.connect_again()
                attachment, fleet = _attached(client, instance, way, shown)
        return attachment.leave(ending)


def _attached(client: Client, instance: str, way: Endpoints, shown: ScreenState) -> tuple[AttachSession, FleetView]:
    """A new attachment, and the formation as it was just before."""
    fleet = client.call("ps").fleet
    attached = client.call("attach", AttachParams(instance, way.read_only, *size()))
    assert isinstance(attached, Attached)
    return AttachSession(client, attached, way, shown), fleet
