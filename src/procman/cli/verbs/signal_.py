"""`procman signal`: send a signal to instances. (`signal` is a module of the standard library.)"""

from __future__ import annotations

import os
import signal

import click

from procman.cli.line.completion import complete_instances, complete_signals
from procman.cli.target import TargetOptions, client_options
from procman.control.client import Client
from procman.core.select import Selector
from procman.errors import RefusedError, UsageError, nearest
from procman.text.signals import KNOWN, read_signal

ENDS_SHELLS = ("HUP", "USR1", "USR2")
"""Signals that many programs take as a request to read their files again, and by which a shell ends."""

SHELLS = ("sh", "dash", "bash", "zsh", "ksh", "ash", "busybox")

WHOM = "name types or instances, or use --self: `procman signal HUP web`"


@click.command("signal")
@click.argument("sig", metavar="SIG", shell_complete=complete_signals)
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_instances)
@click.option(
    "--leader",
    is_flag=True,
    show_envvar=True,
    help="Send it only to the first process of each, not to its whole group.",
)
@click.option(
    "--self", "procman", is_flag=True, allow_from_autoenv=False, help="Send it to procman itself, not to instances."
)
@client_options
def signal_(target: TargetOptions, sig: str, names: tuple[str, ...], *, leader: bool, procman: bool) -> None:
    """Send a signal (HUP, SIGUSR1, 9 …) to instances, by type, name or shell pattern.

    All processes of each instance's group get it, with --leader only the process that procman started. Use --leader for
    a signal that asks a server to reload or to open its log files again. An instance that ends is restarted; to end it
    for good, use `procman stop`.

    With --self procman itself gets it, whatever its pid is: USR1 opens its log files again.

    \b
    Examples:
      procman signal HUP web --leader
      procman signal TTIN web.1 --leader
      procman signal USR1 --self
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    name = read_signal(sig)
    if name is None:
        raise UsageError(f"cannot send '{sig}': no such signal", nearest(sig.upper().removeprefix("SIG"), KNOWN))
    if bool(names) == procman:
        what = "names and --self exclude each other" if names else "no instance is named"
        raise UsageError(f"cannot send {name}: {what}", WHOM)
    with target.connect() as client:
        if procman:
            _send(client.channel.peer, name)
            return
        shells = _shells(client, names) if name in ENDS_SHELLS else {}
        answer = client.signal(name, names, leader=leader)
    click.echo(f"sent {name} to {', '.join(answer.instances)}")
    for instance in answer.instances:
        if instance in shells:
            reason = f"the first process of {instance} is a shell ({shells[instance]}), which {name} ends"
            click.echo(f"procman: {reason}: begin the command with `exec`", err=True)
            break


def _shells(client: Client, names: tuple[str, ...]) -> dict[str, str]:
    """The selected instances whose first process is a shell, as far as this can be seen here."""
    meant = Selector(names)
    rows = client.ps().fleet.instances
    return {i.name: shell for i in rows if i.pid and meant.matches(i.name) and (shell := _shell(i.pid))}


def _shell(pid: int) -> str:
    try:
        name = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""
    return name if name in SHELLS else ""


def _send(pid: int, name: str) -> None:
    """Send the signal to procman itself, by its pid as this process sees it: 0 if procman is in another container."""
    if not pid:
        raise RefusedError(f"cannot send {name}: procman is in another PID namespace", "type this inside its container")
    try:
        os.kill(pid, signal.Signals[f"SIG{name}"])
    except (PermissionError, ProcessLookupError) as error:
        raise RefusedError(f"cannot send {name} to procman (pid {pid}): {error.strerror}") from None
    click.echo(f"sent {name} to procman (pid {pid})")
