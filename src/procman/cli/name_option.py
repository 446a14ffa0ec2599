"""click's option `--name`: which formation of a folder, by the command line or by variables."""

from __future__ import annotations

import os

import click

from procman.control.places import NAME_VARIABLE


class NameOption(click.Option):
    """`--name`. PROCMAN_NAME sets it for all verbs; a verb's own variable wins over it.

    PROCMAN_SOCKET, which procman sets for its children, wins over both, as it names one procman exactly. A `start`
    inside such a child is of another formation, and ignores it.
    """

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        own = super().resolve_envvar_value(ctx)
        return own or (os.environ.get(NAME_VARIABLE) if not os.environ.get("PROCMAN_SOCKET") else None)
