"""Types of options that several verbs share: the name of a formation, and a time."""

from __future__ import annotations

import os

import click

from procman.control.places import NAME_VARIABLE

LONGEST = 1e9
"""Seconds that stand for every longer time: the most that the protocol takes."""


class NameOption(click.Option):
    """`--name`. PROCMAN_NAME sets it for all verbs; a verb's own variable wins over it.

    PROCMAN_SOCKET, which procman sets for its children, wins over both, as it names one procman exactly. A `start`
    inside such a child is of another formation, and ignores it.
    """

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        own = super().resolve_envvar_value(ctx)
        return own or (os.environ.get(NAME_VARIABLE) if not os.environ.get("PROCMAN_SOCKET") else None)


class TimeType(click.ParamType[float]):
    """A number of seconds, or a time such as `90s`, as in procman.yml. `least`: the least that is accepted; None if
    the range is checked later.
    """

    name = "seconds"

    def __init__(self, least: float | None = 0.0) -> None:
        self._least = least

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = read_time(value)
        if seconds is None:
            self.fail(f"'{value}' is not a number, nor a time such as 90s, 5m or 12h", param, ctx)
        if self._least is None:
            return seconds
        if not seconds >= self._least:  # also not a number (nan)
            self.fail(f"{value} is not {self._least:g} or more", param, ctx)
        return min(seconds, LONGEST)


def read_time(value: str | float) -> float | None:
    """Seconds; None for a word that is not a time."""
    try:
        return float(value)
    except ValueError:
        from procman.text.quantities import read_seconds  # noqa: PLC0415  few times are written as a word

        try:
            return read_seconds(str(value))
        except ValueError:
            return None
