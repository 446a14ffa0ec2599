"""Makes click's options from `options`: for help, completion, variables, errors, and command lines that fast_parse
leaves to click.

Each option can also be set by PROCMAN_<VERB>_<OPTION> (click's auto_envvar_prefix), which its help names; the command
line wins. Verbs that read the inputs of `start` take the variables of `start` as well.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from procman.app.options import (
    FILES,
    FORMATION,
    REPEATABLE,
    START,
    SUPERVISION,
    SWITCHES,
    TYPES,
    Option,
    OptionKind,
    mebibytes,
    size,
    split,
)
from procman.app.options import input_options as options_of
from procman.cli.line.completion import complete_types
from procman.cli.line.fast_parse import VARIABLES
from procman.cli.option_types import NameOption, TimeType
from procman.config.environment import is_of_a_service
from procman.config.location import note_of, search_upwards
from procman.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from procman.config.options import Options

    Verb: TypeAlias = Callable[..., Any]


class VerbatimText(click.types.StringParamType):
    """Text that procman splits itself: click would split the variable of a repeatable option at every space."""

    envvar_list_splitter = "\0"


class InputOption(click.Option):
    """An option that `start` has as well. Its variable for `start` serves every verb, so that `check` and `run` see what
    `start` would; the verb's own variable wins.
    """

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        name = (self.name or "").upper()
        found = (super().resolve_envvar_value(ctx), os.environ.get(f"{VARIABLES}{name}"))
        return next((value for value in found if value and not is_of_a_service(name, value)), None)


def refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    """Refuse a variable that sets no option of `start`: a spelling mistake would leave the default in force."""
    known = {option.name.upper() for option in START}
    for name in sorted(environ):
        word = name.removeprefix(VARIABLES)
        if word != name and word not in known and not is_of_a_service(word, environ[name]):
            near = nearest(word, known).replace("'", f"'{VARIABLES}", 1)
            raise UsageError(f"cannot use the variable {name}: `procman start` has no such option", near)


def _bytes(read: Callable[[str], int], _context: click.Context, _option: click.Parameter, value: str) -> int:
    try:
        return read(value)
    except ValueError:
        raise click.BadParameter(f"'{value}' is not a size, such as 50M") from None


def _split(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return split(values)


TAKEN_AS = {
    OptionKind.TEXTS: VerbatimText(),
    OptionKind.NAMES: VerbatimText(),
    OptionKind.INTEGER: click.INT,
    OptionKind.COUNT: click.IntRange(0),
    OptionKind.SECONDS: TimeType(None),
}
CALLBACKS: dict[OptionKind, Callable[..., Any]] = {
    OptionKind.NAMES: _split,
    OptionKind.SIZE: functools.partial(_bytes, size),
    OptionKind.MEBIBYTES: functools.partial(_bytes, mebibytes),
}


def declared(options: Sequence[Option]) -> Callable[[Verb], Verb]:
    """Declares these options, in this order in the help."""

    def declare(verb: Verb) -> Verb:
        for option in reversed(options):  # decorators apply from the bottom up
            verb = _clicked(option)(verb)
        return verb

    return declare


def _clicked(option: Option) -> Callable[[Verb], Verb]:
    kind = option.kind
    if kind in SWITCHES:
        how: dict[str, Any] = {"is_flag": True, **({"default": None} if kind is OptionKind.SWITCH else {})}
    elif kind is OptionKind.CHOICE:
        how = {"type": click.Choice(option.choices), "default": option.default}
    else:
        how = {"type": TAKEN_AS.get(kind), "metavar": option.metavar, "default": option.default}
    if kind in REPEATABLE:
        how["multiple"] = True
    if option.types:
        how["shell_complete"] = complete_types
    how["cls"] = NameOption if option.name == "name" else InputOption
    return click.option(*option.names, help=option.help, show_envvar=True, callback=CALLBACKS.get(kind), **how)


types_argument = click.argument(TYPES, metavar="[TYPE]...", nargs=-1, shell_complete=complete_types)


def input_options(verb: Verb) -> Verb:
    """Declares the options for what to run. The verb is called with `options: Options` and its own parameters."""
    return types_argument(declared(FILES + FORMATION)(_collected(verb)))


def file_options(verb: Verb) -> Verb:
    """Declares the options for where the inputs are, without the formation. Otherwise as `input_options`."""
    return declared(FILES)(_collected(verb))


def nearest_inputs(options: Options) -> Options:
    """The options with the nearest folder above that has a Procfile, where the user named none; a note says so if it is
    not the current folder.
    """
    options, folder = search_upwards(options, os.environ)
    if folder is not None:
        click.echo(f"procman: {note_of(folder)}", err=True)
    return options


INPUTS = {TYPES, *(option.name for option in FILES + FORMATION + SUPERVISION)}
"""The names of all values in `Options`."""


def _collected(verb: Verb) -> Verb:
    @functools.wraps(verb)
    def call(**values: Any) -> Any:  # noqa: ANN401  click's own types
        others = {name: value for name, value in values.items() if name not in INPUTS}
        return verb(options=options_of(values), **others)

    return call
