"""Servers as people run them: each starts, serves on its PORT, and ends as its authors mean it to."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from harness import World, alive, children_of, eventually, guardian_of


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def serves(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@needs("redis-server")
def test_redis_saves_and_leaves_although_it_overwrites_its_environment(world: World) -> None:
    port = free_port()
    world.procfile(redis="redis-server --port $PORT --bind 127.0.0.1 --save '' --daemonize no")
    supervisor = world.start("-p", str(port), "-t", "15")
    supervisor.expect("Ready to accept connections")
    assert serves(port)
    assert supervisor.stop() == 0
    assert "bye bye" in supervisor.seen
    assert not serves(port)


@needs("redis-server")
def test_a_redis_that_daemonizes_is_ended_with_procman(world: World) -> None:
    """It leaves its session and overwrites its environment, so that nobody knows whose it is; it is adopted all the same."""
    port = free_port()
    world.procfile(redis=f"redis-server --port {port} --bind 127.0.0.1 --save '' --daemonize yes; exec sleep 1000")
    supervisor = world.start("-t", "10")
    eventually(lambda: serves(port), "redis serves")
    eventually(lambda: len(children_of(supervisor.pid)) == 2, "adopted")
    assert supervisor.stop() == 0
    assert not serves(port)


@needs("haproxy")
@pytest.mark.parametrize("mode", ["-db", "-W"])
def test_haproxy_stops_alone_and_as_master_with_workers(world: World, mode: str) -> None:
    port = free_port()
    world.file(
        "haproxy.cfg",
        "defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n"
        f"frontend f\n  bind 127.0.0.1:{port}\n",
    )
    world.procfile(proxy=f"haproxy {mode} -f haproxy.cfg")
    supervisor = world.start("-t", "15")
    eventually(lambda: serves(port), "haproxy serves")
    assert supervisor.stop() == 0
    assert not serves(port)
    assert "killed" not in supervisor.seen


@needs("node")
def test_node_serves_on_its_port_and_stops(world: World) -> None:
    port = free_port()
    world.file(
        "server.js",
        "require('http').createServer((q, a) => a.end('hello')).listen(+process.env.PORT, '127.0.0.1',"
        " () => console.log('listening'))\n",
    )
    world.procfile(web="node server.js")
    supervisor = world.start("-p", str(port))
    supervisor.expect("listening$")
    assert serves(port)
    assert supervisor.stop() == 0
    assert not serves(port)


@needs("erl", "epmd")
def test_epmd_serves_all_nodes_of_its_type_and_ends_with_the_last(world: World) -> None:
    """The first node starts it as a daemon; stopping that node must not take it from the second."""
    port = free_port()
    world.env |= {"ERL_EPMD_PORT": str(port), "ERL_EPMD_ADDRESS": "127.0.0.1"}
    world.procfile(node=f"exec erl -noshell -noinput -sname n$PROCMAN_INDEX-{os.getpid()} -eval 'io:format(\"up~n\")'")
    supervisor = world.start("-m", "node=1", "-t", "15")
    supervisor.expect("up$")
    (epmd,) = supervisor.until(lambda now: now["node.1"]["adopted"], "epmd is adopted")["node.1"]["adopted"]
    supervisor.ask("scale", to={"node": 2})
    supervisor.expect("up$")
    supervisor.ask("stop", names=["node.1"])
    supervisor.phase(node_1="stopped")
    assert alive(epmd)
    assert serves(port)
    supervisor.ask("stop", names=["node.2"])
    supervisor.phase(node_2="stopped")
    eventually(lambda: not alive(epmd), "epmd has ended")
    assert supervisor.stop() == 0


@needs("erl", "epmd", "redis-server")
def test_erlang_its_epmd_and_a_daemonized_redis_end_when_procman_is_killed(world: World) -> None:
    """Erlang may hang on TERM once nobody reads its output, epmd serves all nodes, redis has overwritten its environment."""
    epmd, redis = free_port(), free_port()
    world.env |= {"ERL_EPMD_PORT": str(epmd), "ERL_EPMD_ADDRESS": "127.0.0.1"}
    world.procfile(
        node=f"exec erl -noshell -noinput -sname k$PROCMAN_INDEX-{os.getpid()} -eval 'io:format(\"up~n\")'",
        redis=f"redis-server --port {redis} --bind 127.0.0.1 --save '' --daemonize yes; exec sleep 1000",
    )
    supervisor = world.start("-m", "node=2", "-t", "4")
    supervisor.expect("up$")
    supervisor.expect("up$")
    eventually(lambda: serves(redis) and serves(epmd), "redis and epmd serve")
    guardian = guardian_of(supervisor)
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: not alive(guardian), "the guardian is done")
    assert world.left() == []
    assert not serves(redis)
    assert not serves(epmd)


@needs("npm", "node")
def test_npm_start_restarts_and_stops_without_an_orphan(world: World) -> None:
    world.file("package.json", '{"name": "x", "version": "1.0.0", "scripts": {"start": "node server.js && true"}}')
    world.file("server.js", "setInterval(() => {}, 1000); console.log('up', process.pid)\n")
    world.env["npm_config_update_notifier"] = "false"
    world.procfile(web="npm start")
    supervisor = world.start("-t", "15")
    first = int(supervisor.expect(r"up (\d+)")[1])
    supervisor.ask("restart", names=["web"])
    second = int(supervisor.expect(r"up (\d+)")[1])
    assert first != second
    assert not alive(first), "two runs overlap"
    assert supervisor.stop() == 0
    assert not alive(second)


@needs("nginx")
def test_nginx_stops_with_its_workers(world: World) -> None:
    port = free_port()
    world.file(
        "nginx.conf",
        f"daemon off; pid {world.folder}/nginx.pid; error_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{port}; }} }}\n",
    )
    world.procfile(web=f"nginx -c {world.folder}/nginx.conf -p {world.folder}")
    supervisor = world.start("-t", "15")
    eventually(lambda: serves(port), "nginx serves")
    assert supervisor.stop() == 0
    assert not serves(port)


def _has_celery() -> bool:
    done = subprocess.run([sys.executable, "-c", "import celery"], capture_output=True)
    return done.returncode == 0


@pytest.mark.skipif(not _has_celery(), reason="celery cannot be imported")
def test_celery_finishes_its_task_before_it_leaves(world: World) -> None:
    broker = world.folder / "broker"
    (broker / "in").mkdir(parents=True)
    world.file(
        "jobs.py",
        "import os, time\nfrom celery import Celery\n"
        "app = Celery('jobs', broker='filesystem://')\n"
        f"app.conf.broker_transport_options = {{'data_folder_in': '{broker}/in', 'data_folder_out': '{broker}/in'}}\n"
        "@app.task\n"
        "def slow():\n    os.write(1, b'task begun\\n'); time.sleep(2); os.write(1, b'task finished\\n')\n",
    )
    world.procfile(worker=f"{sys.executable} -m celery -A jobs worker -l INFO -c 2 -P prefork")
    supervisor = world.start("-t", "20")
    supervisor.expect(r"ready\.")
    subprocess.run([sys.executable, "-c", "import jobs; jobs.slow.delay()"], cwd=world.folder, check=True)
    supervisor.expect("task begun")
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait() == 0
    assert "task finished" in supervisor.seen
    assert Path(broker).exists()
