"""redis, postgres, a migration, a web server and a worker: up in order, down the other way round, and tests run against it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Done, Supervisor, eventually, open_world
from system import SLOW, Example, get, needs

pytestmark = needs("redis-server", "redis-cli", "postgres", "initdb", "psql", "setpriv", modules=("celery", "redis"))

TASKS = """
import os, time
import redis
from celery import Celery
store = redis.Redis(port=int(os.environ["PROCMAN_PORT_REDIS"]))
app = Celery("tasks", broker=f"redis://127.0.0.1:{os.environ['PROCMAN_PORT_REDIS']}/0")
app.conf.update(worker_prefetch_multiplier=1, task_acks_late=True)
@app.task
def work(seconds):
    store.incr("begun")
    time.sleep(seconds)
"""

WEB = """
import http.server, os, subprocess
count = subprocess.run([*os.environ["PSQL"].split(), "-tAc", "select count(*) from pages"], capture_output=True, text=True, check=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = count.stdout.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

MIGRATE = "create table if not exists pages (id int); delete from pages; insert into pages values (1), (2), (3)"
WORKER = "celery -A tasks worker -l INFO -P prefork -c 2 -n $PS@%h --without-gossip --without-mingle"


@pytest.fixture
def stack() -> Iterator[Example]:
    with open_world() as world:
        made = Example(world)
        data = world.folder / "data"
        data.mkdir()
        user = ""
        if os.getuid() == 0:  # as which postgres does not run
            user = "setpriv --reuid 65534 --regid 65534 --clear-groups "
            os.chown(data, 65534, 65534)
        initdb = [*user.split(), "initdb", "-D", "data", "-U", "me", "-A", "trust", "-N"]
        subprocess.run(initdb, check=True, capture_output=True, timeout=SLOW, cwd=world.folder)
        world.env["PATH"] = f"{Path(sys.executable).parent}:{world.env['PATH']}"
        world.env["PSQL"] = f"psql -h 127.0.0.1 -p {made.port + 100} -U me -d postgres"
        world.file("tasks.py", TASKS)
        world.file("web.py", WEB)
        world.procfile(
            redis="redis-server --port $PORT --save '' --appendonly no",
            postgres=f"{user}postgres -D data -p $PORT -h 127.0.0.1 -k ''",
            web="python3 web.py",
            worker=WORKER,
            migrate=f'$PSQL -c "{MIGRATE}"',
        )
        settings = {
            "redis": {"ready": "tcp", "max": 1},
            "postgres": {
                "ready": {"exec": f"pg_isready -h 127.0.0.1 -p {made.port + 100}"},
                "stop": {"signal": "INT"},
                "max": 1,
            },
            "migrate": {"oneshot": True, "depends_on": ["postgres"]},
            "web": {"ready": {"http": "/"}, "depends_on": ["redis", "migrate"]},
            "worker": {"ready": {"log": "ready\\.$"}, "depends_on": ["redis", "migrate"], "stop": {"grace": 60}},
        }
        world.file("procman.yml", json.dumps({"processes": settings}))
        yield made


def order_of(events: str, kind: str, before: int = 0) -> list[str]:
    """The types in the order of their events of this kind."""
    changes = [json.loads(line) for line in events.splitlines()[before:]]
    return [change["type"] for change in changes if change["event"] == kind]


def up(stack: Example) -> Supervisor:
    supervisor = stack.start()
    supervisor.ps()  # it listens
    done = stack.run("wait")
    assert done.code == 0, done
    return supervisor


def run(stack: Example, *words: str) -> Done:
    """`procman start`, to its end."""
    command = [stack.world.bin, "start", "-p", str(stack.port), *words]
    done = subprocess.run(
        command, cwd=stack.world.folder, env=stack.world.env, capture_output=True, text=True, timeout=SLOW
    )
    return Done(done.returncode, done.stdout, done.stderr)


def begun(stack: Example) -> int:
    """How many tasks have begun in a process of the pool: one that was only delivered to the worker has not."""
    command = ["redis-cli", "-p", str(stack.port), "GET", "begun"]
    return int(subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip() or 0)


def test_it_comes_up_in_order_and_goes_down_the_other_way_round(stack):
    supervisor = up(stack)
    pids = {name: row["pid"] for name, row in supervisor.ps().items() if row["pid"]}
    born = {
        name: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) for name, pid in pids.items()
    }
    assert max(born["redis.1"], born["postgres.1"]) <= min(born["web.1"], born["worker.1"])
    assert get(stack.port_of("web.1")) == (200, "3\n")  # the migration was done before it
    supervisor.expect(r"ready after .*: (postgres \S+, migrate|redis) \S+, (web|worker) ")
    with stack.world.popen("events", "--json") as client:
        assert client.stdout is not None
        eventually(lambda: supervisor.clients() > 0, "it listens")
        assert supervisor.stop(SLOW) == 0
        events = client.stdout.read().decode()
    stopped = order_of(events, "stopped")
    assert sorted(stopped) == ["postgres", "redis", "web", "worker"], events
    assert set(stopped[:2]) == {"web", "worker"}
    assert set(stopped[2:]) == {"redis", "postgres"}
    assert "killed" not in supervisor.seen


def test_ctrl_c_amid_twenty_tasks_leaves_none_unacknowledged(stack):
    supervisor = up(stack)
    send = "import tasks\nfor _ in range(20): tasks.work.delay(2.0)"
    env = stack.world.env | {"PROCMAN_PORT_REDIS": str(stack.port)}
    subprocess.run([sys.executable, "-c", send], cwd=stack.world.folder, env=env, check=True, timeout=SLOW)
    eventually(lambda: begun(stack) >= 2, "two run", SLOW)
    with subprocess.Popen(
        ["redis-cli", "-p", str(stack.port), "monitor"], stdout=subprocess.PIPE, text=True
    ) as monitor:
        assert monitor.stdout is not None
        assert "OK" in monitor.stdout.readline()
        supervisor.signal(signal.SIGINT)
        assert supervisor.wait(SLOW) == 0
        asked = monitor.stdout.read()
    # Each delivery is put into `unacked`, and taken out when it is done or given back: HSET and HDEL by its tag.
    assert '"HDEL" "unacked"' in asked
    assert unacked_by(asked) == set()
    assert "killed" not in supervisor.seen


def unacked_by(asked: str) -> set[str]:
    """The tags that were given out while somebody listened and neither acknowledged nor given back."""
    tags: set[str] = set()
    for line in asked.splitlines():
        words = [word.strip('"') for word in line.split()[3:]]
        if words[:2] == ["HSET", "unacked"]:
            tags.add(words[2])
        elif words[:2] == ["HDEL", "unacked"]:
            tags.discard(words[2])
    return tags


@pytest.mark.parametrize(("test", "status"), [("assert True", 0), ("assert False", 1), ("pytest.exit('x', 7)", 7)])
def test_start_then_pytest_ends_as_pytest_ends_and_leaves_nothing(stack, test, status):
    ask = "urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['PROCMAN_PORT_WEB']}/\").read()"
    text = f"import os, urllib.request, pytest\ndef test_it():\n    assert {ask} == b'3\\n'\n    {test}\n"
    stack.world.file("check/test_it.py", text)
    stack.world.file("check/pytest.ini", "[pytest]\n")
    done = run(stack, "--then", f"{sys.executable} -m pytest -q -p no:cacheprovider check")
    assert done.code == status, done
    assert stack.world.left() == []


def test_a_wait_that_is_too_short_ends_with_124(stack):
    stack.world.procfile(web="exec sleep 1000")
    stack.world.file("procman.yml", "processes: {web: {ready: {file: never}}}")
    supervisor = stack.start()
    supervisor.phase(web_1="starting")
    assert stack.run("wait", "web", "--timeout", "0.2").code == 124
    assert supervisor.stop(SLOW) == 0
