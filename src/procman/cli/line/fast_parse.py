"""Reads simple command lines of `procman start` without click, whose import takes a fifth of the time until the first
process runs.

It knows nothing but `options`, and reads them as click does. It leaves everything else to click: variables that set
options, help, mistakes, `-fFILE` in one word. Pure.
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
"""The prefix of variables that set options (click's `auto_envvar_prefix` and the verb)."""
DIGITS = 9
"""Most digits of a number."""


class _NotPlainError(Exception):
    """Leave the line to click."""


def read(args: Sequence[str], environ: Iterable[str]) -> StartOptions | None:
    """The options of `start`, as click would read them; None if the line is left to click. `args` are the words
    after `procman start`; `environ` has the names of all variables.
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
    """Each spelling of the option, with its value where it is a switch."""
    return [(name, no == 0) for names in option.names for no, name in enumerate(names.split("/"))]


def _next(words: Iterator[str]) -> str:
    """The word after an option. A missing word, and one that looks like an option, is left to click."""
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
    """The value of a word. Raises _NotPlainError for a wrong value, and for one written in a way that only click knows."""
    plain = word.isascii() and word.replace(".", "", 1).isdecimal() and len(word) <= DIGITS
    match option.kind:
        case OptionKind.INTEGER | OptionKind.COUNT | OptionKind.MEBIBYTES if plain and "." not in word:
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
