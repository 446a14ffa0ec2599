"""The balancer: keeps the servers of a load balancer in step with the ready instances of a type.

For HAProxy it uses the runtime API (answers.py reads it, planning.py decides, runtime.py sends commands) or agent
checks; for any other balancer a file made from a template. It compares with the present state, so it may be killed at
any moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from procman.core.balancer_settings import Balancer, settings_of

if TYPE_CHECKING:
    from procman.core.spec import Plan


class BalancerSettings(Struct, frozen=True):
    """The settings in procman.yml, by type."""

    types: dict[str, Balancer]


def settings(plan: Plan) -> BalancerSettings | None:
    """The settings of the types that have the section; None if none has."""
    sections = plan.sections.get("balancer", {})
    types = {name: settings_of(msgspec.convert(value, str | Balancer)) for name, value in sections.items()}
    return BalancerSettings(types) if types else None
