"""The soak at a tenth of its size and as fast as it goes, and the rule that it is judged by."""

from __future__ import annotations

import pytest
from soak import Load, Sample, growth, soak

FLAT = [Sample(60.0 * n, 500 * n, 24_000, 44, 40, 2500, 0) for n in range(1, 11)]


@pytest.mark.processes
@pytest.mark.timeout(300)
def test_nothing_grows_over_hundreds_of_restarts_scalings_rotations_and_clients() -> None:
    assert growth(soak(Load(0, 500, 100, 100, 50))) == []


@pytest.mark.parametrize(
    ("field", "each"), [("rss", 400), ("descriptors", 1), ("timers", 20), ("objects", 60), ("zombies", 1)]
)
def test_what_grows_is_named(field: str, each: int) -> None:
    grown = [s._replace(**{field: getattr(s, field) + each * n}) for n, s in enumerate(FLAT)]
    assert [line.partition(":")[0] for line in growth(grown)] == [field]


def test_what_only_fills_at_first_is_flat() -> None:
    assert growth([FLAT[0]._replace(rss=8_000, timers=2, objects=900), *FLAT[1:]]) == []
