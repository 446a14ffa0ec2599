"""RQ with redis as its queue: no job is lost, and none is done twice."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
from harness import Supervisor, eventually
from queues import done, redis, with_own_programs
from system import SLOW, Example, needs

pytestmark = needs("redis-server", "redis-cli", modules=("rq", "redis"))


@pytest.fixture
def rq(example) -> Example:
    """With an `rq` in PATH that is this interpreter's."""
    return with_own_programs(example("rq"))


def up(rq: Example) -> Supervisor:
    supervisor = rq.start()
    eventually(lambda: all(row["phase"] == "ready" for row in supervisor.ps().values()), "all are ready", SLOW)
    eventually(lambda: int(redis(rq, "SCARD", "rq:workers")) == 2, "two workers listen", SLOW)
    return supervisor


def enqueue(rq: Example, count: int, seconds: float) -> None:
    env = rq.world.env | {"PROCMAN_PORT_REDIS": str(rq.port)}
    command = [sys.executable, "jobs.py", str(count), str(seconds)]
    subprocess.run(command, cwd=rq.world.folder, env=env, check=True, timeout=SLOW)


def begun(supervisor: Supervisor, count: int) -> None:
    """Wait until so many more jobs run: a worker that is told to stop while it takes one from the queue loses it."""
    for _ in range(count):
        supervisor.expect(r"begins \d+", SLOW)


def jobs(supervisor: Supervisor, what: str) -> list[str]:
    return sorted(re.findall(rf"{what} (\d+)", supervisor.seen))


def test_every_job_is_done_once_over_scaling_and_a_restart(rq):
    supervisor = up(rq)
    enqueue(rq, 10, 1.0)
    begun(supervisor, 2)
    assert rq.run("scale", "worker=3").code == 0
    begun(supervisor, 1)
    assert rq.run("scale", "worker=1").code == 0
    assert rq.run("restart", "worker").code == 0
    eventually(lambda: len(done(rq)) == 10, "all are done", SLOW)
    assert done(rq) == [1] * 10
    assert supervisor.stop(SLOW) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_stop_of_everything_lets_the_jobs_finish_while_redis_is_there(rq, number):
    supervisor = up(rq)
    enqueue(rq, 4, 2.0)
    begun(supervisor, 2)
    supervisor.signal(number)
    assert supervisor.wait(SLOW) == 0
    assert jobs(supervisor, "has done") == jobs(supervisor, "begins")
    assert "killed" not in supervisor.seen
    assert "Error 111" not in supervisor.seen  # redis was there to the end
