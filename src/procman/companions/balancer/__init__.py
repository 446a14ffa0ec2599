"""The balancer: keeps a load balancer's servers in step with the ready instances of a type.

For HAProxy through its runtime API (answers.py reads it, planning.py decides, runtime.py speaks) or by agent checks; for
any other by a file made of a template. It reconciles from what is, so that it may be killed at any moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from procman.core.balancer_settings import Balancer, settings_of

if TYPE_CHECKING:
    from procman.core.spec import Plan


class BalancerSettings(Struct, frozen=True):
    """What procman.yml says, by type."""

    types: dict[str, Balancer]


def settings(plan: Plan) -> BalancerSettings | None:
    """Of the types that have the section; None where none has."""
    sections = plan.sections.get("balancer", {})
    types = {name: settings_of(msgspec.convert(value, str | Balancer)) for name, value in sections.items()}
    return BalancerSettings(types) if types else None
