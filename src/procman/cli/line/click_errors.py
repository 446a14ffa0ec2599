"""Click's own errors in procman's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from procman.app.usage import UsageError
from procman.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable


def explained(error: click.UsageError) -> UsageError:
    """Click's error as "cannot …", and a hint with the nearest known name or where help is."""
    path = error.ctx.command_path if error.ctx else "procman"
    hint = f"try '{path} --help'"
    match error:
        case click.NoSuchOption():
            near = nearest(error.option_name, _options(error.ctx))
            close = f"{near} ({hint})" if near.startswith("did") else hint
            return UsageError(f"cannot understand the option '{error.option_name}' of '{path}'", close)
        case click.MissingParameter(param=click.Parameter() as param):
            return UsageError(f"cannot do '{path}' without {param.human_readable_name}", hint)
        case click.BadParameter(param=click.Parameter() as param, ctx=click.Context() as context):
            return UsageError(f"cannot use {param.get_error_hint(context)}: {_clause(error.message)}", hint)
        case _:
            return UsageError(f"cannot understand the command line: {_clause(error.message)}", hint)


def _options(context: click.Context | None) -> Iterable[str]:
    parameters = context.command.get_params(context) if context else []
    return [name for parameter in parameters for name in parameter.opts if name.startswith("-")]


def _clause(sentence: str) -> str:
    """A sentence of click's as the second half of one of ours."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")
