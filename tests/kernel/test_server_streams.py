"""`logs` and `events`: what a client is told unasked."""

import base64
import json
import os

import pytest
from served import Served, change, request

from procman.control.client import Client
from procman.core.view import Change, Kind
from procman.serve.connection import ConnectionLimits


@pytest.fixture
def served(tmp_path):
    with Served(tmp_path, ConnectionLimits(events=3, streams=4, kept=100_000)) as served:
        yield served


def open_stream(peer, method, **params):
    return peer.ask(method, params)["result"]["stream"]


def texts(messages):
    return [(m["params"]["instance"], m["params"]["text"]) for m in messages]


def test_logs_tell_what_is_kept_in_the_order_it_came_then_end(served, peer):
    served.backend.history.append("web.1", 1.0, b"one\n")
    served.backend.history.append("worker.1", 2.0, b"two\n")
    served.backend.history.append("web.1", 3.0, b"three\n")
    number = open_stream(peer, "logs")
    *output, end = peer.messages(4)
    assert texts(output) == [("web.1", "one\n"), ("worker.1", "two\n"), ("web.1", "three\n")]
    assert end == {"jsonrpc": "2.0", "method": "end", "params": {"stream": number}}


def test_logs_of_nothing_end_at_once(peer):
    open_stream(peer, "logs")
    assert peer.messages(1)[0]["method"] == "end"


def test_logs_tell_only_the_last_lines_that_are_asked_for(served, peer):
    served.backend.history.append("web.1", 1.0, b"one\ntwo\nthree\n")
    open_stream(peer, "logs", lines=2)
    assert texts(peer.messages(2)[:1]) == [("web.1", "two\nthree\n")]


def test_a_negative_number_of_lines_is_a_wrong_parameter(peer):
    assert peer.ask("logs", {"lines": -1})["error"]["code"] == -32602


def test_output_that_is_not_utf8_is_base64(served, peer):
    served.backend.history.append("web.1", 1.0, b"\xff\xfe\n")
    open_stream(peer, "logs")
    output = peer.messages(2)[0]["params"]
    assert base64.b64decode(output["base64"]) == b"\xff\xfe\n"
    assert "text" not in output


def test_follow_goes_on_with_what_comes(served, peer):
    served.backend.history.append("web.1", 1.0, b"old\n")
    open_stream(peer, "logs", follow=True)
    peer.messages(1)
    served.backend.history.append("web.1", 2.0, b"new\n")
    served.backend.history.append("web.2", 3.0, b"other\n")
    assert texts(peer.messages(2)) == [("web.1", "new\n"), ("web.2", "other\n")]


def test_the_last_words_of_an_instance_that_is_removed_are_told(served, peer):
    open_stream(peer, "logs", follow=True)
    served.backend.history.append("web.2", 1.0, b"bye\n")
    served.backend.history.forget("web.2")
    assert texts(peer.messages(1)) == [("web.2", "bye\n")]


def test_an_instance_that_came_back_after_its_removal_is_followed_from_its_beginning(served, peer):
    open_stream(peer, "logs", follow=True)
    served.backend.history.append("web.2", 1.0, b"a long line of the first\n")
    served.backend.history.forget("web.2")
    served.backend.history.append("web.2", 2.0, b"again\n")
    assert texts(peer.messages(2))[1] == ("web.2", "again\n")


@pytest.mark.parametrize("names", [["web"], ["web.*"], ["w?b"], ["web.1", "web.9"]])
def test_follow_tells_only_what_the_names_mean_also_instances_that_join_later(served, peer, names):
    served.backend.formation = {"web": 9, "worker": 1}
    open_stream(peer, "logs", names=names, follow=True)
    for name in ("worker.1", "web.9", "system"):
        served.backend.history.append(name, 1.0, b"x\n")
    served.backend.history.append("web.1", 2.0, b"last\n")
    assert texts(peer.messages(2)) == [("web.9", "x\n"), ("web.1", "last\n")]


def test_logs_of_a_type_without_instances_are_empty_not_refused(peer):
    open_stream(peer, "logs", names=["worker"])


def test_logs_of_an_instance_that_only_the_history_knows_are_told(served, peer):
    served.backend.history.append("old.1", 1.0, b"x\n")
    open_stream(peer, "logs", names=["old.1"])
    assert texts(peer.messages(2)[:1]) == [("old.1", "x\n")]


def test_an_unknown_name_is_refused_with_the_nearest(peer):
    answer = peer.ask("logs", {"names": ["web", "wrker"]})
    assert answer["error"]["message"] == "cannot find an instance or process type 'wrker'"
    assert answer["error"]["data"]["hint"] == "did you mean 'worker'?"


def test_a_reader_that_is_too_slow_is_told_what_it_missed_and_gets_the_newest(served, peer):
    open_stream(peer, "logs", follow=True)
    line = b"x" * 999 + b"\n"
    for n in range(1000):
        served.backend.history.append("web.1", float(n), line)
    served.backend.history.append("web.1", 1000.0, b"newest\n")
    told, missed = peer.caught_up("newest\n")
    assert missed > 0
    assert told + missed == 1000 * 1000 + 7


def test_a_client_that_never_reads_costs_a_bounded_amount(served, peer):
    open_stream(peer, "logs", follow=True)
    for n in range(200):
        served.backend.history.append("web.1", float(n), os.urandom(40_000).hex().encode() + b"\n")
    [connection] = served.server._connections
    assert len(connection._unsent) < 300_000
    assert served.is_alive()


def test_another_reader_is_refused_while_too_much_kept_output_is_unread(served):
    for n in range(60):
        served.backend.history.append(f"web.{n}", 1.0, b"x" * 9999 + b"\n")
    first = served.peer()
    open_stream(first, "logs")
    second = served.peer()
    assert second.ask("logs")["error"]["message"].startswith("cannot show kept output now")
    first.messages(61)
    open_stream(second, "logs")


def test_events_tell_each_change(served, peer):
    number = open_stream(peer, "events")
    served.server.publish(12.5, change("web.1 is ready"))
    assert peer.messages(1)[0]["params"] == {
        "stream": number,
        "time": 12.5,
        "change": {"event": "ready", "text": "web.1 is ready", "instance": "web.1", "type": "web", "phase": "ready"},
        "number": 1,
    }


def test_a_change_made_by_a_request_on_the_same_connection_is_told_after_its_answer(served, peer):
    open_stream(peer, "events")
    reply = served.backend.reply

    def publishing(command):
        served.server.publish(1.0, change())
        return reply(command)

    served.backend.reply = publishing
    assert "result" in peer.ask("restart", id=7)
    assert peer.messages(1)[0]["method"] == "event"


def test_a_change_that_is_told_answers_no_request(served, peer):
    """It comes from the middle of an event of the core, whose answer to a further command would come after the turn."""
    open_stream(peer, "events")
    peer.socket.send(b"".join(json.dumps(request("restart", id=n)).encode() + b"\n" for n in range(40)))
    served.drive(lambda: served.backend.commands)
    carried_out = len(served.backend.commands)
    assert carried_out < 40
    served.server.publish(1.0, change())
    assert len(served.backend.commands) == carried_out
    messages = peer.messages(41)
    assert [m["id"] for m in messages if "id" in m] == list(range(40))
    assert [m["method"] for m in messages if "id" not in m] == ["event"]


def test_changes_are_sent_with_those_of_the_same_round_unless_half_of_those_that_may_wait_do(served, peer):
    open_stream(peer, "events")
    served.server.publish(1.0, change("one"))
    peer.poll()
    assert peer.received == b""
    served.server.publish(2.0, change("two"))
    peer.poll()
    assert peer.received.count(b"\n") == 2
    served.server.publish(3.0, change("three"))
    assert [message["params"]["time"] for message in peer.messages(3)] == [1.0, 2.0, 3.0]


def test_a_slow_reader_of_events_gets_the_newest_and_the_number_it_missed(served, peer):
    open_stream(peer, "events")
    count = 0
    [connection] = served.server._connections
    while not connection._unsent:  # until its socket takes no more
        served.server.publish(float(count), change("x" * 1000))
        count += 1
    for n in range(10):
        served.server.publish(float(count + n), change("y" * 1000))
    messages = [message["params"] for message in peer.messages(count + 3)]
    assert [m.get("missed", 0) for m in messages[-3:]] == [7, 0, 0]
    assert messages[-1]["time"] == count + 9


def test_a_connection_can_have_only_so_many_streams(peer):
    for _ in range(4):
        open_stream(peer, "events")
    assert peer.ask("events")["error"]["message"] == "cannot open another stream: 4 are open"


def test_a_finished_stream_makes_room_for_another(peer):
    for _ in range(10):
        open_stream(peer, "logs")
        peer.messages(1)


def test_a_notification_opens_no_stream(served, peer):
    peer.send({"jsonrpc": "2.0", "method": "events"})
    peer.ask("hello")
    served.server.publish(1.0, change())
    assert peer.ask("hello", id=2)["id"] == 2


def test_the_end_of_procman_ends_the_streams_and_closes_the_connections(served, peer):
    number = open_stream(peer, "events")
    served.server.publish(1.0, change())
    served.close()
    peer.wait_closed()
    assert [m["method"] for m in peer.messages(2)] == ["event", "end"]
    assert number
    with pytest.raises(OSError, match="Bad file descriptor"):
        served.listener.getsockname()


def test_a_follower_that_has_gone_is_forgotten(served, peer):
    open_stream(peer, "logs", follow=True)
    peer.socket.close()
    served.drive(lambda: not served.server._connections)
    served.backend.history.append("web.1", 1.0, b"x\n")
    assert not served.server._streaming


def test_a_finite_stream_is_told_to_its_end_to_a_client_that_shut_its_side(served, peer):
    for n in range(40):
        served.backend.history.append("web.1", float(n), b"x" * 999 + b"\n")
    peer.send({"jsonrpc": "2.0", "id": 1, "method": "logs"})
    peer.socket.shutdown(1)  # SHUT_WR
    assert peer.messages(42)[-1]["method"] == "end"
    peer.wait_closed()


def test_the_client_follows_logs_and_events_to_the_end(served):
    served.backend.history.append("web.1", 1.0, b"one\n")
    logs, events = (served.blocking(Client, served.path) for _ in range(2))
    output = served.blocking(lambda: logs.logs(follow=True))
    happened = served.blocking(events.events)
    assert served.blocking(next, output).text == "one\n"
    served.server.publish(2.0, change("changed"))
    assert served.blocking(next, happened).change.text == "changed"
    served.close()
    assert [*output, *happened] == []
    logs.close()
    events.close()


def test_a_later_kind_of_event_is_a_command_to_who_has_not_said_that_it_takes_any_word(served):
    older, newer = served.peer(), served.peer()
    newer.ask("hello", {"any_word": True})
    for peer in (older, newer):
        open_stream(peer, "events")
    served.server.publish(1.0, Change(event=Kind("drained"), text="web.1 is drained"))
    told = [peer.messages(1)[0]["params"]["change"] for peer in (older, newer)]
    assert told == [{"event": "command", "text": "web.1 is drained"}, {"event": "drained", "text": "web.1 is drained"}]
