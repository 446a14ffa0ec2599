"""`procman check`: parse everything, start nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from procman.cli.line.click_options import input_options
from procman.cli.show.table import columns
from procman.config.load import load, read_stdin
from procman.config.options import Options

if TYPE_CHECKING:
    from procman.core.spec import Plan


@click.command()
@input_options
def check(options: Options) -> None:
    """Check the Procfile, .env and procman.yml, and show what `procman start` would run.

    Takes what `procman start` takes. Ends with 0, or with 2 and every fault on a line of its own.

    \b
    Examples:
      procman check
      procman check -f Procfile.dev -m web=2,worker=0
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    given = read_stdin() if options.procfile == "-" else None
    click.echo(shown(load(options, os.environ, stdin=given)))


def shown(plan: Plan) -> str:
    """One line for each type: how many, on which ports, and what."""
    rows = [(name, str(count), ports(plan, name), plan.types[name].command) for name, count in plan.counts.items()]
    return columns([("TYPE", "COUNT", "PORTS", "COMMAND"), *rows], right=(1,))


def ports(plan: Plan, name: str) -> str:
    """`5000-5001`; for a type that stands at 0, the port that its first instance would get."""
    spec, count = plan.types[name], plan.counts[name]
    first, last = spec.port_of(1), spec.port_of(max(count, 1))
    if first is None:
        return "none"
    return str(first) if first == last else f"{first}-{last}"
