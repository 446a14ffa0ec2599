"""`procman run`: become a one-off command, in the environment of an instance."""

from __future__ import annotations

import os

import click

from procman.cli.line.click_options import file_options, nearest_inputs
from procman.cli.line.completion import complete_types
from procman.cli.line.grouped import GroupedCommand
from procman.cli.one_off import SHELL, execute, one_off, takes_port
from procman.config.load import load_one_off
from procman.config.options import Options
from procman.errors import UsageError


@click.command(cls=GroupedCommand, context_settings={"allow_interspersed_args": False})
@click.argument("command", metavar="NAME_OR_COMMAND", shell_complete=complete_types)
@click.argument("args", metavar="[ARG]...", nargs=-1, type=click.UNPROCESSED)
@file_options
def run(options: Options, command: str, args: tuple[str, ...]) -> None:
    """Run one command in the application's folder and environment, and end as it ends.

    The name of a process type runs its command from the Procfile, with the ARGs added to it; anything else is a command.
    No running procman is needed, and none is affected. PS is run.1, and PORT is not set. Options come before the command;
    what follows it belongs to the command.

    \b
    Examples:
      procman run release
      procman run python manage.py migrate --noinput
      procman run 'env | sort'
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    if not command.strip():
        raise UsageError("cannot run an empty command", "try 'procman run --help'")
    inputs = load_one_off(nearest_inputs(options), os.environ, command)
    if inputs.spec is not None and takes_port(inputs.spec.command):
        click.echo(f"procman: a one-off has no PORT; `procman start {command}` runs the type with its port", err=True)
    execute(one_off(inputs, options.shell or SHELL, (command, *args)))
