"""Which inputs: the options of the verbs that read the Procfile themselves, made into one `Options`.

Each option reads PROCMAN_<VERB>_<OPTION> (click's auto_envvar_prefix), which its help names; the command line wins.
Only start, check and run import this; the verbs that talk to a running procman have `place`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from procman.cli.names import complete_types
from procman.config.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable

    Verb: TypeAlias = Callable[..., Any]

FIELDS = {"env": "env_files", "except": "leave_out"}
"""The fields of `Options` that are not called as their options are."""


class Whole(click.types.StringParamType):
    """Text that procman splits itself: click would split the variable of a repeatable option at every blank."""

    envvar_list_splitter = "\0"


option = functools.partial(click.option, show_envvar=True)


def _split(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Names given one by one, with commas or with blanks."""
    return tuple(name for value in values for name in value.replace(",", " ").split())


type_option = functools.partial(
    option, metavar="TYPE,...", multiple=True, type=Whole(), callback=_split, shell_complete=complete_types
)

FILES = (
    option("-f", "--procfile", metavar="FILE", help="The Procfile; - is standard input.  [default: Procfile]"),
    option("-d", "--root", metavar="DIR", help="The application's folder.  [default: the Procfile's]"),
    option("--config", metavar="FILE", help="How to run the types.  [default: procman.yml, where there is one]"),
    option(
        "-e",
        "--env",
        metavar="FILE",
        type=Whole(),
        multiple=True,
        help="Read this instead of .env; repeatable, the last wins.",
    ),
    option("--env-overrides", is_flag=True, help="Let .env win over the environment that procman was started in."),
    option("--shell", metavar="PATH", help="The shell for commands that need one.  [default: /bin/sh]"),
)
FORMATION = (
    click.argument("types", metavar="[TYPE]...", nargs=-1, shell_complete=complete_types),
    option(
        "-m",
        "--formation",
        "-c",
        "--concurrency",
        type=Whole(),
        multiple=True,
        shell_complete=complete_types,
        metavar="TYPE=N,...",
        help="How many of each; all=N: others.",
    ),
    type_option("--except", help="Leave these types at 0."),
    option("-p", "--port", type=int, metavar="N", help="The first type's port.  [default: PORT, else 5000]"),
    option("--port-step", type=int, metavar="N", help="Ports from one type to the next.  [default: 100]"),
    option("--no-port", is_flag=True, help="Give nobody a PORT."),
    option("-t", "--timeout", type=float, metavar="SECONDS", help="From the stop signal to KILL.  [default: 10]"),
)
SUPERVISION = (
    option("--max-restarts", type=int, metavar="N", help="Give an instance up after N restarts in a row."),
    option("--no-restart", is_flag=True, help="End everything when the first process ends, with its exit code."),
    type_option("--exit-on", help="End everything when one of these types ends."),
)


def input_options(verb: Verb) -> Verb:
    """Everything that says what to run. The verb is called with `options: Options` and whatever else it declares."""
    return _declared(_collected(verb), FILES + FORMATION)


def file_options(verb: Verb) -> Verb:
    """Where the inputs are, without the formation: for one command. As `input_options` otherwise."""
    return _declared(_collected(verb), FILES)


def supervise_options(verb: Verb) -> Verb:
    """How ends are answered. Goes below `input_options`, which puts these into the same `Options`."""
    return _declared(verb, SUPERVISION)


def _declared(verb: Verb, options: tuple[Callable[[Verb], Verb], ...]) -> Verb:
    for declare in reversed(options):  # decorators apply from the bottom up
        verb = declare(verb)
    return verb


def _collected(verb: Verb) -> Verb:
    @functools.wraps(verb)
    def call(**values: Any) -> Any:  # noqa: ANN401  click's own types
        fields = {}
        for name in list(values):
            field = FIELDS.get(name, name)
            if field in Options.__struct_fields__:
                fields[field] = values.pop(name)
        return verb(options=Options(**fields), **values)

    return call
