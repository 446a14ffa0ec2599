"""`python tests/systems/under_load.py [CASE …] [--runs N]`: what deploys, scaling and deaths cost in requests, under wrk.

Four Node.js servers behind HAProxy with a static list, and gunicorn on a shared socket. Every figure is wrk's: requests, and
those of them that failed (socket errors and answers other than 2xx and 3xx).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness import Supervisor, World, eventually
from system import SLOW, Example, get

CONNECTIONS = 50
"""Of wrk, in 2 threads."""

NODE = """\
// The example of docs/examples/node, and a lame duck: on USR2 it goes on, and tells those who check it that it is leaving.
"use strict";
const http = require("node:http");
let leaving = false;
let ending = false;
const kept = [];
const server = http.createServer((request, response) => {
  if (leaving) response.setHeader("Connection", "close"); // the next request of this client comes on another one
  const grow = request.url.match(/^\\/grow\\/(\\d+)$/);
  if (request.url === "/health") {
    response.statusCode = leaving ? 503 : 200;
    response.end();
  } else if (grow) {
    kept.push(Buffer.alloc(Number(grow[1]) << 20, 1));
    response.end();
  } else {
    setTimeout(() => response.end("ok\\n"), 20);
  }
});
server.listen(Number(process.env.PORT), "127.0.0.1", 511);
process.on("SIGUSR2", () => { leaving = true; });
process.on("SIGTERM", () => {
  if (ending) return;
  ending = true;
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
"""

HAPROXY = """\
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    option redispatch 1
    retries 3
    log stdout format raw daemon
    option httplog
    option dontlog-normal
    retries 3

frontend main
    bind 127.0.0.1:{front}
    default_backend web
    http-response set-log-level silent  # what failed has no response, and is logged

backend web
    option httpchk GET /health
    default-server check inter 500ms fastinter 200ms downinter 200ms fall 2 rise 1
{servers}
"""

WSGI = """\
import os, time
def app(environ, start):
    time.sleep(0.02)
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\\n"]
"""

RACK = """\
app do |env|
  sleep 0.02
  [200, {"Content-Type" => "text/plain"}, ["ok\\n"]]
end
"""

SHARED_SERVERS = {
    "gunicorn": ("gunicorn -k gthread --threads 16 --no-control-socket app:app", {"ready": "notify"}),
    "puma": ("puma -t 16:16 -C puma.rb -b tcp://127.0.0.1:{port}", {"ready": {"log": "Use Ctrl-C to stop"}}),
    "node": ("node shared.js", {"ready": {"log": "^listening"}, "stop": {"drain": {"signal": "USR2", "seconds": 1}}}),
}
"""How each is started with a socket that it is handed, and its keys."""

INSTANCES = 8
"""Servers in HAProxy's list."""


class Load(NamedTuple):
    """What wrk has counted."""

    requests: int
    failed: int
    text: str


@contextmanager
def wrk(port: int, *, close: bool) -> Iterator[Callable[[], Load]]:
    """wrk until what it returns is called, which gives its figures."""
    header = ("-H", "Connection: close") if close else ()
    command = ["wrk", f"-c{CONNECTIONS}", "-t2", "-d600", *header, f"http://127.0.0.1:{port}/"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def ended() -> Load:
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=SLOW)
        return counted(out)

    try:
        yield ended
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()


def counted(out: str) -> Load:
    """The figures of what wrk has printed."""
    requests = re.search(r"(\d+) requests in", out)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    assert requests, out
    failed = sum(map(int, errors.groups())) if errors else 0
    return Load(int(requests[1]), failed + (int(refused[1]) if refused else 0), out)


# ---- the formations


def behind_haproxy(world: World, settings: str = "") -> tuple[Example, Supervisor, int]:
    """Four lame ducks behind HAProxy, all ready; the port of the front. `settings` are lines for the type `web`."""
    example = Example(world)
    front, first = example.port, example.port + 100
    servers = "\n".join(f"    server web.{n} 127.0.0.1:{first + n - 1}" for n in range(1, INSTANCES + 1))
    world.file("haproxy.cfg", HAPROXY.format(front=front, servers=servers))
    world.file("server.js", NODE)
    world.procfile(lb="haproxy -W -db -f haproxy.cfg", web="node server.js")
    write_settings(world, front, first, settings)
    supervisor = example.start()
    all_ready(supervisor, 5)
    for _ in range(INSTANCES - 4):
        supervisor.expect(r"\] .* Server web/web\.\d is DOWN", SLOW)
    eventually(lambda: get(front)[0] == 200, "an answer", SLOW)
    return example, supervisor, front


def write_settings(world: World, front: int, first: int, more: str = "", drain: str = "") -> None:
    drain = drain or "{signal: USR2, seconds: 2.5}"
    text = f"""\
formation: {{lb: 1, web: 4}}
processes:
  lb: {{port: {front}, depends_on: [web], ready: tcp, stop: {{signal: USR1}}}}
  web:
    port: {first}
    ready: {{http: /health}}
    stop: {{drain: {drain}}}
"""
    world.file("procman.yml", text + "".join(f"    {line}\n" for line in more.splitlines()))


def on_a_shared_socket(world: World, kind: str = "gunicorn") -> tuple[Example, Supervisor, int]:
    """Four servers of a kind on one socket."""
    example = Example(world)
    world.env["PATH"] = f"{Path(sys.executable).parent}:{world.env['PATH']}"
    world.file("app.py", WSGI)
    world.file("puma.rb", RACK)
    shared = NODE.replace('Number(process.env.PORT), "127.0.0.1", 511', '{ fd: 3 }, () => console.log("listening")')
    world.file("shared.js", shared)
    command, keys = SHARED_SERVERS[kind]
    world.procfile(web=command.format(port=example.port))
    web = {"socket": f"tcp://127.0.0.1:{example.port}"} | keys
    world.file("procman.yml", json.dumps({"formation": {"web": 4}, "processes": {"web": web}}))  # which is YAML, too
    supervisor = example.start()
    all_ready(supervisor, 4)
    eventually(lambda: get(example.port)[0] == 200, "an answer", SLOW)
    return example, supervisor, example.port


def all_ready(supervisor: Supervisor, count: int) -> dict[str, int]:
    """Wait until so many instances are there, all ready; their generations."""

    def reached() -> bool:
        rows = supervisor.ps().values()
        return len(rows) == count and all(row["phase"] == "ready" for row in rows)

    eventually(reached, f"{count} are ready", SLOW)
    return generations(supervisor)


def generations(supervisor: Supervisor, of: str = "") -> dict[str, int]:
    return {name: row["generation"] for name, row in supervisor.ps().items() if name.startswith(of)}


def all_renewed(supervisor: Supervisor, before: dict[str, int], runs: int = 1) -> bool:
    """Whether each has had so many new runs. An extra instance that is still there does not count."""
    now = generations(supervisor)
    return all(now.get(name, 0) >= generation + runs for name, generation in before.items())


# ---- what is done under load


def verb(example: Example, *args: str) -> None:
    done = example.run(*args)
    assert done.code == 0, done


def restart(example: Example, supervisor: Supervisor) -> None:
    before = generations(supervisor, "web")
    verb(example, "restart", "web", "--wait=80")
    assert all_renewed(supervisor, before)


def reload(example: Example, supervisor: Supervisor) -> None:
    """With a changed command."""
    before = generations(supervisor, "web")
    procfile = example.world.folder / "Procfile"
    text = re.sub(r"(?m)^web: (?:env VERSION=\S+ )?", f"web: env VERSION={time.monotonic()} ", procfile.read_text())
    procfile.write_text(text)
    verb(example, "reload", "--wait=80")
    assert all_renewed(supervisor, before)


def scale(example: Example, supervisor: Supervisor) -> None:
    for count in (8, 2, 4):
        verb(example, "scale", f"web={count}", "--wait=80")
    rest = len(supervisor.ps()) - len(supervisor.pids("web"))
    all_ready(supervisor, 4 + rest)


def recycle_by_age(example: Example, supervisor: Supervisor) -> None:
    """Everyone is replaced for its age."""
    before = generations(supervisor, "web")
    settings = (example.world.folder / "procman.yml").read_text()
    recycled = settings + "    recycle: {age: 15}\n"
    (example.world.folder / "procman.yml").write_text(recycled)
    verb(example, "reload", "--wait=80")
    eventually(lambda: all_renewed(supervisor, before, 2), "all recycled", SLOW)
    (example.world.folder / "procman.yml").write_text(settings)
    verb(example, "reload", "--wait=80")


def recycle_by_memory(example: Example, supervisor: Supervisor) -> None:
    """Everyone is replaced for its size; it is looked at every ten seconds."""
    settings = (example.world.folder / "procman.yml").read_text()
    (example.world.folder / "procman.yml").write_text(settings + "    recycle: {memory: 200MB}\n")
    verb(example, "reload", "--wait=80")
    all_ready(supervisor, 5)
    before = generations(supervisor, "web")
    for name, row in supervisor.ps().items():
        if name.startswith("web"):
            assert get(row["port"], "/grow/200")[0] == 200
    eventually(lambda: all_renewed(supervisor, before), "recycled", SLOW)
    (example.world.folder / "procman.yml").write_text(settings)
    verb(example, "reload", "--wait=80")


def lost(supervisor: Supervisor) -> dict[str, int]:
    """The requests that HAProxy could not answer by how they ended: `502 SH` was given to a server that then went away, `503 SC`
    to none.
    """
    ends = re.findall(r"lb\.1 .*? (\d{3}) \d+ - - (S\w)", supervisor.seen)
    return {f"{status} {state}": ends.count((status, state)) for status, state in ends}


def kill(example: Example, supervisor: Supervisor) -> None:
    """One of four dies and comes back."""
    pid = supervisor.pids("web")["web.2"]
    os.kill(pid, signal.SIGKILL)
    supervisor.until(lambda now: now["web.2"]["phase"] == "ready" and now["web.2"]["pid"] != pid, "it is back")


DONE = {
    "restart": restart,
    "reload": reload,
    "scale": scale,
    "age": recycle_by_age,
    "memory": recycle_by_memory,
    "kill": kill,
}
"""What is done, by name."""

SHARED = ("restart", "reload", "scale", "kill")
"""What is done to those on a shared socket, too."""


# ---- the script


def lead_in() -> None:
    """wrk has all its connections and the servers are warm."""
    time.sleep(1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("cases", nargs="*", help="what is done (all)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=("haproxy", *SHARED_SERVERS))
    given = parser.parse_args()
    worst = 0
    builders = {"haproxy": behind_haproxy} | {kind: partial(on_a_shared_socket, kind=kind) for kind in SHARED_SERVERS}
    for kind, build in builders.items():
        if given.only not in (None, kind):
            continue
        with tempfile.TemporaryDirectory(prefix="pm-load-") as folder:
            world = World(Path(folder))
            try:
                example, supervisor, port = build(world)
                for case in given.cases or DONE:
                    if kind != "haproxy" and case not in SHARED:
                        continue
                    for close in (False, True):
                        figures = [measured(case, example, supervisor, port, close=close) for _ in range(given.runs)]
                        told = ", ".join(f"{load.failed}/{load.requests}" for load in figures)
                        print(f"{kind:9} {case:8} {'close' if close else 'ka':6} {told}", flush=True)
                        worst = max(worst, *(load.failed for load in figures if case != "kill"), 0)
                assert supervisor.stop(SLOW) == 0
                print(f"{kind:9} answers that HAProxy had to make itself: {lost(supervisor)}", flush=True)
            finally:
                world.close()
    return 1 if worst else 0


def measured(case: str, example: Example, supervisor: Supervisor, port: int, *, close: bool) -> Load:
    with wrk(port, close=close) as ended:
        lead_in()
        DONE[case](example, supervisor)
        lead_in()
        return ended()


if __name__ == "__main__":
    raise SystemExit(main())
