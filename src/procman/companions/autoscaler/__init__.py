"""The autoscaler: lets the count of process types follow demand, by what it reads every few seconds.

The rule is core/autoscale.py's; here are the readings (metrics/), the calendar, the loop, and what is kept in files. It
is level-triggered: killed at any moment and started again it goes on from what it sees, and takes nothing away for a
whole window. What it cannot read it does nothing about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from procman.core.addresses import variables_in
from procman.core.autoscale_settings import Autoscale, addresses_of, settings_of

if TYPE_CHECKING:
    from procman.core.spec import Plan


class AutoscaledType(Struct, frozen=True):
    """What procman.yml says of a type, and the variables of its instances that the addresses in it name."""

    settings: Autoscale
    variables: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"AutoscaledType({self.settings!r}, {', '.join(self.variables)})"


class AutoscalerSettings(Struct, frozen=True):
    """What the companion is started with."""

    types: dict[str, AutoscaledType]


def settings(plan: Plan) -> AutoscalerSettings | None:
    """Of the types that have the section; None where none has."""
    types = {}
    for name, value in plan.sections.get("autoscale", {}).items():
        section = settings_of(msgspec.convert(value, str | Autoscale))
        environ = {**plan.types[name].environment(), **plan.port_variables()}
        wanted = {word for address in addresses_of(section) for word in variables_in(address)}
        types[name] = AutoscaledType(section, {word: environ[word] for word in sorted(wanted) if word in environ})
    return AutoscalerSettings(types) if types else None
