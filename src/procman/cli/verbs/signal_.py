"""`procman signal`: send a signal to instances. (`signal` is a module of the standard library.)"""

from __future__ import annotations

import click

from procman.app.usage import UsageError
from procman.cli.line.completion import complete_instances, complete_signals
from procman.cli.target import TargetOptions, client_options
from procman.control.protocol import SignalParams
from procman.errors import nearest
from procman.text.signals import KNOWN, read_signal


@click.command("signal")
@click.argument("sig", metavar="SIG", shell_complete=complete_signals)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_instances)
@click.option("--leader", is_flag=True, show_envvar=True, help="Only to the first process, not to all of its group.")
@client_options
def signal_(place: TargetOptions, sig: str, names: tuple[str, ...], *, leader: bool) -> None:
    """Send a signal (HUP, SIGUSR1, 9 …) to instances, by type, name or shell pattern.

    The whole process group of each gets it, with --leader only the process that procman started. An instance that dies
    of it is treated as any other death: to end one, use `procman stop`.

    \b
    Examples:
      procman signal HUP web
      procman signal TTIN web.1 --leader
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    name = read_signal(sig)
    if name is None:
        raise UsageError(f"cannot send '{sig}': no such signal", nearest(sig.upper().removeprefix("SIG"), KNOWN))
    with place.connect() as client:
        answer = client.call("signal", SignalParams(name, names, leader))
    click.echo(f"sent {name} to {', '.join(answer.instances)}")
