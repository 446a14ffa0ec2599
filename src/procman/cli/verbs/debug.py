"""`procman debug replay`: run a trace again, to look for a fault of procman itself."""

from __future__ import annotations

import click
import msgspec
from msgspec import Struct

from procman.core.actions import Action, Publish
from procman.core.spec import Plan, ProcessSpec
from procman.core.trace import read, replay
from procman.errors import ProcmanError
from procman.text.lines import clean


@click.command(short_help="Run a trace of procman's decisions again.")
@click.argument("action", type=click.Choice(["replay"]), metavar="replay", expose_value=False)
@click.argument("file", type=click.Path(), metavar="FILE")
def debug(file: str) -> int:
    """Run the events of a trace again and print what procman decides on each, with the seconds since the first.

    procman writes a trace of its last thousand events when it gets SIGQUIT, and when there is a fault in procman itself;
    a line of its output names the file, which contains no values of environment variables. If a decision raises an
    error, the traceback is shown and the exit code is 1.

    \b
    Examples:
      procman debug replay /run/user/1000/procman/8f3a4c1d2e5b6f70.trace
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    try:
        with open(file, "rb") as lines:
            header, state, happened = read(lines)
    except OSError as error:
        raise ProcmanError(f"cannot read {file}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ProcmanError(f"cannot read {file} as a trace: {error}", "SIGQUIT to procman makes one") from None
    formation = ", ".join(f"{name} {count}" for name, count in state.desired.counts.items())
    _echo(f"procman {header.procman}, {len(happened)} events, formation {formation}; written for: {header.cause}")
    first = happened[0].at if happened else 0.0
    for one, decided in replay(state, happened):
        _echo(f"{one.at - first:10.3f}  {described(one.event)}")
        if isinstance(decided, str):
            _echo(decided.rstrip("\n"))
            return 1
        for decision in decided:
            _echo(f"            -> {_formatted(decision, first)}")
    return 0


def _echo(text: str) -> None:
    """Print a line without control characters, as a trace may come from anywhere."""
    for line in text.split("\n"):
        click.echo(clean(line))


def _formatted(action: Action, first: float) -> str:
    if isinstance(action, Publish):
        return f"Publish {action.change.event.value}: {action.change.text}"
    text = described(action)
    at = getattr(action, "at", None)
    return text if at is None else f"{text} (at {at - first:.3f})"


def described(value: Struct) -> str:
    """`Exited name=web.1 generation=7 status=exit 1`: the fields that are not their defaults."""
    parts = [type(value).__name__]
    for field in msgspec.structs.fields(value):
        content = getattr(value, field.name)
        if content != field.default and field.name != "at":
            parts.append(f"{field.name}={_short(content)}")
    return " ".join(parts)


def _short(content: object) -> str:
    match content:
        case ProcessSpec():
            return f"{content.type}: {content.command!r}"
        case Plan():
            return f"plan of {', '.join(content.types)}"
        case Struct() if type(content).__str__ is not Struct.__str__:
            return str(content)
        case Struct():
            return f"({described(content)})"
        case float():
            return f"{content:.3f}"
        case _:
            value = getattr(content, "value", content)
            return str(value)
