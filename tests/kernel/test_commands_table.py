"""The table of methods."""

import signal

import pytest
from served import Backend

from procman.control.protocol import METHODS, LogsParams, Request, SignalParams
from procman.serve.methods import HANDLERS, Failure, parameters, parse, signal_name


def test_every_method_is_a_handler_or_a_stream():
    assert {*HANDLERS, "logs", "events", "attach", "input", "resize"} == set(METHODS)


@pytest.mark.parametrize("word", ["TERM", "SIGTERM", "term", "sigterm", "15"])
def test_a_signal_can_be_named_in_each_usual_way(word):
    assert signal_name(word) == "TERM"


@pytest.mark.parametrize("word", ["", "SIG", "SIGSIGTERM", "0", "-15", "9999999999", "TERM ", "__class__"])
def test_what_names_no_signal_is_none(word):
    assert signal_name(word) is None


def test_every_signal_of_the_system_is_known_by_name_and_number():
    for number in signal.Signals:
        assert signal_name(number.name) == signal_name(str(number.value))


def told(params):
    answers = []
    backend = Backend()
    HANDLERS["signal"](backend, params, answers.append)
    return answers[0], backend.commands


def test_an_unknown_signal_is_refused_with_the_nearest():
    failure, commands = told(SignalParams("TREM", ("web",)))
    assert (failure.message, failure.hint) == (
        "cannot send the signal 'TREM': there is none of that name",
        "did you mean 'TERM'?",
    )
    assert commands == []


def test_a_signal_to_nobody_is_refused_not_sent_to_all():
    failure, commands = told(SignalParams("TERM", ()))
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
