"""What `under_load.py` measures, once each: no request fails over a deploy and scaling, and a death costs what was in flight."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import pytest
from harness import Line
from system import SLOW, needs
from under_load import CONNECTIONS, behind_haproxy, lost, measured, on_a_shared_socket

IN_FLIGHT = CONNECTIONS
"""Most requests that one instance can have had: all others may wait at the same moment."""


def events_so_far(line: Line) -> list[dict[str, Any]]:
    """What a connection that follows the events has been sent, up to an answer that comes after them."""
    line.peer.sendall(b'{"jsonrpc": "2.0", "id": "last", "method": "ps", "params": {}}\n')
    messages = iter(line.next, None)
    told = takewhile(lambda message: message.get("id") != "last", messages)
    return [message["params"] for message in told if message.get("method") == "event"]


def fewest_ready(events: list[dict[str, Any]], of: str = "web", at_first: int = 4) -> int:
    """How many instances of a type were ready at any time, at least."""
    ready = {f"{of}.{n}" for n in range(1, at_first + 1)}
    fewest = at_first
    for event in events:
        if event.get("type") == of and event.get("instance"):
            (ready.add if event["ready"] else ready.discard)(event["instance"])
            fewest = min(fewest, len(ready))
    return fewest


@needs("wrk", "haproxy", "node")
@pytest.mark.parametrize("close", [False, True], ids=["keep-alive", "close"])
@pytest.mark.parametrize("what", ["restart", "reload", "scale"])
def test_behind_haproxy_no_request_fails(world, what, close):
    example, supervisor, port = behind_haproxy(world)
    load = measured(what, example, supervisor, port, close=close)
    assert load.failed == 0, load.text
    assert supervisor.stop(SLOW) == 0


@needs("wrk", "haproxy", "node")
@pytest.mark.parametrize("what", ["restart", "reload"])
def test_behind_haproxy_with_an_extra_instance_no_request_fails_and_never_fewer_than_four_are_ready(world, what):
    """The extra one has its place in HAProxy's static list, and comes and goes with each rollout."""
    example, supervisor, port = behind_haproxy(world, "rolling: {surge: 1}")
    with supervisor.connected() as line:
        line.ask("events")
        load = measured(what, example, supervisor, port, close=False)
        assert fewest_ready(events_so_far(line)) == 4
    assert load.failed == 0, load.text
    assert supervisor.stop(SLOW) == 0


@needs("wrk", "haproxy", "node")
def test_behind_haproxy_the_death_of_one_of_four_costs_what_was_in_flight_in_it(world):
    example, supervisor, port = behind_haproxy(world)
    load = measured("kill", example, supervisor, port, close=True)
    assert load.failed <= IN_FLIGHT, load.text
    assert supervisor.stop(SLOW) == 0
    assert set(lost(supervisor)) <= {"502 SH"}  # had been given to it; none found nobody


@pytest.mark.parametrize("what", ["restart", "reload", "scale"])
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("gunicorn", marks=needs("wrk", modules=("gunicorn",))),
        pytest.param("node", marks=needs("wrk", "node")),
    ],
)
def test_on_a_shared_socket_no_request_fails(world, kind, what):
    example, supervisor, port = on_a_shared_socket(world, kind)
    load = measured(what, example, supervisor, port, close=False)
    assert load.failed == 0, load.text
    assert supervisor.stop(SLOW) == 0


@needs("wrk", modules=("gunicorn",))
def test_on_a_shared_socket_the_death_of_one_of_four_costs_what_was_in_flight_in_it(world):
    example, supervisor, port = on_a_shared_socket(world)
    load = measured("kill", example, supervisor, port, close=True)
    assert load.failed <= IN_FLIGHT, load.text
    assert supervisor.stop(SLOW) == 0
