"""Turns click's own errors into procman's words."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from procman.cli.line.advice import of_early_option, of_unknown_option
from procman.cli.line.fast_parse import VARIABLES
from procman.cli.line.foreign import EXAMPLES, PATTERNS
from procman.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def explained(error: click.UsageError, words: Sequence[str] = ()) -> UsageError:
    """Click's error as "cannot …", with a hint: the nearest name, or where to find help. `words` follow `procman`."""
    path = error.ctx.command_path if error.ctx else "procman"
    hint = f"try '{path} --help'"
    match error:
        case click.NoSuchOption(ctx=click.Context(command=click.Group() as group) as context) if words:
            near = of_unknown_option(path, error.option_name) or of_early_option(words, group.list_commands(context))
            return UsageError(f"cannot understand the option '{error.option_name}' of '{path}'", near)
        case click.NoSuchOption():
            near = of_unknown_option(path.rpartition(" ")[2], error.option_name) or _near(
                error.option_name, error.ctx, words
            )
            close = f"{near} ({hint})" if near else hint
            return UsageError(f"cannot understand the option '{error.option_name}' of '{path}'", close)
        case click.BadOptionUsage() if "requires an argument" in error.message:
            return UsageError(f"cannot use {error.option_name} without a value", _with_value(error, path))
        case click.BadOptionUsage() if "does not take a value" in error.message:
            plain = (
                PATTERNS
                if (path, error.option_name) == ("procman start", "--watch")
                else f"write `{path} {error.option_name}`"
            )
            return UsageError(f"cannot use {error.option_name} with a value", plain)
        case click.MissingParameter(param=click.Parameter() as param):
            return UsageError(
                f"cannot do '{path}' without {param.human_readable_name}", EXAMPLES.get(path.rpartition(" ")[2], hint)
            )
        case click.BadParameter(param=click.Argument()):
            example = EXAMPLES.get(path.rpartition(" ")[2], hint)
            return UsageError(f"cannot use the word after '{path}': {_clause(error.message)}", example)
        case click.BadParameter(param=click.Parameter() as param, ctx=click.Context() as context):
            what = f"cannot use {_given_as(param, context)}: {_clause(error.message)}"
            return UsageError(what, hint)
        case _:
            return UsageError(f"cannot understand the command line: {_clause(error.message)}", hint)


def _given_as(param: click.Parameter, context: click.Context) -> str:
    """The option as the person gave it: by its names, or by its variable."""
    name = param.name or ""
    if context.get_parameter_source(name) is not ParameterSource.ENVIRONMENT:
        return param.get_error_hint(context)
    own = param.envvar if isinstance(param.envvar, str) else f"{context.auto_envvar_prefix}_{name.upper()}"
    return own if own in os.environ else f"{VARIABLES}{name.upper()}"


_COLORS = re.compile(r"--(?P<no>no-?)?colou?rs?|--monochrome")
"""How other tools spell `--color always` and `--color never`."""


def _near(typed: str, context: click.Context | None, words: Sequence[str]) -> str:
    """`did you mean '--no-timestamps'?`, but never the opposite of what was typed."""
    known = list(_options(context))
    color = _COLORS.fullmatch(typed)
    if color and "--color" in known:
        never = color["no"] or "mono" in typed or "never" in words or f"{typed}=never" in words
        return f"did you mean '--color {'never' if never else 'always'}'?"
    same = [name for name in known if name.startswith("--no-") == typed.startswith("--no-")]
    bare = {name.lstrip("-"): name for name in same}  # the dashes are alike in all of them
    near = nearest(typed.lstrip("-"), bare)
    meant = near.removeprefix("did you mean '").removesuffix("'?")
    return f"did you mean '{bare[meant]}'?" if meant in bare else ""


def _with_value(error: click.BadOptionUsage, path: str) -> str:
    """How the option is written with a value, under the name that was typed."""
    name = error.option_name
    parameters = error.ctx.command.get_params(error.ctx) if error.ctx else []
    metavar = next((p.metavar for p in parameters if isinstance(p, click.Option) and name in p.opts), None)
    others = "; colours are `--color always`" if name == "-c" else ""
    return f"write `{path} {name} {metavar or 'VALUE'}`{others}"


def _options(context: click.Context | None) -> Iterable[str]:
    parameters = context.command.get_params(context) if context else []
    names = (name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts))
    return [name for name in names if name.startswith("-")]


def _clause(sentence: str) -> str:
    """A sentence of click's as a clause of ours."""
    sentence = re.sub(r"is not in the range x>=(\d+)", r"is not \1 or more", sentence)
    sentence = re.sub(r"is not a valid boolean.*", "is neither 1 nor 0", sentence)
    numbered = re.sub(r"is not a valid (integer|float)( range)?", r"is not a \1", sentence.rstrip("."))
    return numbered[:1].lower() + numbered[1:].replace("a integer", "a whole number").replace("a float", "a number")
