"""Queues in the redis of a formation: what is put in, and what was done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from system import SLOW, Example

ENQUEUE = "import sys, tasks\nfor n in range(int(sys.argv[1])): tasks.work.delay(n, float(sys.argv[2]))\n"


def with_own_programs(made: Example) -> Example:
    """The programs in its PATH, such as `celery`, are this interpreter's."""
    made.world.env["PATH"] = f"{Path(sys.executable).parent}:{made.world.env['PATH']}"
    return made


def redis(of: Example, *words: str) -> str:
    """What redis-cli answers to a command."""
    command = ["redis-cli", "-p", str(of.port), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=SLOW, check=True).stdout.strip()


def enqueue(celery: Example, count: int, seconds: float) -> None:
    """Put tasks of so many seconds each into Celery's queue."""
    env = celery.world.env | {"BROKER_URL": f"redis://127.0.0.1:{celery.port}/0"}
    command = [sys.executable, "-c", ENQUEUE, str(count), str(seconds)]
    subprocess.run(command, cwd=celery.world.folder, env=env, check=True, timeout=SLOW)


def done(of: Example) -> list[int]:
    """How often each task or job was done."""
    return sorted(int(times) for times in redis(of, "HVALS", "done").split())
