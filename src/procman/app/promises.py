"""What procman cannot keep: on this system, as the kernel finds out, and of what procman.yml asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.kernel.process.promises import broken_here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procman.core.spec import Plan

__all__ = ["broken_here", "not_carried_out"]


def not_carried_out(plan: Plan) -> str:
    """One line about keys of procman.yml that are checked but have no effect yet; "" where none is used."""
    keys = sorted(set(_unused(plan)))
    return f"read in procman.yml, and not carried out yet: {', '.join(keys)}" if keys else ""


def _unused(plan: Plan) -> Iterator[str]:
    if plan.groups:
        yield "groups"
    for name, spec in plan.types.items():
        yield from (f"processes.{name}.depends_on.{one.type}.restart" for one in spec.depends_on if one.restart)
