"""`keep_counts`: the core says what is to be kept, whenever that changes."""

from __future__ import annotations

from making import Story, of_type, plan_of, spec_of
from msgspec.structs import replace

from procman.core.actions import KeepCounts, Reply
from procman.core.desired import first
from procman.core.events import Commanded, Reload, Scale, ScaleAsked, ShutdownAsked
from procman.core.fleet import Fleet


def keeping(*, keep: bool = True, **counts: int):
    return replace(plan_of(counts), keep_counts=keep)


def told(actions) -> list[dict[str, int]]:
    return [action.counts for action in of_type(actions, KeepCounts)]


def scaled(story: Story, **to: int) -> list[dict[str, int]]:
    return told(story.happens(Commanded(Scale(to=to), 1)))


def test_a_count_that_is_set_at_run_time_is_kept():
    story = Story(keeping(web=1, worker=1))
    assert told(story.seen) == []
    assert scaled(story, web=3) == [{"web": 3}]
    assert scaled(story, worker=0) == [{"web": 3, "worker": 0}]


def test_a_count_that_is_set_to_what_it_was_is_kept_as_well():
    story = Story(keeping(web=1))
    assert scaled(story, web=1) == [{"web": 1}]
    assert scaled(story, web=1) == []


def test_a_count_is_kept_before_that_is_answered():
    actions = Story(keeping(web=1)).happens(Commanded(Scale(to={"web": 3}), 1))
    kept, answered = (next(n for n, one in enumerate(actions) if isinstance(one, kind)) for kind in (KeepCounts, Reply))
    assert kept < answered


def test_a_signal_sets_a_count_too():
    assert told(Story(keeping(web=1)).happens(ScaleAsked(1))) == [{"web": 2}]


def test_nothing_is_kept_where_nobody_asked_for_it():
    assert scaled(Story(keeping(keep=False, web=1)), web=3) == []


def test_the_end_of_everything_changes_nothing_of_it():
    story = Story(keeping(web=1))
    scaled(story, web=3)
    assert told(story.happens(ShutdownAsked("SIGTERM"))) == []


def test_a_reload_forgets_types_that_are_gone_and_all_where_it_is_not_asked_for_any_more():
    story = Story(keeping(web=1, worker=1))
    scaled(story, web=3, worker=2)
    assert told(story.happens(Commanded(Reload(keeping(web=1)), 1))) == [{"web": 3}]
    assert told(story.happens(Commanded(Reload(keeping(keep=False, web=1)), 1))) == [{}]
    assert told(story.happens(Commanded(Reload(keeping(web=1)), 1))) == [{"web": 3}]


def test_counts_that_were_kept_stay_over_a_reload():
    story = Story(replace(keeping(web=4), kept=("web",)))
    story.happens(Commanded(Reload(replace(keeping(web=1), types={"web": spec_of(command="other")})), 1))
    assert story.fleet.counts == {"web": 4}


def test_who_takes_over_keeps_nothing_anew():
    story = Story(keeping(web=1))
    scaled(story, web=3)
    after = Fleet(story.fleet.plan, story.fleet.state())
    assert told(after.handle(Commanded(Scale(), 2), story.now)) == []
    assert first(replace(keeping(web=3), kept=("web",))).scaled == ("web",)
