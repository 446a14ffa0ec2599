"""A job that takes a while and leaves a trace in redis, so that one can count what was done and how often."""

import os
import sys
import time

import redis
import rq

URL = f"redis://127.0.0.1:{os.environ.get('PROCMAN_PORT_REDIS', '6379')}"


def work(number: int, seconds: float) -> None:
    """Sleep, then count this job as done once more."""
    print(f"begins {number}")
    time.sleep(seconds)
    redis.Redis.from_url(URL).hincrby("done", number, 1)
    print(f"has done {number}")


if __name__ == "__main__":  # jobs.py COUNT SECONDS
    queue = rq.Queue(connection=redis.Redis.from_url(URL))
    for job in range(int(sys.argv[1])):
        queue.enqueue("jobs.work", job, float(sys.argv[2]))
