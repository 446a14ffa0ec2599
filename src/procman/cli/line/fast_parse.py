"""A plain `procman start`, read without click, whose import is a fifth of the time until the first process runs.

It knows `options` and nothing of its own. What it reads it reads as click does; what is not plain (a variable that stands
for an option, help, a mistake, `-fFILE` in one word) it leaves to click. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.app.options import (
    START,
    SWITCHES,
    TYPES,
    Option,
    OptionKind,
    StartOptions,
    Value,
    size,
    split,
    start_options,
)
from procman.control.places import NAME_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

VARIABLES = "PROCMAN_START_"
"""How the variables that stand for options begin (click's `auto_envvar_prefix` and the verb)."""
DIGITS = 9
"""Most characters of a plain number."""


class _NotPlainError(Exception):
    """Click is to be asked."""


def read(args: Sequence[str], environ: Iterable[str]) -> StartOptions | None:
    """What `start` is told, as click would say it; None where click is to be asked.

    `args` are the words after `procman start`; `environ` has the names of the environment's variables.
    """
    if any(name.startswith(VARIABLES) or name == NAME_VARIABLE for name in environ):
        return None
    try:
        return start_options(_values(iter(args)))
    except _NotPlainError:
        return None


def _values(words: Iterator[str]) -> dict[str, Value]:
    known = {name: (option, value) for option in START for name, value in _spellings(option)}
    given: dict[str, list[str]] = {}
    values: dict[str, Value] = {}
    types = []
    for word in words:
        if not word.startswith("-"):
            types.append(word)
            continue
        name, equals, text = word.partition("=")
        if name not in known or (equals and not (text and name.startswith("--"))):
            raise _NotPlainError
        option, switched = known[name]
        if option.kind not in SWITCHES:
            given.setdefault(option.name, []).append(text or _next(words))
        elif equals:
            raise _NotPlainError
        else:
            values[option.name] = switched
    return {TYPES: tuple(types), **{o.name: _value(o, given.get(o.name, [])) for o in START}, **values}


def _spellings(option: Option) -> list[tuple[str, bool]]:
    """Each way to write it, and what that says where it is a switch."""
    return [(name, no == 0) for names in option.names for no, name in enumerate(names.split("/"))]


def _next(words: Iterator[str]) -> str:
    """The word after an option. One that looks like an option is not plain, nor is none at all."""
    word = next(words, "")
    if not word or (word.startswith("-") and word != "-"):
        raise _NotPlainError
    return word


def _value(option: Option, given: list[str]) -> Value:
    if option.kind is OptionKind.NAMES:
        return split(tuple(given))
    if option.kind is OptionKind.TEXTS:
        return tuple(given)
    if option.kind in SWITCHES:
        return False if option.kind is OptionKind.FLAG else None
    word = given[-1] if given else option.default
    return None if word is None else _converted(option, word)


def _converted(option: Option, word: str) -> Value:
    """Raises _NotPlainError where it is not what the option holds, or is written in a way that only click knows."""
    plain = word.isascii() and word.replace(".", "", 1).isdecimal() and len(word) <= DIGITS
    match option.kind:
        case OptionKind.INTEGER | OptionKind.COUNT if plain and "." not in word:
            return int(word)
        case OptionKind.SECONDS if plain:
            return float(word)
        case OptionKind.SIZE:
            try:
                return size(word)
            except ValueError:
                raise _NotPlainError from None
        case OptionKind.CHOICE if word in option.choices:
            return word
        case OptionKind.TEXT:
            return word
        case _:
            raise _NotPlainError
