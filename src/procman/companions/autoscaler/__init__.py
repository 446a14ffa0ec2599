"""The autoscaler: sets the counts of process types by demand, which it reads every few seconds.

The rule is core/autoscale.py; here are the readings (metrics/), the calendar, the loop, and the files. It works from
the present state: if it is killed and started again it continues, and lowers no count for a whole window. A metric that
it cannot read changes nothing.
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
    """The settings of a type in procman.yml, and the variables of its instances that addresses in it may name."""

    settings: Autoscale
    variables: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"AutoscaledType({self.settings!r}, {', '.join(self.variables)})"


class AutoscalerSettings(Struct, frozen=True):
    """What the companion is started with."""

    types: dict[str, AutoscaledType]


def settings(plan: Plan) -> AutoscalerSettings | None:
    """The settings of the types that have the section; None if none has."""
    types = {}
    for name, value in plan.autoscaled.items():
        section = settings_of(msgspec.convert(value, str | Autoscale))
        environ = {**plan.types[name].environment(), **plan.port_variables()}
        wanted = {word for address in addresses_of(section) for word in variables_in(address)}
        types[name] = AutoscaledType(section, {word: environ[word] for word in sorted(wanted) if word in environ})
    return AutoscalerSettings(types) if types else None
