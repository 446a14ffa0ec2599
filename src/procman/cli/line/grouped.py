"""The help of verbs with many options: options in groups, and the variables that set them in one line at the end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from procman.app.options import FILES, FORMATION, OUTPUT, PROCMAN, SUPERVISION

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS = {
    "What runs": FILES,
    "How many, and on which ports": FORMATION,
    "When something ends": SUPERVISION,
    "Output": OUTPUT,
    "procman itself": PROCMAN,
}
WIDTH = 30
"""Columns of the option names, the same in every group."""

_VARIABLE = re.compile(r" *\[env var: [^\]]*\]")


class GroupedCommand(click.Command):
    """A verb whose options are all in GROUPS."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        grouped = {option.name for options in GROUPS.values() for option in options}
        records = dict(self._records(ctx))
        for title, options in GROUPS.items():
            rows = [records[option.name] for option in options if option.name in records]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=WIDTH)
        helping = {parameter.name for parameter in self.get_params(ctx) if "--help" in parameter.opts}
        helps = [record for name, record in records.items() if name in helping]
        own = [record for name, record in records.items() if name not in {*grouped, *helping}]
        if own:
            with formatter.section("This verb only"):
                formatter.write_dl(own, col_max=WIDTH)
        with formatter.section("Help"):
            formatter.write_dl(helps, col_max=WIDTH)
        verb = f"PROCMAN_{(ctx.info_name or '').upper()}_"
        formatter.write_paragraph()
        formatter.write_text(
            f"Each option can be set by a variable as well: {verb} and its name, such as {verb}SHELL or {verb}ENV_OVERRIDES. "
            "The command line wins over the variable, the variable over procman.yml."
        )

    def _records(self, ctx: click.Context) -> Iterator[tuple[str, tuple[str, str]]]:
        """The lines that click would show, by parameter name, without the variables."""
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None and parameter.name is not None:
                yield parameter.name, (record[0].ljust(WIDTH), _VARIABLE.sub("", record[1]))
