"""Sidekiq: a stop finishes the running jobs, or gives them back to the queue, as its documentation says."""

from __future__ import annotations

import json
import subprocess

import pytest
from harness import Supervisor, eventually
from queues import redis
from system import SLOW, Example, needs

pytestmark = needs("sidekiq", "ruby", "redis-server", "redis-cli")

JOBS = """
require "sidekiq"
url = { url: "redis://127.0.0.1:#{ENV["PROCMAN_PORT_REDIS"]}/0" }
Sidekiq.configure_server { |config| config.redis = url }
Sidekiq.configure_client { |config| config.redis = url }
class Work
  include Sidekiq::Worker
  def perform(seconds)
    Sidekiq.redis { |redis| redis.incr("started") }
    sleep seconds
    Sidekiq.redis { |redis| redis.incr("done") }
  end
end
"""

SETTINGS = {
    "processes": {
        "redis": {"max": 1, "ready": "tcp"},
        "worker": {"depends_on": ["redis"], "stop": {"grace": 60}, "ready": {"log": "Running in"}},
    }
}


def up(server: Example, options: str) -> Supervisor:
    server.world.procfile(redis="redis-server --port $PORT --save ''", worker=f"sidekiq -r ./jobs.rb -c 2 -t {options}")
    server.world.file("procman.yml", json.dumps(SETTINGS))
    server.world.file("jobs.rb", JOBS)
    supervisor = server.start()
    eventually(lambda: supervisor.ps()["worker.1"]["phase"] == "ready", "it is ready", SLOW)
    return supervisor


def enqueue(server: Example, count: int, seconds: float) -> None:
    script = f"require './jobs.rb'; {count}.times {{ Work.perform_async({seconds}) }}"
    env = server.world.env | {"PROCMAN_PORT_REDIS": str(server.port)}
    subprocess.run(["ruby", "-e", script], cwd=server.world.folder, env=env, check=True, timeout=SLOW)


@pytest.mark.parametrize(("seconds", "limit", "left"), [(2, 25, 2), (120, 1, 4)], ids=["finished", "given back"])
def test_no_job_is_lost_by_a_stop(server, seconds, limit, left):
    """Two of four run; they are done, or they wait in the queue with the others."""
    supervisor = up(server, str(limit))
    enqueue(server, 4, seconds)
    eventually(lambda: redis(server, "GET", "started") == "2", "two run", SLOW)
    assert server.run("stop", "worker").code == 0
    done = int(redis(server, "GET", "done") or 0)
    assert (done, int(redis(server, "LLEN", "queue:default"))) == (4 - left, left)
    assert "killed" not in supervisor.seen
    assert supervisor.stop(SLOW) == 0
