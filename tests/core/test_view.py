"""Durations and counts as a person says them."""

from __future__ import annotations

import pytest

from procman.text.words import duration, times


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0.0 s"),
        (0.0, "0.0 s"),
        (0.54, "0.5 s"),
        (9.9, "9.9 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (59.4, "59 s"),
        (59.6, "1m 0s"),
        (130.0, "2m 10s"),
        (3599.6, "1h 0m"),
        (11100.0, "3h 5m"),
        (86399.6, "1d 0h"),
        (187200.0, "2d 4h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "once in a row"), (2, "twice in a row"), (3, "three times in a row"), (12, "12 times in a row")],
)
def test_a_count_is_a_word_where_it_is_small(count, text):
    assert times(count) == text
