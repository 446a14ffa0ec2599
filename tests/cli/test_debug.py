"""`procman debug replay`: a trace is read and told, or refused in two lines."""

import pytest
from making import FAILURE, Story, plan_of

from procman.core.events import Exited
from procman.core.fleet import Fleet
from procman.core.trace import FORMAT, Trace, TraceHeader


@pytest.fixture
def trace(tmp_path):
    story = Story(plan_of({"web": 2}))
    trace = Trace(story.fleet)
    for event in (Exited("web.1", 1, FAILURE), Exited("web.2", 1, FAILURE)):
        trace.note(story.now + 1.5, event)
    path = tmp_path / "a.trace"
    path.write_bytes(b"".join(trace.lines(TraceHeader(FORMAT, "9.9", "SIGQUIT", 0.0))))
    return path


def test_a_replay_tells_each_event_and_what_is_decided(procman, trace):
    ran = procman("debug", "replay", str(trace))
    assert ran.code == 0
    assert "2 events, formation web 2; written for: SIGQUIT" in ran.out
    assert "0.000  Exited name=web.1 generation=1 status=exit 1" in ran.out


def test_a_decision_that_raises_is_shown_with_its_traceback(procman, trace, monkeypatch):
    def raising(*_):
        raise ZeroDivisionError("the core is broken")

    monkeypatch.setattr(Fleet, "handle", raising)
    ran = procman("debug", "replay", str(trace))
    assert ran.code == 1
    assert ran.out.endswith("ZeroDivisionError: the core is broken\n")


def test_a_file_that_is_no_trace_is_refused(procman, tmp_path):
    (tmp_path / "x").write_text("web: python app.py\n")
    ran = procman("debug", "replay", str(tmp_path / "x"))
    assert ran.code == 1
    assert "as a trace: line 1" in ran.err
    assert "SIGQUIT" in ran.err


def test_a_file_that_is_not_there_is_refused(procman, tmp_path):
    ran = procman("debug", "replay", str(tmp_path / "none"))
    assert (ran.code, ran.out) == (1, "")
    assert "No such file" in ran.err
