"""The usual servers, each with what docs/how-to/known-programs.md advises for it: a stop finishes what is under way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Supervisor, eventually
from serving import ASGI, WSGI, finishes_its_request, up
from system import SLOW, Example, established, fails, get, needs, serves

PHP_FPM = next(
    (name for name in ("php-fpm8.4", "php-fpm8.2", "php-fpm") if shutil.which(name, path=f"/usr/sbin:{os.defpath}")),
    None,
)

GUNICORNC = Path(sys.executable).parent / "gunicornc"
"""The client of Gunicorn's control socket."""

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


@pytest.mark.skipif(not GUNICORNC.exists(), reason="not installed: gunicorn, 25 or later")
def test_instances_of_gunicorn_are_controlled_one_by_one_through_sockets_of_their_own(server):
    """Since 25 all those of a user listen on the same socket otherwise, and the first that stops removes it."""
    server.world.file("app.py", WSGI)
    server.one('gunicorn --control-socket "$PS.ctl" -b 127.0.0.1:$PORT app:app', ready="tcp")
    supervisor = server.start("-m", "web=2")
    eventually(lambda: controlled(server, supervisor) == {"web.1", "web.2"}, "both answer", SLOW)
    assert server.run("scale", "web=1", "--wait=60").code == 0
    eventually(lambda: controlled(server, supervisor) == {"web.1"}, "the other one answers still", SLOW)
    os.kill(supervisor.ps()["web.1"]["pid"], signal.SIGKILL)
    eventually(lambda: supervisor.ps()["web.1"]["restarts"] == 1, "it is started again", SLOW)
    eventually(
        lambda: controlled(server, supervisor) == {"web.1"}, "it answers in place of the one that was killed", SLOW
    )
    assert supervisor.stop(SLOW) == 0


def controlled(server: Example, supervisor: Supervisor) -> set[str]:
    """The instances that answer at the socket of their name."""
    answering = set()
    for name, row in supervisor.ps().items():
        asked = [GUNICORNC, "-s", f"{name}.ctl", "-j", "-c", "show all"]
        done = subprocess.run(asked, cwd=server.world.folder, capture_output=True, check=False, timeout=SLOW)
        if done.returncode == 0 and json.loads(done.stdout)["arbiter"]["pid"] == row["pid"]:
            answering.add(name)
    return answering


def children(pid: int) -> set[int]:
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("uvicorn app:app --port $PORT", marks=needs(modules=("uvicorn",)), id="uvicorn"),
        pytest.param("uvicorn app:app --port $PORT --workers 2", marks=needs(modules=("uvicorn",)), id="uvicorn-2"),
        pytest.param("hypercorn app:app -b 127.0.0.1:$PORT", marks=needs(modules=("hypercorn",)), id="hypercorn"),
        pytest.param("granian --interface asgi --port $PORT app:app", marks=needs(modules=("granian",)), id="granian"),
    ],
)
def test_an_asgi_server_answers_the_request_in_flight_on_term(server, command):
    server.world.file("app.py", ASGI)
    supervisor, port = up(server, command)
    eventually(lambda: get(port)[0] == 200, "a worker answers", SLOW)
    assert finishes_its_request(supervisor, port) == "slept"


@needs(modules=("waitress",))
def test_waitress_answers_the_request_in_flight_on_int(server):
    server.world.file("app.py", WSGI)
    supervisor, port = up(server, "waitress-serve --host 127.0.0.1 --port $PORT app:app", stop={"signal": "INT"})
    assert finishes_its_request(supervisor, port) == "slept"


BEHIND = """
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1.5)
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"slept")
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

CADDY = """
{
    admin off
    auto_https off
}
http://127.0.0.1:{$PORT} {
    reverse_proxy 127.0.0.1:{$PROCMAN_PORT_BEHIND}
}
"""

LIGHTTPD = """
server.document-root = env.PWD
server.bind = "127.0.0.1"
server.port = env.PORT
server.modules = ( "mod_proxy" )
proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => env.PROCMAN_PORT_BEHIND )))
"""


@pytest.mark.parametrize(
    ("command", "file", "text", "stop"),
    [
        pytest.param(
            "caddy run --config Caddyfile --adapter caddyfile",
            "Caddyfile",
            CADDY,
            "TERM",
            marks=needs("caddy"),
            id="caddy",
        ),
        pytest.param(
            "lighttpd -D -f lighttpd.conf", "lighttpd.conf", LIGHTTPD, "INT", marks=needs("lighttpd"), id="lighttpd"
        ),
    ],
)
def test_a_proxy_answers_the_request_in_flight(server, command, file, text, stop):
    """It depends on what is behind it, and so it is stopped first."""
    server.world.file(file, text)
    server.world.file("behind.py", BEHIND)
    server.world.procfile(web=command, behind=f"{sys.executable} behind.py")
    web = {"ready": "tcp", "depends_on": ["behind"], "stop": {"signal": stop}}
    server.world.file("procman.yml", json.dumps({"processes": {"web": web, "behind": {"ready": "tcp"}}}))
    supervisor = server.start()
    eventually(lambda: supervisor.ps()["web.1"]["phase"] == "ready", "it is ready", SLOW)
    assert finishes_its_request(supervisor, server.port_of("web.1")) == "slept"


FPM = """
[global]
daemonize = no
error_log = /dev/stderr
process_control_timeout = 30
[www]
listen = 127.0.0.1:PORT
user = nobody
group = nogroup
pm = static
pm.max_children = 2
"""


@pytest.mark.skipif(PHP_FPM is None, reason="not installed: php-fpm")
@pytest.mark.skipif(os.getuid() != 0, reason="only root gives its workers a user")
def test_php_fpm_answers_the_request_in_flight_on_quit(server_for_all):
    """Where its process_control_timeout says so: it is 0 by default."""
    world = server_for_all.world
    script = world.file("slow.php", "<?php sleep(2); echo 'slept';")
    world.file("fpm.conf", FPM.replace("PORT", str(server_for_all.port)))
    supervisor, port = up(server_for_all, f"{PHP_FPM} -F -y fpm.conf", stop={"signal": "QUIT", "grace": 60})
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(fastcgi, port, str(script))
        eventually(lambda: established(port) > 0, "the request is accepted")
        assert supervisor.stop(SLOW) == 0
        assert b"slept" in answer.result(SLOW)
    assert "killed" not in supervisor.seen


def fastcgi(port: int, script: str) -> bytes:
    """What a FastCGI server sends for a script (FastCGI 1.0: begin, parameters, an empty input)."""
    variables = {"SCRIPT_FILENAME": script, "REQUEST_METHOD": "GET", "GATEWAY_INTERFACE": "CGI/1.1"}
    pairs = b"".join(bytes([len(k), len(v)]) + k.encode() + v.encode() for k, v in variables.items())
    records = [(1, bytes([0, 1, 0, 0, 0, 0, 0, 0])), (4, pairs), (4, b""), (5, b"")]
    sent = b"".join(struct.pack("!BBHHBB", 1, kind, 1, len(text), 0, 0) + text for kind, text in records)
    with socket.create_connection(("127.0.0.1", port), SLOW) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(4096), b""))


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
