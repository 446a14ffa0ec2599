"""Stores as types of a formation: a stop is an orderly one, with a client connected, too."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from harness import eventually
from serving import up
from system import SLOW, established, needs, serves


@needs("memcached")
def test_memcached_stops_on_term(server):
    supervisor, port = up(server, "memcached -p $PORT -l 127.0.0.1 -u nobody", max=1)
    assert supervisor.stop(SLOW) == 0
    assert "killed" not in supervisor.seen
    assert not serves(port)


@needs("redis-server")
def test_redis_writes_its_file_and_says_goodbye_on_term(server):
    supervisor, _ = up(server, "redis-server --port $PORT --save 3600 1 --dir .", max=1)
    assert supervisor.stop(SLOW) == 0
    assert "bye bye" in "\n".join(supervisor.lines("web.1"))


@needs("postgres", "initdb", "psql", "setpriv")
def test_postgres_stops_on_int_though_a_client_is_connected(server_for_all):
    """On TERM it would wait for the client, and be killed at the end of the grace."""
    folder = server_for_all.world.folder / "data"
    folder.mkdir()
    user = ""
    if os.getuid() == 0:  # as which postgres does not run
        user = "setpriv --reuid 65534 --regid 65534 --clear-groups "
        os.chown(folder, 65534, 65534)
    initdb = [*user.split(), "initdb", "-D", "data", "-U", "me", "-A", "trust", "-N"]
    subprocess.run(initdb, check=True, capture_output=True, timeout=SLOW, cwd=folder.parent)
    command = f"{user}postgres -D data -p $PORT -h 127.0.0.1 -k ''"
    supervisor, port = up(server_for_all, command, max=1, stop={"signal": "INT", "grace": 60})
    with connected_to_postgres(port):
        assert supervisor.stop(SLOW) == 0
    assert "killed" not in supervisor.seen
    assert "database system is shut down" in "\n".join(supervisor.lines("web.1"))


@contextmanager
def connected_to_postgres(port: int) -> Iterator[None]:
    """A client whose query lasts for longer than any test."""
    query = "do $$ begin raise notice 'connected'; perform pg_sleep(300); end $$"
    command = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "me", "-c", query, "postgres"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as client:
        assert client.stderr is not None
        assert b"connected" in client.stderr.readline()
        yield


@needs("mariadbd", "mariadb-install-db", "mariadb")
def test_mariadb_stops_in_order_in_the_midst_of_a_query(server):
    data, user = server.world.folder / "data", "--user=root " if os.getuid() == 0 else ""
    made = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run([*made, *user.split()], check=True, capture_output=True, timeout=SLOW)
    command = f"mariadbd --no-defaults --datadir={data} {user}--bind-address=127.0.0.1 --port=$PORT --socket=$PS.sock"
    supervisor, port = up(server, command, max=1, stop={"grace": 60})
    client = ["mariadb", "--no-defaults", "-uroot", "-h127.0.0.1", f"-P{port}", "-e"]
    with subprocess.Popen(
        [*client, "select sleep(300)"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as query:
        eventually(lambda: established(port) > 0, "the query runs")
        assert supervisor.stop(SLOW) == 0
        assert query.wait(SLOW) != 0
    assert "killed" not in supervisor.seen
    assert "mariadbd: Shutdown complete" in "\n".join(supervisor.lines("web.1"))
