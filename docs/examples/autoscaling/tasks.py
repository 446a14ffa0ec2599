"""Tasks that take a while and leave a trace in redis, so that one can count what was done and how often."""

import os
import time

import redis
from celery import Celery

BROKER = os.environ.get("BROKER_URL", f"redis://127.0.0.1:{os.environ.get('PROCMAN_PORT_REDIS', '6379')}/0")

app = Celery("tasks", broker=BROKER)
store = redis.Redis.from_url(BROKER)
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = 1


@app.task
def work(number: int, seconds: float = 2.0) -> None:
    """Sleep, then count this task as done once more."""
    time.sleep(seconds)
    store.hincrby("done", number, 1)
