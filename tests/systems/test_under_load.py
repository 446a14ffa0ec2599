"""What `under_load.py` measures, once each: no request fails over a deploy and scaling, and a death costs what was in flight."""

from __future__ import annotations

import pytest
from system import SLOW, needs
from under_load import CONNECTIONS, behind_haproxy, lost, measured, on_a_shared_socket

IN_FLIGHT = CONNECTIONS
"""Most requests that one instance can have had: all others may wait at the same moment."""


@needs("wrk", "haproxy", "node")
@pytest.mark.parametrize("close", [False, True], ids=["keep-alive", "close"])
@pytest.mark.parametrize("what", ["restart", "reload", "scale"])
def test_behind_haproxy_no_request_fails(world, what, close):
    example, supervisor, port = behind_haproxy(world)
    load = measured(what, example, supervisor, port, close=close)
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
