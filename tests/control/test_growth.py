"""What keeps the protocol able to grow: how its messages are made, and what happens to those of a newer version."""

from __future__ import annotations

import json

import msgspec
import pytest
from generator.protocol import json_schema

from procman.control import first_version
from procman.control.codec import encode_notification, encode_request, members
from procman.control.messages import Happened, Hello, Ps
from procman.control.methods import METHODS, NOTIFICATIONS, capabilities
from procman.core import wording
from procman.core.events import Scale
from procman.core.phases import Instance
from procman.core.spec import ProcessSpec
from procman.core.view import Change, Kind
from recorded import RESULTS, Recording

RECORDING = Recording()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_parameters_are_strict_for_who_reads_and_left_out_at_their_default(method):
    assert method.params.__struct_config__.forbid_unknown_fields
    assert method.params.__struct_config__.omit_defaults


@pytest.mark.parametrize("kind", [*(m.result for m in METHODS.values()), *NOTIFICATIONS.values()])
def test_results_and_notifications_have_room_for_more_members(kind):
    assert not kind.__struct_config__.forbid_unknown_fields


def test_nothing_of_the_first_version_is_gone():
    assert set(capabilities()) >= first_version.CAPABILITIES
    assert {kind.value for kind in Kind} >= first_version.KINDS


def test_no_member_of_an_older_result_or_notification_is_gone():
    """Parameters are another matter: the capabilities above name them."""
    older, newer = RECORDING.definitions, json_schema()["$defs"]
    members = {name: set(older[name].get("properties", ())) for name in older if not name.endswith("Params")}
    gone = {name: members[name] - set(newer[name].get("properties", ())) for name in members}
    assert {name: missing for name, missing in gone.items() if missing} == {}


def test_a_change_that_is_not_logged_says_so_in_the_words_of_the_first_version_too():
    spec = ProcessSpec(type="web", command="serve", cwd="/", env={})
    change = wording.started(Instance(name="web.1", index=1, spec=spec)).change
    assert not change.logged
    told = json.loads(encode_notification("event", Happened(1, 1.0, change)))["params"]["change"]
    assert told["quiet"] is True
    quiet = [f["params"]["change"] for f in RECORDING.frames("server") if f.get("method") == "event"]
    assert {c["event"] for c in quiet if c.get("quiet")} >= {"started"}


@pytest.mark.parametrize("method", RESULTS)
def test_what_an_older_procman_answered_can_be_read(method):
    results = RECORDING.results(method)
    assert results
    for result in results:
        msgspec.convert(result, METHODS[method].result)


def test_what_an_older_procman_told_can_be_read():
    told = [frame for frame in RECORDING.frames("server") if "method" in frame]
    assert {frame["method"] for frame in told} >= {"event", "output", "upgrading", "end"}
    for frame in told:
        msgspec.convert(frame["params"], NOTIFICATIONS[frame["method"]])


def test_an_unknown_kind_of_event_is_its_word():
    told = msgspec.json.decode(
        b'{"stream":1,"time":1.0,"change":{"event":"drained","text":"x","why":"y"}}', type=Happened
    )
    assert told.change.event.value == "drained"
    assert told.change.event not in set(Kind)
    assert json.loads(encode_notification("event", told))["params"]["change"]["event"] == "drained"


def test_an_event_that_is_no_word_is_still_an_error():
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"event":1,"text":"x"}', type=Change)


def test_members_of_a_newer_procman_are_ignored():
    hello = {"version": "9", "pid": 1, "root": "/", "protocol": 1, "color": "red"}
    assert msgspec.convert(hello, Hello) == Hello("9", 1, "/", 1)


def test_a_phase_of_a_newer_procman_is_its_word():
    result = RECORDING.results("ps")[0]
    result["fleet"]["instances"][0] |= {"phase": "hibernating", "dreams": 3}
    assert msgspec.convert(result, Ps).fleet.instances[0].phase == "hibernating"


def test_a_command_of_the_core_is_sent_without_its_tag():
    assert members(Scale(by={"web": 1})) == {"by": {"web": 1}}
    assert json.loads(encode_request(1, "scale", Scale()))["params"] == {}
