"""What a reload changes: two plans compared by value."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

from procman.core.spec import Plan, refuse_count


class Difference(Struct, frozen=True):
    """Types that are new, that are gone, and whose spec is another."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __str__(self) -> str:
        named = (("added", self.added), ("removed", self.removed), ("changed", self.changed))
        return "; ".join(f"{what} {', '.join(types)}" for what, types in named if types) or "nothing changed"


def compare(old: Plan, new: Plan) -> Difference:
    return Difference(
        tuple(t for t in new.types if t not in old.types),
        tuple(t for t in old.types if t not in new.types),
        tuple(t for t in new.types if t in old.types and new.types[t] != old.types[t]),
    )


def counts_after(plan: Plan, counts: Mapping[str, int], scaled: Collection[str]) -> dict[str, int]:
    """Counts under the new plan: those set at run time stay where they still may; the others are the inputs'."""
    after = {}
    for type_name, configured in plan.counts.items():
        count = counts.get(type_name, 0) if type_name in scaled else configured
        after[type_name] = configured if refuse_count(plan, type_name, count) else count
    return after
