"""One deadline a key, whatever was set before."""

from __future__ import annotations

from procman.kernel.loop.deadlines import Deadlines


class Clock:
    """A reactor of which only the deadlines are there; `run` calls what is due, and counts what is queued."""

    def __init__(self) -> None:
        self.calls = []
        self.fired = []
        self.deadlines = Deadlines(self, lambda key, token: self.fired.append((key, token)))

    def call_at(self, when, callback) -> None:
        self.calls.append((when, callback))

    def run(self, now) -> list:
        while due := [call for call in self.calls if call[0] <= now]:
            call = min(due, key=lambda call: call[0])
            self.calls.remove(call)
            call[1]()
        fired, self.fired = self.fired, []
        return fired


def test_a_deadline_fires_once_with_its_token():
    clock = Clock()
    clock.deadlines.set("a", 1, 5.0)
    assert clock.run(4.9) == []
    assert clock.run(5.0) == [("a", 1)]
    assert clock.run(99.0) == []


def test_a_later_one_takes_the_place_of_an_earlier_without_another_timer():
    clock = Clock()
    for token in range(1000):
        clock.deadlines.set("a", token, 60.0 + token)
    assert len(clock.calls) == 1
    assert clock.run(60.0) == []
    assert clock.run(1059.0) == [("a", 999)]


def test_an_earlier_one_takes_the_place_of_a_later():
    clock = Clock()
    clock.deadlines.set("a", 1, 60.0)
    clock.deadlines.set("a", 2, 1.0)
    assert clock.run(1.0) == [("a", 2)]
    clock.deadlines.set("a", 3, 80.0)
    assert clock.run(79.0) == []
    assert clock.run(80.0) == [("a", 3)]


def test_keys_do_not_touch_each_other():
    clock = Clock()
    clock.deadlines.set("a", 1, 2.0)
    clock.deadlines.set("b", 1, 1.0)
    assert clock.run(3.0) == [("b", 1), ("a", 1)]
