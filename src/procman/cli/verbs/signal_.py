"""`procman signal`: send a signal to instances. (`signal` is a module of the standard library.)"""

from __future__ import annotations

import signal

import click

from procman.cli.line.completion import complete_instances, complete_signals
from procman.cli.target import TargetOptions, client_options
from procman.app.usage import UsageError
from procman.control.protocol import SignalParams
from procman.errors import nearest


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
    with place.connect() as client:
        answer = client.call("signal", SignalParams(signal_name(sig), names, leader))
    click.echo(f"sent {signal_name(sig)} to {', '.join(answer.instances)}")


def signal_name(word: str) -> str:
    """`hup`, `SIGHUP` or `1` as `HUP`."""
    known = {s.name.removeprefix("SIG"): s.value for s in signal.Signals}
    if word.isdecimal():
        word = next((name for name, number in known.items() if number == int(word)), word)
    name = word.upper().removeprefix("SIG")
    if name not in known:
        raise UsageError(f"cannot send '{word}': no such signal", nearest(name, known))
    return name
