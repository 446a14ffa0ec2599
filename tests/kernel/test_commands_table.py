"""The table of methods."""

import signal
from types import SimpleNamespace

import pytest
from served import Backend

from procman.control.codec import Request
from procman.control.messages import LogsParams
from procman.control.methods import METHODS
from procman.core.events import SendSignal
from procman.serve.methods import HANDLERS, Failure, parameters, parse
from procman.text.signals import read_signal


def test_every_method_has_its_function():
    assert set(HANDLERS) == set(METHODS)


@pytest.mark.parametrize("word", ["TERM", "SIGTERM", "term", "sigterm", "15"])
def test_a_signal_can_be_named_in_each_usual_way(word):
    assert read_signal(word) == "TERM"


@pytest.mark.parametrize("word", ["", "SIG", "SIGSIGTERM", "0", "-15", "9999999999", "TERM ", "__class__"])
def test_what_names_no_signal_is_none(word):
    assert read_signal(word) is None


def test_every_signal_of_the_system_is_known_by_name_and_number():
    for number in signal.Signals:
        assert read_signal(number.name) == read_signal(str(number.value))


def told(params):
    answers = []
    backend = Backend()
    HANDLERS["signal"](SimpleNamespace(kernel=backend), params, answers.append)
    return answers[0], backend.commands


def test_an_unknown_signal_is_refused_with_the_nearest():
    failure, commands = told(SendSignal("TREM", ("web",)))
    assert (failure.message, failure.hint) == (
        "cannot send the signal 'TREM': there is none of that name",
        "did you mean 'TERM'?",
    )
    assert commands == []


def test_a_signal_to_nobody_is_refused_not_sent_to_all():
    failure, commands = told(SendSignal("TERM", ()))
    assert failure.message == "cannot signal: no instance is named"
    assert commands == []


def test_parameters_left_out_are_the_defaults():
    request = parse(b'{"jsonrpc": "2.0", "id": 1, "method": "logs"}')
    assert isinstance(request, Request)
    assert parameters(request) == LogsParams()


def test_required_parameters_left_out_are_refused():
    request = parse(b'{"jsonrpc": "2.0", "id": 1, "method": "signal"}')
    failure = parameters(request)
    assert isinstance(failure, Failure)
    assert "missing required field `signal`" in failure.message
