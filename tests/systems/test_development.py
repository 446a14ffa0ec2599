"""What developers run: servers that reload themselves, programs that go to the background, and shells that are typed into."""

from __future__ import annotations

import signal

import pytest
from harness import eventually
from serving import up
from system import SLOW, get, needs, serves

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
