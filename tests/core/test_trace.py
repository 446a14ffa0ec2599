"""A trace: kept in bounds, without secrets, read back and run again with the same decisions."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import FAILURE, NOW, Story, plan_of, spec_of
from msgspec.structs import replace

from procman.core.actions import Reply
from procman.core.events import Adopted, Commanded, Emptied, Exited, Reload, Restart, Scale, ShutdownAsked, TimerFired
from procman.core.formation import Formation
from procman.core.timers import WaitingLineTimer
from procman.core.trace import FORMAT, Trace, TraceHeader, read, replay

HEADER = TraceHeader(FORMAT, "9.9", "a test", 0.0)


class Traced(Story):
    """A story whose events are noted, as the kernel does."""

    def __init__(self, plan, kept: int = 1000) -> None:
        self.kept = kept
        self.decided = []
        super().__init__(plan)

    def begins(self):
        self.trace = Trace(self.fleet, self.kept)
        super().begins()

    def happens(self, event, after: float = 0.0):
        self.trace.note(self.now + after, event)
        actions = super().happens(event, after)
        self.decided.append(actions)
        return actions

    def written(self) -> list[bytes]:
        return list(self.trace.lines(HEADER))


def told(story: Traced) -> Traced:
    """Something of everything."""
    story.ready("web.1", "web.2", "web.3")
    story.happens(Exited("web.2", 1, FAILURE, "port 5000 is taken", 0.25), 3.0)
    story.happens(Adopted("web.1", 1, 77, in_group=False))
    story.happens(Emptied("web.2", 1))
    story.happens(Commanded(Scale({"web": 2}), 1))
    story.happens(Commanded(Restart(("w*",)), 2))
    story.happens(TimerFired(WaitingLineTimer(), 1), 2.0)
    plan = story.fleet.plan
    web = replace(plan.types["web"], command="other")
    story.happens(Commanded(Reload(replace(plan, types={"web": web})), 3))
    story.happens(ShutdownAsked("SIGTERM"))
    return story


def test_a_trace_that_is_run_again_decides_the_same():
    story = told(Traced(plan_of({"web": 3})))
    header, state, happened = read(story.written())
    assert header == HEADER
    assert [decided for _, decided in replay(state, happened)] == story.decided
    assert any(isinstance(action, Reply) for decided in story.decided for action in decided)


def test_the_oldest_events_make_room():
    story = Traced(plan_of({"web": 1}), kept=10)
    story.ready("web.1")
    for number in range(95):
        story.happens(Commanded(Scale({"web": number % 5}), number + 1), 1.0)
    _, state, happened = read(story.written())
    assert 10 <= len(happened) <= 20
    assert [decided for _, decided in replay(state, happened)] == story.decided[-len(happened) :]


def test_no_value_of_the_environment_is_in_it_and_equal_ones_stay_equal():
    spec = spec_of("web", env={"TOKEN": "hunter2", "OTHER": "hunter2", "NAME": "x"})
    plan = replace(plan_of({"web": 1}, spec), companions={"@watch": replace(spec, type="@watch")})
    story = Traced(plan)
    changed = replace(spec, env={**spec.env, "TOKEN": "swordfish"})
    story.happens(Commanded(Reload(replace(story.fleet.plan, types={"web": changed})), 1))
    lines = story.written()
    assert not any(secret in line for line in lines for secret in (b"hunter2", b"swordfish"))
    _, state, happened = read(lines)
    env = state.plan.types["web"].env
    assert env["TOKEN"] == env["OTHER"] != env["NAME"]
    assert len(list(replay(state, happened))) == len(happened)


def test_no_password_that_a_companion_was_told_is_in_it():
    sections = {"autoscale": {"web": {"max": 3, "metrics": [{"queue": {"redis": "redis://:hunter2@host/0"}}]}}}
    plan = replace(plan_of({"web": 1}), sections=sections)
    story = Traced(plan)
    story.happens(Commanded(Scale({"web": 2}), 1))
    story.happens(Commanded(Reload(plan), 2))
    lines = story.written()
    assert not any(b"hunter2" in line for line in lines)
    _, state, happened = read(lines)
    assert [decided for _, decided in replay(state, happened)] == story.decided


def test_a_decision_that_raises_is_shown_and_ends_the_replay(monkeypatch):
    _, state, happened = read(told(Traced(plan_of({"web": 3}))).written())

    def raising(*_):
        raise ZeroDivisionError("the core is broken")

    monkeypatch.setattr(Formation, "adopted", raising)
    *_, (last, decided) = replay(state, happened)
    assert isinstance(last.event, Adopted)
    assert "ZeroDivisionError: the core is broken" in decided


@pytest.mark.parametrize(
    ("number", "line", "why"),
    [
        (0, b"", "line 1"),
        (0, b'{"trace":1,"procman":"","cause":"","time":0}', "format"),
        (1, b"{}", "line 2"),
        (2, b'{"at":1,"event":{"type":"Nothing"}}', "line 3"),
        (3, b"\xff", "line 4"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(number, line, why):
    lines = told(Traced(plan_of({"web": 3}))).written()
    lines[number] = line
    with pytest.raises(msgspec.DecodeError, match=why):
        read(lines)


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_nothing_but_its_own_error_comes_out_of_any_bytes(lines):
    with pytest.raises(msgspec.DecodeError):
        read(lines)


def test_times_stay_what_they_were():
    _, _, happened = read(told(Traced(plan_of({"web": 3}))).written())
    assert happened[0].at == NOW


def test_a_trace_that_is_nested_too_deeply_is_none():
    with pytest.raises(msgspec.DecodeError, match="line 1"):
        read([b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"])
