"""The usual servers, each with what docs/how-to/known-programs.md advises for it: a stop finishes what is under way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import Supervisor, eventually, open_world
from system import SLOW, Example, fails, get, needs, serves, under_way

VENV = Path(sys.executable).parent

WSGI = """
import os, time
def app(environ, start):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1.5)
    start("200 OK", [("Content-Type", "text/plain")])
    return [os.environ.get("ANSWER", "slept").encode()]
application = app
"""

ASGI = """
import asyncio
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"slept"})
"""

NGINX = """
user root; daemon off; master_process on; worker_processes 1; pid nginx.pid; error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    server { listen 127.0.0.1:PORT; root FOLDER; location = /slow { limit_rate 400; } }
}
"""

APACHE = """
ServerRoot FOLDER
ServerName localhost
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule env_module /usr/lib/apache2/modules/mod_env.so
LoadModule ratelimit_module /usr/lib/apache2/modules/mod_ratelimit.so
PidFile apache.pid
DefaultRuntimeDir FOLDER
ErrorLog /dev/stderr
Listen 127.0.0.1:${PORT}
DocumentRoot FOLDER/public
<Location "/slow">
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit 16
</Location>
"""

PUMA = """
app do |env|
  sleep 1.5 if env["PATH_INFO"] == "/slow"
  [200, {"Content-Type" => "text/plain"}, ["slept"]]
end
"""


@pytest.fixture
def server(world) -> Example:
    """With the programs of this interpreter in PATH."""
    made = Example(world)
    world.env["PATH"] = f"{VENV}:{world.env['PATH']}"
    return made


def up(server: Example, command: str, **settings: Any) -> tuple[Supervisor, int]:
    """The server, listening on its port."""
    server.one(command, **({"ready": "tcp"} | settings))
    supervisor = server.start()
    eventually(lambda: supervisor.ps()["web.1"]["phase"] == "ready", "it is ready", SLOW)
    port = server.port_of("web.1")
    eventually(lambda: serves(port), "it listens", SLOW)
    return supervisor, port


def finishes_its_request(supervisor: Supervisor, port: int, path: str = "/slow") -> str:
    """Stop all while a request is under way: it is answered, nothing is killed, nothing listens. Returns the answer."""
    request = under_way(supervisor, port, path)
    assert supervisor.stop(SLOW) == 0
    status, body = request.result()
    assert status == 200, body
    assert "killed" not in supervisor.seen
    assert not serves(port)
    return body


@needs("nginx")
def test_nginx_answers_the_request_in_flight_on_quit(server):
    folder = server.world.folder
    text = "x" * 800
    server.world.file("slow", text)
    server.world.file("nginx.conf", NGINX.replace("PORT", str(server.port)).replace("FOLDER", str(folder)))
    supervisor, port = up(server, f"nginx -p {folder} -c nginx.conf -e stderr", stop={"signal": "QUIT"})
    assert finishes_its_request(supervisor, port) == text


@needs("apache2")
def test_apache_answers_the_request_in_flight_on_winch(server):
    folder = server.world.folder
    text = "x" * 32_000
    server.world.file("public/slow", text)
    server.world.file("apache.conf", APACHE.replace("FOLDER", str(folder)))
    supervisor, port = up(server, f"apache2 -D FOREGROUND -f {folder}/apache.conf", stop={"signal": "WINCH"})
    assert finishes_its_request(supervisor, port) == text


@needs(modules=("gunicorn",))
def test_gunicorn_answers_the_request_in_flight_on_term(server):
    server.world.file("app.py", WSGI)
    supervisor, port = up(server, "gunicorn -k gthread --threads 2 -b 127.0.0.1:$PORT app:app")
    assert finishes_its_request(supervisor, port) == "slept"


@needs(modules=("gunicorn",))
def test_gunicorn_reloads_on_hup_to_its_leader_without_a_failed_request(server):
    server.world.file("app.py", WSGI)
    supervisor, port = up(server, "gunicorn -w 2 -b 127.0.0.1:$PORT app:app")
    pid = supervisor.ps()["web.1"]["pid"]
    reloaded = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(fails, port, "/", reloaded) for _ in range(4)]
        for _ in range(2):
            workers = children(pid)
            assert server.run("signal", "HUP", "web", "--leader").code == 0
            eventually(lambda old=workers: children(pid) and not children(pid) & old, "new workers", SLOW)
        reloaded.set()
        assert [failed for one in running for failed in one.result()] == []
    assert supervisor.ps()["web.1"]["pid"] == pid
    assert supervisor.stop(SLOW) == 0


def children(pid: int) -> set[int]:
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@needs(modules=("uvicorn",))
@pytest.mark.parametrize("workers", ["", " --workers 2"])
def test_uvicorn_answers_the_request_in_flight_on_term(server, workers):
    server.world.file("app.py", ASGI)
    supervisor, port = up(server, f"uvicorn app:app --port $PORT{workers}")
    if workers:
        eventually(lambda: get(port)[0] == 200, "a worker answers", SLOW)
    assert finishes_its_request(supervisor, port) == "slept"


@needs("puma")
@pytest.mark.parametrize("workers", ["", " -w 2"])
def test_puma_answers_the_request_in_flight_on_term(server, workers):
    server.world.file("puma.rb", PUMA)
    supervisor, port = up(server, f"puma -C puma.rb -b tcp://127.0.0.1:$PORT{workers}", stop={"grace": 30})
    assert finishes_its_request(supervisor, port) == "slept"


@needs(modules=("uwsgidecorators",))
@pytest.mark.parametrize(("options", "stop"), [("", {"signal": "INT"}), ("--die-on-term", {})], ids=["INT", "TERM"])
def test_uwsgi_stops_on_int_or_with_die_on_term(server, options, stop):
    server.world.file("app.py", WSGI)
    command = f"uwsgi --http-socket 127.0.0.1:$PORT --wsgi-file app.py --master {options}"
    supervisor, port = up(server, command, stop=stop)
    assert get(port) == (200, "slept")
    assert supervisor.stop(SLOW) == 0
    assert "killed" not in supervisor.seen
    assert not serves(port)


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


@pytest.fixture
def server_for_all() -> Iterator[Example]:
    """In a folder that other users may enter."""
    with open_world() as world:
        yield Example(world)


@contextmanager
def connected_to_postgres(port: int) -> Iterator[None]:
    """A client whose query lasts for longer than any test."""
    query = "do $$ begin raise notice 'connected'; perform pg_sleep(300); end $$"
    command = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "me", "-c", query, "postgres"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as client:
        assert client.stderr is not None
        assert b"connected" in client.stderr.readline()
        yield


DJANGO = """
import os, sys
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
settings.configure(DEBUG=True, SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
urlpatterns = [path("", lambda request: HttpResponse("first"))]
if __name__ == "__main__":
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""

FLASK = """
from flask import Flask
app = Flask(__name__)
@app.route("/")
def root():
    return "first"
"""


@pytest.mark.parametrize(
    ("file", "text", "command"),
    [
        pytest.param(
            "manage.py", DJANGO, "python manage.py runserver $PORT", marks=needs(modules=("django",)), id="django"
        ),
        pytest.param("app.py", FLASK, "flask run --debug --port $PORT", marks=needs(modules=("flask",)), id="flask"),
    ],
)
def test_a_reloader_starts_the_server_anew_by_itself(server, file, text, command):
    """procman counts no restart, and a stop leaves neither the reloader nor the server."""
    path = server.world.file(file, text)
    supervisor, port = up(server, command)
    eventually(lambda: get(port) == (200, "first"), "the first version", SLOW)

    def changed() -> bool:
        path.write_text(text.replace("first", "second"))  # again: a reloader has to have seen the file before
        return get(port) == (200, "second")

    eventually(changed, "the second version", SLOW)
    assert supervisor.ps()["web.1"]["restarts"] == 0
    assert supervisor.stop(SLOW) == 0
    assert not serves(port)


def test_check_says_how_to_keep_celery_in_the_foreground(server):
    server.world.procfile(
        worker="celery multi start 2", cache="redis-server --daemonize yes", web="gunicorn --daemon app"
    )
    said = server.run("check").out
    assert "write `celery -A APP worker`" in said
    assert "leave out --daemonize" in said
    assert "leave out --daemon:" in said


@needs("redis-server")
def test_a_server_that_goes_to_the_background_is_a_failed_start_that_says_so(server):
    server.one("redis-server --port $PORT --daemonize yes --save ''", ready="tcp", restart={"max_restarts": 0})
    supervisor = server.start()
    supervisor.expect("must stay in the foreground", SLOW)
    supervisor.signal(signal.SIGTERM)
    supervisor.wait(SLOW)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("python3 -i", marks=needs("python3"), id="python"),
        pytest.param("node -i", marks=needs("node"), id="node"),
        pytest.param("irb", marks=needs("irb"), id="irb"),
        pytest.param("iex", marks=needs("iex"), id="iex"),
    ],
)
def test_a_repl_with_a_terminal_stays_until_it_is_stopped(server, command):
    """Without one it ends at once: its input is empty."""
    server.one(command, tty=True)
    supervisor = server.start()
    eventually(lambda: supervisor.ps()["web.1"]["phase"] == "ready", "it stays", SLOW)
    assert supervisor.stop(SLOW) == 0
