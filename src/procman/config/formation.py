"""How many instances of each type: the words of `--formation` and of `procman scale`, and the counts of a start.

Pure, and light to import, as `scale` needs it. Knows neither files nor ports.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.config.procfile import ALL, is_name
from procman.config.source import Unusable, brief
from procman.core.requests import MAX_COUNT
from procman.errors import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RELEASE = "release"
"""A one-off (`procman run release`): its count is 0 unless a person names it."""

_OF_THE_MACHINE = r"(?P<name>[^=]*)(?P<sign>=)(?P<number>\s*cpus-[0-9]+\s*)"
"""`web=cpus-1`, whose last sign is not an operator."""

_CHANGE = r"(?s:(?P<name>.*)(?P<sign>[=+-])(?P<number>[^=+-]*))"
"""The last sign counts: `my-web-1` means one `my-web` fewer."""


class RequestedCounts(Struct, frozen=True, kw_only=True):
    """What the user asked of a start: the types named, the types left out, the counts of `--formation` and of
    procman.yml, and whether to run `release` first.
    """

    types: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    formation: dict[str, int] = {}
    configured: dict[str, int] = {}
    release: bool = False


def parse_formation(texts: Sequence[str]) -> tuple[dict[str, int], list[Fault]]:
    """The counts in `web=2,worker=0`, by type (or `all`), from one text or several. A name may occur once."""
    counts: dict[str, int] = {}
    faults: list[Fault] = []
    for item in _items(texts):
        try:
            name, count = _assignment(item)
            _claim(name, counts)
            counts[name] = count
        except Unusable as reason:
            faults.append(_fault(item, reason))
    return counts, faults


def parse_changes(args: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """`web=4 api+2 my-web-1` as (counts to set, changes to make). Raises ConfigError with every fault."""
    to: dict[str, int] = {}
    by: dict[str, int] = {}
    faults: list[Fault] = []
    for item in _items(args):
        try:
            name, sign, count = _change(item)
            _claim(name, to | by)
            if sign == "=":
                to[name] = count
            else:
                by[name] = count if sign == "+" else -count
        except Unusable as reason:
            faults.append(_fault(item, reason))
    if faults:
        raise ConfigError(faults)
    return to, by


def choose_counts(names: Iterable[str], asked: RequestedCounts) -> dict[str, int]:
    """How many instances of each type a start begins with. The names in `asked` have been checked."""
    counts = {}
    for name in names:
        count = count_asked(name, asked)
        counts[name] = _configured(name, asked) if count is None else count
    return counts


def count_asked(name: str, asked: RequestedCounts) -> int | None:
    """The count that the command line sets; None if it leaves it open."""
    if name in asked.leave_out:
        return 0
    if name == RELEASE and asked.release:
        return max(asked.formation.get(name, 1), 1)
    if name in asked.formation:
        return asked.formation[name]
    if asked.types and name not in asked.types:
        return 0
    return asked.formation.get(ALL) if name != RELEASE else None


def _configured(name: str, asked: RequestedCounts) -> int:
    count = asked.configured.get(name, 0 if name == RELEASE else 1)
    return max(count, 1) if name in asked.types else count  # a person who names a type wants it to run


def _fault(item: str, reason: Unusable) -> Fault:
    return Fault("", 0, f"cannot use {brief(item)} as a count: {reason.why}", reason.hint)


def _items(texts: Sequence[str]) -> list[str]:
    return [item.strip() for text in texts for item in text.split(",")]


def _assignment(item: str) -> tuple[str, int]:
    name, sign, number = item.partition("=")
    if not sign:
        raise Unusable("it has no '='", "write TYPE=N, such as web=2")
    return _name(name, "write TYPE=N, such as web=2"), _number(number)


def _change(item: str) -> tuple[str, str, int]:
    usage = "write TYPE=N, TYPE+N or TYPE-N, such as web=2"
    match = re.fullmatch(_OF_THE_MACHINE, item) or re.fullmatch(_CHANGE, item)
    if not match:
        raise Unusable("it has no '=', '+' or '-'", usage)
    if match["name"].rstrip().endswith("="):
        raise Unusable("expected a whole number, 0 or more", usage)
    return _name(match["name"], usage), match["sign"], _number(match["number"])


def _name(text: str, usage: str) -> str:
    name = text.strip()
    if not name:
        raise Unusable("it names no process type", usage)
    if not is_name(name):
        raise Unusable(f"{brief(name)} is not the name of a process type", usage)
    return name


def _number(text: str) -> int:
    """A count as it is written; `cpus-1` and `50%` refer to the processors that this process may use."""
    digits = text.strip()
    if digits[:4] == "cpus" or digits[-1:] == "%":
        from procman.config.machine import read_count  # noqa: PLC0415  only for such words

        try:
            digits = str(read_count(digits))
        except ValueError as why:
            raise Unusable(str(why)) from None
    if not (digits.isascii() and digits.isdigit()):
        raise Unusable("expected a whole number, 0 or more")
    digits = digits.lstrip("0") or "0"
    if len(digits) > len(str(MAX_COUNT)) or int(digits) > MAX_COUNT:  # int() refuses 4,301 digits with a ValueError
        raise Unusable(f"at most {MAX_COUNT} instances of a type")
    return int(digits)


def _claim(name: str, taken: dict[str, int]) -> None:
    if name in taken:
        raise Unusable(f"'{name}' is named twice", "name each type once")
