"""Capacity that follows demand, with a real queue: every task is done once, and what cannot be read takes nothing away."""

from __future__ import annotations

import os
import signal

import pytest
from harness import Supervisor, eventually
from queues import done, enqueue, with_own_programs
from system import SLOW, Example, needs

pytestmark = needs("redis-server", "redis-cli", modules=("celery", "redis"))

SETTINGS = """
formation: {{redis: 1, worker: {low}, beat: 0, flower: 0}}
processes:
  redis: {{max: 1, ready: tcp}}
  worker:
    depends_on: [redis]
    ready: {{log: "ready\\\\.$"}}
    stop: {{grace: 60}}
    autoscale:
      min: {low}
      max: 6
      every: 1
      idle: 3
      up: {{count: 5}}
      down: {{window: 5}}
      metrics: [{{queue: {{redis: "redis://127.0.0.1:{port}/0", celery: celery}}, target: 10, timeout: 1}}]
"""


@pytest.fixture
def celery(example) -> Example:
    """With a `celery` in PATH that is this interpreter's."""
    return with_own_programs(example("celery"))


def up(celery: Example, low: int) -> Supervisor:
    """Workers between `low` and six, one for each ten tasks."""
    celery.world.file("procman.yml", SETTINGS.format(low=low, port=celery.port))
    supervisor = celery.start()
    eventually(lambda: all(row["phase"] == "ready" for row in supervisor.ps().values()), "all are ready", SLOW)
    return supervisor


def count(supervisor: Supervisor) -> int:
    formation: dict[str, int] = supervisor.ask("ps")["fleet"]["formation"]
    return formation["worker"]


def test_workers_come_for_a_queue_and_go_after_it_and_every_task_is_done_once(celery):
    supervisor = up(celery, 1)
    enqueue(celery, 120, 0.3)
    eventually(lambda: count(supervisor) == 6, "six workers", SLOW)
    eventually(lambda: len(done(celery)) == 120, "all are done", SLOW)
    eventually(lambda: count(supervisor) == 1, "one worker again", SLOW)
    assert done(celery) == [1] * 120
    assert supervisor.stop(SLOW) == 0


def test_the_first_task_of_an_empty_formation_starts_the_first_worker_and_the_last_goes_when_it_is_idle(celery):
    supervisor = up(celery, 0)
    enqueue(celery, 1, 0.1)
    eventually(lambda: done(celery) == [1], "it is done", SLOW)
    eventually(lambda: count(supervisor) == 0, "nobody is left", SLOW)
    assert supervisor.stop(SLOW) == 0


def test_while_redis_does_not_answer_nothing_is_taken_away_and_it_is_back_by_itself(celery):
    supervisor = up(celery, 1)
    enqueue(celery, 35, 0.5)
    eventually(lambda: count(supervisor) > 1, "more workers", SLOW)
    pid = supervisor.ps()["redis.1"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        before = count(supervisor)
        supervisor.expect(r"cannot read worker: queue celery", SLOW)
        row = eventually(lambda: autoscaler(supervisor, "unhealthy"), "a state that tells it", SLOW)
        assert "cannot read worker: queue celery" in row["reason"]
        assert count(supervisor) == before
    finally:
        os.kill(pid, signal.SIGCONT)
    supervisor.expect(r"queue celery can be read again", SLOW)
    eventually(lambda: autoscaler(supervisor, "ready"), "a state that is well", SLOW)
    eventually(lambda: len(done(celery)) == 35, "all are done", SLOW)
    assert done(celery) == [1] * 35
    assert supervisor.stop(SLOW) == 0


def autoscaler(supervisor: Supervisor, phase: str) -> dict | None:
    rows = supervisor.ask("ps")["fleet"]["companions"]
    return next((row for row in rows if row["phase"] == phase), None)
