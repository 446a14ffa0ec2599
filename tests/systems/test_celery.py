"""Celery with redis as its broker: no task is lost, and none is done twice."""

from __future__ import annotations

import os
import signal

import pytest
from harness import Supervisor, eventually
from queues import done, enqueue, redis, with_own_programs
from system import SLOW, Example, needs

pytestmark = needs("redis-server", "redis-cli", modules=("celery", "redis"))


@pytest.fixture
def celery(example) -> Example:
    """With a `celery` in PATH that is this interpreter's."""
    return with_own_programs(example("celery"))


def up(celery: Example, *counts: str) -> Supervisor:
    supervisor = celery.start("-m", ",".join(counts or ("worker=2", "beat=0")))
    eventually(lambda: all(r["phase"] == "ready" for r in supervisor.ps().values()), "all are ready", SLOW)
    return supervisor


def waiting(celery: Example) -> int:
    return int(redis(celery, "LLEN", "celery")) + int(redis(celery, "HLEN", "unacked"))


def test_every_task_is_done_once_over_scaling_and_a_restart(celery):
    """1 -> 3 -> 2, and a restart, while twenty tasks of a second are done."""
    supervisor = up(celery, "worker=1", "beat=0")
    enqueue(celery, 20, 1.0)
    eventually(lambda: done(celery), "the first is done", SLOW)
    assert celery.run("scale", "worker=3").code == 0
    eventually(lambda: len(done(celery)) >= 8, "some are done", SLOW)
    assert celery.run("scale", "worker=2").code == 0
    assert celery.run("restart", "worker").code == 0
    eventually(lambda: len(done(celery)) == 20, "all are done", SLOW)
    assert done(celery) == [1] * 20
    assert waiting(celery) == 0
    assert supervisor.stop(SLOW) == 0


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT"])
def test_a_stop_of_everything_stops_the_workers_first_and_leaves_no_task_half_done(celery, how):
    """What runs is finished and acknowledged, since redis is still there; the rest waits in the queue."""
    supervisor = up(celery)
    enqueue(celery, 20, 2.0)
    eventually(lambda: int(redis(celery, "HLEN", "unacked")) >= 4, "four run", SLOW)
    supervisor.signal(getattr(signal, how))
    supervisor.expect(r"worker\.\d stopped|stopping \d+ instances", SLOW)
    supervisor.expect(r"User requested shutdown|ready to exit|bye bye", SLOW)
    assert supervisor.wait(SLOW) == 0
    own = "\n".join(supervisor.lines("redis.1"))
    assert "bye bye" in own
    assert "Connection to broker lost" not in supervisor.seen


def test_beat_is_a_singleton(celery):
    supervisor = up(celery, "worker=0", "beat=1")
    refused = celery.run("scale", "beat=2")
    assert refused.code == 1
    assert "its 'max' is 1" in refused.err
    eventually(lambda: int(redis(celery, "LLEN", "celery")) >= 2, "it ticks", SLOW)
    assert supervisor.stop(SLOW) == 0


def test_a_worker_that_is_killed_comes_back(celery):
    supervisor = up(celery, "worker=1", "beat=0")
    pid = supervisor.ps()["worker.1"]["pid"]
    os.kill(pid, signal.SIGKILL)
    supervisor.until(lambda now: now["worker.1"]["phase"] == "ready" and now["worker.1"]["pid"] != pid, "it is back")
    enqueue(celery, 2, 0.1)
    eventually(lambda: done(celery) == [1, 1], "it works", SLOW)
    assert supervisor.stop(SLOW) == 0
