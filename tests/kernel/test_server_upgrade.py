"""What clients see of an upgrade: a word, an end, and a server that goes on; and how procman's own client goes on, too.

The server that parts with its clients goes on here as the one of the next program does.
"""

from __future__ import annotations

import pytest
from served import Served, change

from procman.control.client import Client
from procman.control.messages import Happened, Output
from procman.core.actions import Refuse
from procman.errors import NotRunningError, ProcmanError, RefusedError
from procman.serve.connection import ConnectionLimits
from procman.serve.server import RECENT, Server


def upgrade(served):
    served.backend.upgrades += 1
    served.server.upgrade()


# ---- the protocol


def test_every_client_is_told_and_then_closed(served, peer):
    other = served.peer()
    peer.ask("events")
    other.ask("hello")
    upgrade(served)
    for each in (peer, other):
        assert each.messages(1) == [{"jsonrpc": "2.0", "method": "upgrading", "params": {}}]
        each.wait_closed()
    assert served.is_alive()


def test_what_was_answered_comes_before_the_word(served, peer):
    peer.ask("events")
    served.backend.reply = lambda _: Refuse(0, "cannot")
    served.server.publish(1.0, change())
    upgrade(served)
    assert [message["method"] for message in peer.messages(2)] == ["event", "upgrading"]


def test_an_upgrade_is_answered_once_it_is_decided(served, peer):
    peer.send({"jsonrpc": "2.0", "id": 7, "method": "upgrade"})
    served.drive(lambda: served.backend.upgrading)
    assert peer.ask("hello", id=8)["id"] == 8  # others are answered meanwhile, on the same connection too
    served.backend.upgrading[0]("9.9.9")
    assert peer.messages(1) == [{"jsonrpc": "2.0", "id": 7, "result": {"version": "9.9.9"}}]


def test_a_refusal_is_told_at_once(served, peer):
    peer.send({"jsonrpc": "2.0", "id": 7, "method": "upgrade"})
    served.drive(lambda: served.backend.upgrading)
    served.backend.upgrading[0](Refuse(0, "cannot upgrade: so", "a hint"))
    error = {"code": 1, "message": "cannot upgrade: so", "data": {"hint": "a hint"}}
    assert peer.messages(1) == [{"jsonrpc": "2.0", "id": 7, "error": error}]


def test_a_client_that_says_no_more_is_still_answered(served, peer):
    """As in `printf … | socat - UNIX:SOCKET`."""
    peer.send({"jsonrpc": "2.0", "id": 7, "method": "upgrade"})
    peer.socket.shutdown(1)
    served.drive(lambda: served.backend.upgrading)
    assert peer.socket.fileno() >= 0
    served.is_alive()  # some rounds
    served.backend.upgrading[0]("9.9.9")
    assert peer.messages(1)[0]["id"] == 7
    peer.wait_closed()


def test_one_that_has_gone_meanwhile_is_forgotten(served, peer):
    peer.send({"jsonrpc": "2.0", "id": 7, "method": "upgrade"})
    served.drive(lambda: served.backend.upgrading)
    peer.socket.close()
    served.is_alive()
    served.backend.upgrading[0]("9.9.9")
    assert served.is_alive()
    assert served.backend.faults == []


def test_changes_after_a_number_are_told_first(served, peer):
    for n in range(1, 6):
        served.server.publish(float(n), change(f"change {n}"))
    started = peer.ask("events", {"after": 3})["result"]
    assert started["number"] == 3
    told = [message["params"] for message in peer.messages(2)]
    assert [(one["number"], one["change"]["text"]) for one in told] == [(4, "change 4"), (5, "change 5")]
    served.server.publish(6.0, change())
    assert peer.messages(1)[0]["params"]["number"] == 6


@pytest.mark.parametrize(
    ("after", "missed", "first"), [(0, 10, 11), (5, 5, 11), (RECENT + 10, 0, RECENT + 11), (9999, 0, RECENT + 11)]
)
def test_what_is_no_longer_kept_counts_as_missed(served, peer, after, missed, first):
    for n in range(RECENT + 10):
        served.server.publish(float(n), change())
    peer.ask("events", {"after": after})
    served.server.publish(1.0, change())
    got = peer.messages(1)[0]["params"]
    assert (got.get("missed", 0), got["number"]) == (missed, first)


def test_numbers_and_recent_changes_are_handed_on(served, tmp_path):
    for n in range(3):
        served.server.publish(float(n), change(f"change {n}"))
    state = served.server.state()
    (tmp_path / "next").mkdir()
    with Served(tmp_path / "next") as following:
        following.server.restore(state)
        peer = following.peer()
        peer.ask("events", {"after": 2})
        assert peer.messages(1)[0]["params"]["change"]["text"] == "change 2"
        assert following.server.state() == state


def test_kept_output_after_offsets_is_told_and_what_is_lost_counted(served, peer):
    history = served.backend.history
    for name in ("web.1", "web.2", "worker.1"):
        history.append(name, 1.0, b"one\n")
        history.append(name, 2.0, b"two\n")
    started = peer.ask("logs", {"follow": True, "lines": 0, "after": {"web.1": 4, "web.2": 8}})["result"]
    assert started["after"] == {"web.1": 4, "web.2": 8}
    told = [message["params"] for message in peer.messages(3)]
    assert [(one["instance"], one["text"], one["after"]) for one in told] == [
        ("web.1", "two\n", 8),
        ("worker.1", "one\n", 4),
        ("worker.1", "two\n", 8),
    ]
    history.append("web.2", 3.0, b"three\n")
    assert peer.messages(1)[0]["params"]["text"] == "three\n"


# ---- procman's own client


@pytest.fixture
def client(served):
    with served.blocking(Client, served.path) as made:
        yield made


def test_a_call_after_an_upgrade_is_answered_by_the_next_program(served, client):
    assert served.blocking(client.hello).upgrades == 0
    upgrade(served)
    assert served.blocking(lambda: client.hello(again=True)).upgrades == 1


def test_a_call_that_was_not_carried_out_is_made_again_once(served, client):
    """It lies in the socket, unread, when procman parts."""
    served.blocking(client.hello)
    future = served.threads.submit(client.scale, {"web": 3})
    while not served.server.reactor._selector.select(1.0):
        continue
    upgrade(served)
    served.drive(future.done)
    assert future.result().formation == served.backend.formation
    assert len(served.backend.commands) == 1


def test_a_refusal_by_the_next_program_is_one(served, client):
    upgrade(served)
    served.backend.reply = lambda _: Refuse(0, "cannot scale")
    with pytest.raises(RefusedError):
        served.blocking(client.scale)


def test_events_go_on_with_those_that_came_meanwhile(served, client):
    stream = served.blocking(client.events)
    served.server.publish(1.0, change("one"))
    assert served.blocking(next, stream).change.text == "one"
    upgrade(served)
    served.server.publish(2.0, change("two"))
    told = served.blocking(next, stream)
    assert (told.change.text, told.missed, told.number) == ("two", 0, 2)
    assert isinstance(told, Happened)


def test_logs_go_on_at_their_offsets_kept_ones_included(served, client):
    history = served.backend.history
    for n in range(5):
        history.append("web.1", float(n), b"%d\n" % n)
    stream = served.blocking(lambda: client.logs(lines=3, follow=True))
    got = [served.blocking(next, stream).text]
    upgrade(served)
    history.append("web.1", 5.0, b"5\n")
    history.append("web.2", 5.0, b"other\n")
    for _ in range(4):
        told = served.blocking(next, stream)
        assert isinstance(told, Output)
        got.append(told.text)
    assert got == ["2\n", "3\n", "4\n", "5\n", "other\n"]


def test_a_reader_that_is_too_slow_for_the_word_goes_on_all_the_same(served, client):
    """Its socket is full in the midst of a message when procman parts."""
    history = served.backend.history
    stream = served.blocking(lambda: client.logs(follow=True))
    for n in range(40):
        history.append("web.1", float(n), b"x" * 8000 + b"\n")
    served.is_alive()
    upgrade(served)
    got = missed = 0
    while got + missed < 40 * 8001:
        output = served.blocking(next, stream)
        got += len(output.text)
        missed += output.missed
    assert got > 200 * 1024
    assert served.backend.faults == []


def test_one_that_has_hung_up_does_not_connect_again(served, client):
    stream = served.blocking(client.events)
    client.channel.hang_up()
    upgrade(served)
    assert served.blocking(list, stream) == []


def test_a_stream_ends_where_nobody_takes_over(served, client):
    stream = served.blocking(client.events)
    upgrade(served)
    served.close()
    assert list(stream) == []
    with pytest.raises(NotRunningError):
        client.ps()


def test_a_limit_of_the_next_program_is_told(tmp_path):
    with Served(tmp_path, ConnectionLimits(streams=0)) as served:
        with served.blocking(Client, served.path) as client, pytest.raises(ProcmanError, match="another stream"):
            served.blocking(client.events)
        assert isinstance(served.server, Server)
