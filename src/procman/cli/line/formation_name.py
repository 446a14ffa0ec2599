"""`--name` as an option of click: which of a folder's formations is meant, by the command line and by variables."""

from __future__ import annotations

import os

import click

from procman.control.places import NAME_VARIABLE


class NameOption(click.Option):
    """`--name`. PROCMAN_NAME says it to all verbs; the verb's own variable wins over it.

    Where there is a PROCMAN_SOCKET, which procman gives to what it runs, that says more exactly who is meant, and a start
    from in there is of another formation.
    """

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        own = super().resolve_envvar_value(ctx)
        return own or (os.environ.get(NAME_VARIABLE) if not os.environ.get("PROCMAN_SOCKET") else None)
