"""Stops that a companion holds, as long as its connection lasts, and a little longer."""

import pytest
from served import Served

from procman.core.events import Hold
from procman.serve.connection import ConnectionLimits
from procman.serve.methods import MOST_HELD

SOON = ConnectionLimits(returns=0.02)
"""Who has gone holds nothing after a moment."""


def holds(by, *names, seconds=5):
    return {"by": by, "names": names, "seconds": seconds}


def test_a_hold_ends_after_the_connection_that_holds(tmp_path):
    with Served(tmp_path, SOON) as served:
        peer = served.peer()
        assert peer.ask("hold", holds("balancer", "web"))["result"]
        assert served.backend.commands == [Hold("balancer", ("web",), 5)]
        peer.socket.close()
        served.drive(lambda: len(served.backend.commands) == 2)
        assert served.backend.commands[1] == Hold("balancer", (), 0)


def test_who_comes_back_in_time_goes_on_holding(tmp_path):
    with Served(tmp_path, SOON) as served:
        before, after = served.peer(), served.peer()
        before.ask("hold", holds("balancer", "web"))
        before.ask("hold", holds("another", "web"))
        after.ask("hold", holds("balancer", "web"))
        before.socket.close()
        served.drive(lambda: len(served.backend.commands) == 4)
        assert served.backend.commands[3] == Hold("another", (), 0)


def test_a_hold_that_was_taken_back_is_not_ended_again(tmp_path):
    with Served(tmp_path, SOON) as served:
        peer = served.peer()
        peer.ask("hold", holds("one", "web"))
        peer.ask("hold", holds("two", "web"))
        peer.ask("hold", holds("one"))
        peer.socket.close()
        served.drive(lambda: len(served.backend.commands) == 4)
        assert served.backend.commands[3] == Hold("two", (), 0)


def test_of_many_that_have_gone_some_end_at_once(tmp_path):
    with Served(tmp_path) as served:
        for one in range(2):
            peer = served.peer()
            for n in range(MOST_HELD):
                peer.ask("hold", holds(f"{one}.{n}", "web"))
            peer.socket.close()
        served.drive(lambda: len(served.backend.commands) == 3 * MOST_HELD)
        assert {command.by[0] for command in served.backend.commands[2 * MOST_HELD :]} == {"1"}


def test_a_hold_outlives_an_upgrade(served, peer):
    peer.ask("hold", holds("balancer", "web"))
    served.server.upgrade()
    peer.wait_closed()
    assert len(served.backend.commands) == 1


def test_one_connection_holds_in_so_many_names_alone(served, peer):
    for n in range(MOST_HELD):
        assert peer.ask("hold", holds(f"b{n}", "web"))["result"]
    assert "error" in peer.ask("hold", holds("another", "web"))
    assert peer.ask("hold", holds("b1", "web", seconds=1))["result"]


@pytest.mark.parametrize(
    "params", [{"by": "", "names": ["web"], "seconds": 1}, {"by": "b", "names": [], "seconds": -1}]
)
def test_a_hold_of_nobody_or_of_no_time_is_refused(served, peer, params):
    assert peer.ask("hold", params)["error"]["code"] == -32602
