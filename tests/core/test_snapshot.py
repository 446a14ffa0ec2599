"""The state of a fleet as bytes: whole, shared specs once, and nothing but its own format."""

import msgspec
import pytest
from making import Story, plan_of, spec_of
from msgspec.structs import replace

from procman.core.events import Commanded, Exited, ExitStatus, Orphaned, Reload, Scale
from procman.core.fleet import Fleet
from procman.core.phases import Stopping
from procman.core.snapshot import decode, encode, pack, unpack


def after_a_while() -> Story:
    """Three web of which one is in backoff, one slot gone, an orphan, and a reload that has left an old spec behind."""
    story = Story(plan_of({"web": 3, "job": 1}))
    story.ready("web.1", "web.2", "web.3", "job.1")
    story.happens(Exited("web.2", 1, ExitStatus(1)), 5.0)
    story.emptied("web.2")
    story.happens(Commanded(Scale({"web": 2})), 1.0)
    story.happens(Orphaned(99))
    plan = story.fleet.plan
    changed = replace(plan.types["job"], command="other")
    story.happens(Commanded(Reload(replace(plan, types={**plan.types, "job": changed}))))
    return story


def test_a_state_reads_back_as_it_was():
    state = after_a_while().fleet.state()
    assert decode(encode(state)) == state


def test_a_fleet_of_a_state_has_that_state_and_decides_as_the_first_one():
    story = after_a_while()
    second = Fleet(story.fleet.plan, decode(encode(story.fleet.state())))
    assert second.state() == story.fleet.state()
    event = Exited("web.1", 1, ExitStatus(9), "", 0.5)
    assert second.handle(event, story.now) == story.fleet.handle(event, story.now)
    assert second.state() == story.fleet.state()


def test_instances_of_a_type_share_their_spec_again():
    state = decode(encode(Story(plan_of({"web": 50})).fleet.state()))
    assert len({id(i.spec) for i in state.slots.instances} | {id(state.plan.types["web"])}) == 1


def test_a_spec_that_the_plan_has_no_more_is_kept():
    story = after_a_while()
    job = next(i for i in decode(encode(story.fleet.state())).slots.instances if i.name == "job.1")
    assert isinstance(job.phase, Stopping)
    assert story.fleet.plan.types["job"].command == "other"


def test_a_change_reaches_every_spec():
    secret = spec_of("web", env={"KEY": "hunter2"})
    packed = pack(Story(plan_of({"web": 2}, secret)).fleet.state(), lambda spec: replace(spec, env={}))
    assert b"hunter2" not in msgspec.msgpack.encode(packed)
    assert all(i.spec.env == {} for i in unpack(packed).slots.instances)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x93\xc0\xc0\xc0"])
def test_other_bytes_are_refused(data):
    with pytest.raises(msgspec.DecodeError):
        decode(data)


@pytest.mark.parametrize("index", [-5, 0, 1001, 400_000_000, 2**63])
def test_a_slot_that_no_formation_can_have_is_refused(index):
    good = msgspec.to_builtins(pack(Story(plan_of({"web": 2})).fleet.state()))
    good["state"]["slots"]["instances"][1]["index"] = index
    with pytest.raises(msgspec.ValidationError):
        decode(msgspec.msgpack.encode(good))


@pytest.mark.parametrize("where", ["plan", "state"])
def test_a_count_that_no_formation_can_have_is_refused(where):
    good = msgspec.to_builtins(pack(Story(plan_of({"web": 2})).fleet.state()))
    (good["state"]["plan"] if where == "plan" else good["state"]["desired"])["counts"]["web"] = 1_000_000_000
    with pytest.raises(msgspec.ValidationError):
        decode(msgspec.msgpack.encode(good))


def test_a_number_without_a_spec_is_refused():
    good = msgspec.msgpack.decode(encode(Story(plan_of({"web": 1})).fleet.state()))
    with pytest.raises(msgspec.ValidationError):
        decode(msgspec.msgpack.encode({**good, "numbers": [7]}))
