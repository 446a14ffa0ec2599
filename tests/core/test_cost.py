"""What each instance more costs the core, in calls of functions: a count that depends on nothing but the code."""

from __future__ import annotations

import sys

from making import Story, plan_of

from procman.core.events import ShutdownAsked


class Counting(Story):
    """Counts the functions that the fleet calls."""

    calls = 0

    def happens(self, event, after=0.0):
        def note(_frame, what, _arg):
            self.calls += what == "call"

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            return super().happens(event, after)
        finally:
            sys.setprofile(before)


def start(count: int) -> Counting:
    story = Counting(plan_of({"web": count}))
    story.ready(*(i.name for i in story.fleet.instances()))
    return story


def calls_of_a_start(count: int) -> int:
    return start(count).calls


def calls_of_a_stop(count: int) -> int:
    story = start(count)
    names, before = [i.name for i in story.fleet.instances()], story.calls
    story.happens(ShutdownAsked("procman got SIGTERM"))
    for name in names:
        story.exited(name, 143, "TERM")
    for name in names:
        story.emptied(name)
    return story.calls - before


def calls_for_each_more(calls_of) -> float:
    calls_of(1)  # loads modules
    return (calls_of(110) - calls_of(10)) / 100


def test_each_instance_more_costs_a_start_few_calls():
    assert calls_for_each_more(calls_of_a_start) <= 120  # counted: 108


def test_each_instance_more_costs_a_stop_few_calls():
    assert calls_for_each_more(calls_of_a_stop) <= 110  # counted: 100
