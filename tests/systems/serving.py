"""A server as the type `web`, and a stop while a request is under way."""

from __future__ import annotations

from typing import Any

from harness import Supervisor, eventually
from system import SLOW, Example, serves, under_way

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
    # A process that is asked in its first two seconds is asked once more, and a second signal ends some at once.
    eventually(lambda: all((row["uptime"] or 2) >= 2 for row in supervisor.ps().values()), "none is young", SLOW)
    request = under_way(supervisor, port, path)
    assert supervisor.stop(SLOW) == 0
    status, body = request.result()
    assert status == 200, body
    assert "killed" not in supervisor.seen
    assert not serves(port)
    return body
