"""What becomes of a task that ends inside the grace, by every way to stop its worker: real Celery and RQ, a worker a tenth.

`python tests/systems/tasks_in_grace.py [SYSTEM [WAY]]` measures all of it and prints the table of docs/reference/signals.md. Nine
workers each have a task that ends one to nine tenths of the grace after they were told to stop. Redis runs beside the
formation, so that it can be asked afterwards what was acknowledged.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from harness import Supervisor, World, alive, eventually, guardian_of
from system import SLOW, free_ports

TASKS = """
import os, time
import redis
from celery import Celery

BROKER = os.environ["BROKER"]
store = redis.Redis.from_url(BROKER)
app = Celery("tasks", broker=BROKER)
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_connection_retry_on_startup = True
app.conf.task_acks_late = "LATE" in os.environ

def finish(tenth):
    store.hincrby("begun", tenth, 1)
    while (asked_at := store.get("asked_at")) is None:
        time.sleep(0.02)
    time.sleep(max(0.0, float(asked_at) + tenth / 10 * float(os.environ["GRACE"]) - time.time()))
    store.hincrby("done", tenth, 1)

celery_finish = app.task(finish, name="finish")
"""

CELERY_ENQUEUES = (
    "import sys, tasks\nfor n in sys.argv[1:]: tasks.celery_finish.apply_async((int(n),), queue=f'q{n}')\n"
)
RQ_ENQUEUES = """
import sys, rq, tasks
for n in sys.argv[1:]:
    rq.Queue(f'q{n}', connection=tasks.store).enqueue('tasks.finish', int(n), job_timeout=600)
"""


class System(NamedTuple):
    """A queue: the command of the worker of one queue, what fills the queues, and its environment."""

    worker: str
    enqueues: str
    env: dict[str, str]


CELERY = "celery -A tasks worker -c 1 -n $PS@%h --loglevel INFO -Q"
SYSTEMS = {
    "Celery": System(CELERY, CELERY_ENQUEUES, {}),
    "Celery, `acks_late`": System(CELERY, CELERY_ENQUEUES, {"LATE": "1"}),
    "Celery behind a shell (`cd . && celery …`)": System(f"cd . && {CELERY}", CELERY_ENQUEUES, {}),
    "RQ": System("rq worker --url $BROKER", RQ_ENQUEUES, {}),
}


class Trial(NamedTuple):
    """A formation of workers `w1` to `w9`, each with the task of that tenth under way."""

    world: World
    supervisor: Supervisor
    tenths: tuple[int, ...]
    grace: float
    redis_port: int

    @property
    def types(self) -> list[str]:
        return [f"w{n}" for n in self.tenths]

    def redis(self, *words: str) -> str:
        command = ["redis-cli", "-p", str(self.redis_port), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()

    def count(self, key: str) -> int:
        return int(self.redis("HLEN", key))

    def verb(self, *words: str) -> None:
        where = {"cwd": self.world.folder, "env": self.world.env}
        subprocess.run([self.world.bin, *words], check=True, timeout=SLOW, capture_output=True, **where)


def _anew(trial: Trial, *words: str) -> None:
    """By a verb after which other processes run."""
    before = trial.supervisor.pids()
    trial.verb(*words)

    def all_anew(now: dict[str, dict[str, object]]) -> bool:
        return all(row["pid"] not in (None, before[name]) for name, row in now.items())

    eventually(lambda: all_anew(trial.supervisor.ps()), "all run anew", SLOW)


def _settings(world: World, tenths: tuple[int, ...], grace: float, *, changed: str) -> None:
    ready = {"log": r"ready\.$|Listening on"}
    settings = {"ready": ready, "stop": {"grace": grace}, "env": {"CHANGED": changed}}
    world.file("procman.yml", json.dumps({"processes": {f"w{n}": settings for n in tenths}}))


def _reload(trial: Trial) -> None:
    _settings(trial.world, trial.tenths, trial.grace, changed="1")
    _anew(trial, "reload")


def _interrupt(trial: Trial) -> None:
    trial.supervisor.signal(signal.SIGINT)
    assert trial.supervisor.wait(SLOW) == 0


def _shutdown(trial: Trial) -> None:
    trial.verb("shutdown")
    assert trial.supervisor.wait(SLOW) == 0


def _kill(trial: Trial) -> None:
    guardian = guardian_of(trial.supervisor)
    trial.supervisor.signal(signal.SIGKILL)
    trial.supervisor.wait(SLOW)
    eventually(lambda: not alive(guardian), "the guardian is done", SLOW)


WAYS: dict[str, Callable[[Trial], None]] = {
    "`stop`": lambda trial: trial.verb("stop", *trial.types),
    "`scale` down": lambda trial: trial.verb("scale", "--wait=60", *(f"{name}=0" for name in trial.types)),
    "`restart`": lambda trial: _anew(trial, "restart", *trial.types),
    "`reload`": _reload,
    "`shutdown`": _shutdown,
    "Ctrl-C": _interrupt,
    "`kill -9` of procman": _kill,
}


@contextmanager
def redis_server(folder: Path, port: int) -> Iterator[None]:
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            ping = ["redis-cli", "-p", str(port), "PING"]
            eventually(lambda: subprocess.run(ping, capture_output=True, check=False).stdout == b"PONG\n", "redis")
            yield
        finally:
            server.terminate()


def done_once(world: World, system: System, way: str, tenths: tuple[int, ...], grace: float) -> int:
    """How many of these tasks were done once, and nothing of them was left in the queues."""
    port = free_ports(600)
    broker = f"redis://127.0.0.1:{port + 599}/0"
    world.env |= {"BROKER": broker, "GRACE": str(grace), **system.env}
    world.env["PATH"] = f"{Path(sys.executable).parent}:{world.env['PATH']}"
    world.file("tasks.py", TASKS)
    world.procfile(**{f"w{n}": f"{system.worker} q{n}" for n in tenths})
    _settings(world, tenths, grace, changed="0")
    with redis_server(world.folder, port + 599):
        trial = Trial(world, world.start("-p", str(port)), tenths, grace, port + 599)
        eventually(lambda: all(r["phase"] == "ready" for r in trial.supervisor.ps().values()), "all ready", SLOW)
        enqueue = [sys.executable, "-c", system.enqueues, *map(str, tenths)]
        subprocess.run(enqueue, cwd=world.folder, env=world.env, check=True, timeout=SLOW)
        eventually(lambda: trial.count("begun") == len(tenths), "all tasks have begun", SLOW)
        trial.redis("SET", "asked_at", str(time.time()))
        WAYS[way](trial)
        left = [
            n for n in tenths if trial.redis("LLEN", f"q{n}") != "0" or trial.redis("LLEN", f"rq:queue:q{n}") != "0"
        ]
        unfinished = trial.count("unacked") + sum(
            int(trial.redis("ZCARD", f"rq:{kind}:q{n}")) for kind in ("wip", "failed") for n in tenths
        )
        counts = trial.redis("HVALS", "done").split()
        return 0 if left or unfinished else counts.count("1")


def main(only: str = "", way_only: str = "") -> None:
    tenths, grace = tuple(range(1, 10)), 10.0
    ways = [way for way in WAYS if way_only in way]
    print(f"| {' | '.join(('', *ways))} |\n|{'---|' * (len(ways) + 1)}", flush=True)
    for name, system in SYSTEMS.items():
        if only not in name:
            continue
        cells = []
        for way in ways:
            with tempfile.TemporaryDirectory() as folder:
                world = World(Path(folder))
                try:
                    cells.append(f"{done_once(world, system, way, tenths, grace)} of {len(tenths)}")
                finally:
                    world.close()
        print(f"| {' | '.join((name, *cells))} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
