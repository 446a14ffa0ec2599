"""The values that environment files set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from procman.config.envfile import layer_over, read_assignments
from procman.config.environment import Assignment
from procman.errors import Fault


def parse_env(
    data: bytes, file: str, base: Mapping[str, str], *, override: bool = False
) -> tuple[dict[str, str], list[Fault]]:
    """The names that one file sets, each with the value that a child gets on top of the environment `base`."""
    assignments, faults = read_assignments(data, file)
    merged, more = merge(assignments, base, override=override)
    return {assignment.name: merged[assignment.name] for assignment in assignments}, faults + more


def merge(
    assignments: Sequence[Assignment], base: Mapping[str, str], *, override: bool = False
) -> tuple[dict[str, str], list[Fault]]:
    """The whole environment of a child."""
    layer, faults = layer_over(assignments, base, override=override)
    return {**base, **layer}, faults
