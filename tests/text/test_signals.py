"""Signals by name and by number."""

from __future__ import annotations

import signal

import pytest

from procman.text.signals import KNOWN, read_signal, signal_name, signal_number


@pytest.mark.parametrize("word", ["TERM", "SIGTERM", "term", "sigterm", "15"])
def test_a_person_may_write_a_signal_in_each_usual_way(word):
    assert read_signal(word) == "TERM"


@pytest.mark.parametrize(
    "word", ["", "SIG", "SIGSIGTERM", "0", "-15", "9999999999", "TERM ", "__class__", "\u0661\u0665"]
)
def test_what_names_no_signal_is_none(word):
    assert read_signal(word) is None


def test_another_name_of_a_signal_leads_to_its_usual_one():
    assert read_signal("CLD") == "CHLD"


def test_every_signal_goes_from_number_to_name_and_back():
    for number in signal.Signals:
        assert KNOWN[signal_name(number)] == number
    for number in signal.valid_signals():
        assert signal_number(signal_name(number)) == number
