"""The balancer with a real HAProxy: no request fails, whatever is done to either."""

from __future__ import annotations

import os
import signal

import pytest
from haproxied import Stage, needs_haproxy
from waiting import until

from procman.companions.balancer.answers import HaproxyError, Refusal
from procman.companions.balancer.runtime import Runtime

pytestmark = [pytest.mark.processes, needs_haproxy]


@pytest.fixture
def stages(tmp_path):
    made = []

    def make(**settings):
        made.append(Stage(tmp_path, **settings))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


@pytest.mark.parametrize("slots", [True, False], ids=["slots", "dynamic"])
@pytest.mark.parametrize("close", [True, False], ids=["close", "keep-alive"])
def test_no_request_fails_while_instances_come_and_go_and_haproxy_is_reloaded(stages, slots, close):
    stage = stages(slots=slots)
    stage.start(1, 2)
    stage.settle()
    with stage.under_load(close=close):
        stage.start(3, 4, 5, 6)
        stage.settle()
        stage.reload()
        stage.stop(6, 5, 4, 3, 2)
        stage.reload()
        stage.start(2)
        stage.settle()
    assert stage.result["failed"] == {}
    assert stage.result["done"] > 100


@pytest.mark.parametrize("balance", ["source", "uri", "static-rr", "leastconn", "random"])
def test_slots_serve_every_balancing_algorithm(stages, balance):
    stage = stages(balance=balance)
    stage.start(1, 2)
    stage.settle()
    with stage.under_load(close=True, connections=5):
        stage.stop(1)
        stage.start(1)
        stage.settle()
    assert stage.result["failed"] == {}


@pytest.mark.parametrize("slots", [True, False], ids=["slots", "dynamic"])
def test_after_a_kill_of_haproxy_it_serves_at_once_from_what_was_written(stages, slots):
    stage = stages(slots=slots)
    stage.start(1, 2)
    stage.settle()
    ports = stage.serving()
    stage.kill()
    stage.start_haproxy()
    assert stage.serving() == ports  # nobody has told it anything yet


def test_a_balancer_that_is_killed_and_started_again_goes_on_from_what_is(stages):
    stage = stages()
    stage.start(1, 2)
    stage.settle()
    with stage.under_load(close=False, connections=5):
        stage.new_backend()
        assert not stage.step().fault
        stage.start(3)
        stage.new_backend()
        stage.settle()
        stage.new_backend()
        stage.stop(1)
    assert stage.result["failed"] == {}


def test_a_hung_haproxy_holds_up_a_stop_by_no_more_than_its_time_to_drain(stages):
    stage = stages()
    stage.start(1, 2)
    stage.settle()
    stage.new_backend(drain=0.5)
    worker = stage.pid()
    os.kill(worker, signal.SIGSTOP)
    try:
        stage.stop(1)  # fails the test where it is not released
        assert stage.step().fault
    finally:
        os.kill(worker, signal.SIGCONT)
    stage.settle()
    assert len(stage.serving()) == 1


def test_long_requests_are_waited_for(stages):
    stage = stages(work=1.0)
    stage.start(1, 2)
    stage.settle()
    with stage.under_load(close=True, connections=4):
        until(lambda: any(s.used for s in stage.runtime.servers("web")), "a request")
        stage.stop(1)
    assert stage.result["failed"] == {}


def test_more_instances_than_slots_are_a_fault_and_no_loss(stages):
    stage = stages(work=0.0)
    stage.start(*range(1, 10))
    assert "web.9" in until(lambda: stage.step().fault, "a fault")
    assert len(stage.serving()) == 8


def test_a_backend_that_is_not_there_is_named_and_holds_nobody_up(stages):
    stage = stages()
    with pytest.raises(HaproxyError) as caught:
        stage.runtime.servers("nope")
    assert caught.value.kind is Refusal.NO_BACKEND
    assert "backend nope" in caught.value.message


def test_a_socket_without_the_admin_level_is_one_clear_error(stages):
    stage = stages(level="user")
    stage.start(1)
    kept = stage.step()
    assert "level admin" in kept.fault


def test_a_socket_that_is_not_there_is_one_clear_error(tmp_path):
    with pytest.raises(HaproxyError) as caught:
        Runtime(str(tmp_path / "none.sock")).check_version()
    assert caught.value.kind is Refusal.ABSENT
