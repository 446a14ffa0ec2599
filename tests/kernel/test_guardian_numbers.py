"""The guardian is a program of its own and imports nothing of procman: here its numbers are held to those of the core."""

from __future__ import annotations

import pytest

from procman.core import spec, stopping
from procman.kernel.survive import guardian


@pytest.mark.parametrize("name", ["GROUP_TERM_LEAD", "YOUNG", "REPEAT_AFTER", "UNKILLABLE_AFTER"])
def test_a_stop_by_the_guardian_has_the_times_of_the_core(name):
    assert getattr(guardian, name) == getattr(stopping, name)


def test_what_belongs_to_no_type_has_the_same_grace():
    assert guardian.DEFAULT_GRACE == spec.DEFAULT_GRACE
