"""`procman check`: read all inputs, start nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from procman.app.limitations import limitations_here
from procman.cli.line.click_options import input_options, nearest_inputs, refuse_unknown_variables
from procman.cli.line.grouped import GroupedCommand
from procman.cli.show import programs
from procman.cli.show.plan import explanation
from procman.cli.show.screen import can_redraw, width
from procman.cli.show.table import columns, fitted
from procman.config.load import Kept, load
from procman.config.options import Options
from procman.known import unread

if TYPE_CHECKING:
    from procman.core.spec import Plan


@click.command(cls=GroupedCommand)
@input_options
@click.option("--fix", is_flag=True, help="Write the advice about known programs into procman.yml.", show_envvar=True)
def check(options: Options, *, fix: bool) -> None:
    """Check the Procfile, .env and procman.yml, and show what `procman start` would run.

    It takes the options of `procman start`. If there are faults, it prints each on a line of its own, and the exit code
    is 2. If procman.yml sets order, readiness or restarts, it prints which types wait for others, what makes each ready,
    and where a restart loses requests. Then it prints advice about known programs that procman.yml does not follow yet,
    and which settings of other process managers have no effect. --fix writes the advice into procman.yml and changes nothing else there.

    \b
    Examples:
      procman check
      procman check -f Procfile.dev -m web=2,worker=0
      procman check --fix
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    refuse_unknown_variables(os.environ)
    options = nearest_inputs(options)
    kept: Kept = {}
    plan = load(options, os.environ, kept=kept)
    wide = width() if can_redraw() else None
    click.echo(fitted(shown(plan), wide))
    texts = programs.read_texts(options, plan, kept)
    found = programs.findings(plan, texts)
    advice = programs.fix(found, texts) if fix else programs.report(found, plan.procfile)
    for line in [*explanation(plan), *advice, *_unread(plan)]:
        click.echo(fitted(line, wide))
    for line in limitations_here():
        if line:
            click.echo(f"procman: {line}", err=True)


def _unread(plan: Plan) -> list[str]:
    """Settings of other process managers, after an empty line."""
    present = [name for name in unread.FILES if os.path.lexists(os.path.join(plan.root, name))]
    of_files = {name for spec in plan.types.values() for name in spec.base.files}
    lines = unread.notes(present, os.environ, of_files)
    return ["", *lines] if lines else []


def shown(plan: Plan) -> str:
    """A line for each type: how many instances, on which ports, and its command."""
    rows = [(name, str(count), ports(plan, name), plan.types[name].command) for name, count in plan.counts.items()]
    return columns([("TYPE", "COUNT", "PORTS", "COMMAND"), *rows], right=(1,))


def ports(plan: Plan, name: str) -> str:
    """`5000-5001`; for a type with a count of 0, the port that its first instance would get."""
    spec, count = plan.types[name], plan.counts[name]
    first, last = spec.port_of(1), spec.port_of(max(count, 1))
    if first is None:
        return "none"
    return str(first) if first == last else f"{first}-{last}"
