#!/usr/bin/env python3
"""A web application behind HAProxy that is scaled, deployed, reloaded and killed under load, and what that costs requests.

    python tests/balanced_soak.py                      two minutes
    python tests/balanced_soak.py --minutes 60         an hour
    python tests/balanced_soak.py --haproxy PATH       with another HAProxy
    python tests/balanced_soak.py --only kill          the steps whose names hold a word

Each step runs under `wrk -c50` of its own, by turns with kept connections and without, and with an application that answers
after 20 ms and at once. No request may fail, but those in flight in what is killed: the connections of wrk at most for HAProxy,
and for an instance those that it has left unanswered by HAProxy's statistics. At the end the memory and the descriptors of
procman must be what they were after the first round. Needs haproxy, node and wrk.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

PROCMAN = os.environ.get("PROCMAN_TEST_BIN") or str(Path(sys.executable).with_name("procman"))

DEADLINE = 60.0
"""Seconds for everything that has to come about, also on a machine that is busy with other things."""

CONNECTIONS = 50
HANG = 20.0
"""Seconds for which HAProxy is suspended; a tenth of it in the first round, which CI has."""

GROWTH = 4096
"""kB by which procman may be larger at the end than after the first round: what is kept of output and events fills up."""

HAPROXY = """
global
    stats socket unix@haproxy.sock mode 600 level admin expose-fd listeners
    server-state-file haproxy.state
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    option redispatch
    load-server-state-from-file global
frontend front
    bind fd@3
    option idle-close-on-response
    default_backend web
backend web
    balance roundrobin
    server-template web 8 127.0.0.1:1 check inter 1s disabled
"""

APPLICATION = """
const work = Number(process.env.WORK);
const {existsSync} = require('fs');
if (process.env.BROKEN) process.exit(1);
const server = require('http').createServer((request, response) => {
    if (request.url === '/ready' && existsSync('not-yet')) response.statusCode = 503;
    work && request.url === '/' ? setTimeout(() => response.end('ok'), work) : response.end('ok');
});
server.keepAliveTimeout = 120_000;
server.listen(process.env.PORT, '127.0.0.1', 511);
"""
"""It ends at once when it is told to, as no server should: nothing but the balancer keeps its requests. Node.js closes a kept
connection after five idle seconds, unless it is told otherwise: a HAProxy that hung for longer finds those that it kept closed,
with a request on each of them. It is not ready while the file `not-yet` exists."""


class WrongError(Exception):
    """Something did not come about: the run is over."""


class Step(NamedTuple):
    """One thing that is done under load. `work` returns how many requests it may cost: those in flight in what it killed;
    None where it kills nothing that has any.
    """

    name: str
    work: Callable[[Stage, int], int | None]


class Outcome(NamedTuple):
    """What wrk has counted."""

    requests: int
    failed: int


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise WrongError(f"not reached within {DEADLINE:g} s: {what}")
        time.sleep(0.02)


class Server(NamedTuple):
    """A row of HAProxy's statistics. `unanswered`: requests that the server was given, did not answer, and that HAProxy gave
    to no other one.

    Of requests on a connection that was kept HAProxy counts and logs no error: it closes the client's connection, which is
    to try again. The difference has them: 57 of 57, in the run that cost the most.
    """

    status: str
    open: int
    unanswered: int


def server_of(row: dict[str, str]) -> Server:
    answered = sum(int(row[f"hrsp_{kind}"] or 0) for kind in ("1xx", "2xx", "3xx", "4xx", "5xx", "other"))
    given_again = sum(int(row[kind]) for kind in ("econ", "wretr", "wredis"))  # connections that were refused
    return Server(row["status"], int(row["scur"]), int(row["stot"]) - answered - given_again)


def free_ports(count: int) -> int:
    """The first of so many ports in a row that are free, below those that the system gives away by itself."""
    for first in range(11_000 + os.getpid() % 300 * 50, 32_000, 50):
        with suppress(OSError):
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
            return first
    raise WrongError("no ports are free")


class Stage:
    """The formation in a folder of its own."""

    def __init__(self, folder: Path, haproxy: str) -> None:
        self.folder = folder
        self.port = free_ports(20)
        self.version = 0
        self.answers_after = 20
        self.before: dict[str, Server] = {}
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PROCMAN")} | {
            "XDG_RUNTIME_DIR": str(folder)
        }
        (folder / "haproxy.cfg").write_text(HAPROXY)
        (folder / "web.js").write_text(APPLICATION)
        (folder / "Procfile").write_text(f"lb: {haproxy} -W -f haproxy.cfg\nweb: node web.js\n")
        self.configure()

    def configure(self, **env: str | int) -> None:
        """Another deploy."""
        self.version += 1
        env = {"WORK": self.answers_after, "VERSION": self.version, **env}
        processes = {
            "lb": {
                "max": 1,
                "socket": f"tcp://127.0.0.1:{self.port}",
                "ready": {"tcp": self.port},
                "stop": {"signal": "USR1"},
            },
            "web": {
                "env": env,
                "ready": {"http": "/ready", "timeout": 20},
                "restart": {"delay": 0.1},
                "balancer": {"haproxy": {"socket": "haproxy.sock", "file": "haproxy.state"}, "drain": 10},
            },
        }
        settings = {"formation": {"lb": 1, "web": 2}, "processes": processes}
        (self.folder / "procman.yml").write_text(json.dumps(settings))  # which is YAML, too

    @contextmanager
    def running(self) -> Iterator[None]:
        with (self.folder / "log").open("wb") as log:
            words = [PROCMAN, "start", "-p", str(self.port + 1), "--port-step", "10"]
            self.process = subprocess.Popen(words, cwd=self.folder, env=self.env, stdout=log, stderr=log)
        try:
            until(lambda: self.ready() == 2, "two instances")
            self.serves(2)
            yield
        finally:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(DEADLINE)
            self.process.kill()

    def procman(self, *words: str, fails: bool = False) -> str:
        done = subprocess.run(
            [PROCMAN, *words], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120
        )
        if not fails and done.returncode:
            raise WrongError(f"procman {' '.join(words)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def said(self) -> str:
        """The last that procman has written."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def rows(self) -> dict[str, dict]:
        with suppress(json.JSONDecodeError):
            listing = json.loads(self.procman("ps", "--companions", "--json", fails=True))
            return {row["name"]: row for row in (*listing["instances"], *listing["companions"])}
        return {}

    def ready(self) -> int:
        return sum(row["ready"] for name, row in self.rows().items() if name.startswith("web."))

    def serves(self, count: int) -> None:
        """So many instances are ready, HAProxy is, and so is the balancer."""
        until(lambda: self.ready() == count, f"{count} ready instances")
        for name in ("lb.1", "@balancer.1"):
            until(lambda name=name: self.rows().get(name, {}).get("phase") == "ready", f"{name} is ready")

    def rest(self) -> None:
        """Wait until HAProxy has no request any more, and keep its statistics as they are then."""
        self.before = self.settled(lambda now: not any(server.open for server in now.values()), "no request is open")

    @contextmanager
    def not_ready(self) -> Iterator[None]:
        """No instance becomes ready meanwhile."""
        mark = self.folder / "not-yet"
        mark.touch()
        try:
            yield
        finally:
            mark.unlink()

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        pid: int = self.rows()[name]["pid"]
        os.kill(pid, number)
        return pid

    def ask_haproxy(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE)
            connection.connect(str(self.folder / "haproxy.sock"))
            connection.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()

    def servers(self) -> dict[str, Server]:
        """The slots of the backend."""
        rows = csv.DictReader(self.ask_haproxy("show stat").removeprefix("# ").splitlines())
        return {row["svname"]: server_of(row) for row in rows if row["svname"].startswith("web")}

    def slot_of(self, name: str) -> str:
        port = str(self.rows()[name]["port"])
        _version, header, *lines = self.ask_haproxy("show servers state web").splitlines()
        rows = (dict(zip(header.removeprefix("# ").split(), line.split(), strict=False)) for line in lines)
        return next(row["srv_name"] for row in rows if row.get("srv_port") == port)

    def settled(self, is_so: Callable[[dict[str, Server]], bool], what: str) -> dict[str, Server]:
        """HAProxy's servers when this is so: read twice, because it counts while it writes."""
        found: list[dict[str, Server]] = [{}]

        def is_settled() -> bool:
            with suppress(OSError):  # it is just being replaced
                found.append(self.servers())
                return found[-1] == found[-2] and is_so(found[-1])
            return False

        until(is_settled, what)
        return found[-1]

    def haproxies(self) -> list[int]:
        """The master and its workers."""
        master = self.rows()["lb.1"]["pid"]
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [master, *map(int, children)]

    def size(self) -> tuple[int, int]:
        """Resident memory of procman in kB, and its descriptors."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1]), len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @contextmanager
    def load(self, *, close: bool, into: list[Outcome]) -> Iterator[None]:
        words = ["wrk", f"-c{CONNECTIONS}", "-t2", "-d3600", "--timeout", "60"]
        words += ["-H", "Connection: close"] if close else []
        wrk = subprocess.Popen([*words, f"http://127.0.0.1:{self.port}/"], stdout=subprocess.PIPE, text=True)
        try:
            yield
            time.sleep(0.5)  # what a step has broken shows in the requests after it
            wrk.send_signal(signal.SIGINT)
            into.append(outcome(wrk.communicate(timeout=DEADLINE)[0]))
        finally:
            wrk.kill()
            wrk.wait()


def outcome(said: str) -> Outcome:
    """What wrk has counted. A request that took its time has not failed."""
    done = re.search(r"(\d+) requests in", said)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+)", said)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert done is not None, said
    failed = sum(map(int, errors.groups())) if errors else 0
    return Outcome(int(done[1]), failed + (int(refused[1]) if refused else 0))


# ---- the steps; each ends with two instances, as it has begun


def scale(stage: Stage, _round: int) -> None:
    for count in (6, 1, 2):
        stage.procman("scale", f"web={count}", "--wait")


def restart(stage: Stage, _round: int) -> None:
    stage.procman("restart", "web", "--wait")


def restart_the_only_one(stage: Stage, _round: int) -> None:
    """An extra instance comes first."""
    stage.procman("scale", "web=1", "--wait")
    stage.procman("restart", "web", "--wait")
    stage.procman("scale", "web=2", "--wait")


def deploy(stage: Stage, _round: int) -> None:
    stage.configure()
    stage.procman("reload", "--wait")


def broken_deploy(stage: Stage, _round: int) -> None:
    """It is aborted, and the next one is good."""
    stage.configure(BROKEN=1)
    stage.procman("reload", "--wait", fails=True)
    deploy(stage, _round)


def haproxy_reads_anew(stage: Stage, _round: int) -> None:
    before = stage.haproxies()
    stage.procman("signal", "USR2", "lb", "--leader")
    until(lambda: set(stage.haproxies()[1:]) - set(before), "another worker of HAProxy")


def haproxy_restarts(stage: Stage, _round: int) -> None:
    stage.procman("restart", "lb", "--wait")


def haproxy_hangs(stage: Stage, number: int) -> None:
    """A stop meanwhile waits for its drain at most; scaling up does not wait."""
    pids = stage.haproxies()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        stage.procman("scale", "web=3", "--wait")
        time.sleep(HANG if number else HANG / 10)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    until(lambda: stage.rows()["@balancer.1"]["phase"] == "ready", "a balancer in step again")
    stage.procman("scale", "web=2", "--wait")


def kill_the_balancer(stage: Stage, number: int) -> None:
    """At a moment that is another one each time: before, while and after instances leave."""
    stage.procman("scale", "web=4", "--wait")
    scaling = subprocess.Popen(
        [PROCMAN, "scale", "web=2", "--wait"], cwd=stage.folder, env=stage.env, stdout=subprocess.DEVNULL
    )
    time.sleep(0.03 * (number % 10))
    with suppress(KeyError, TypeError, ProcessLookupError):
        stage.kill("@balancer.1")
    if scaling.wait(DEADLINE):
        raise WrongError("a scale was not carried out")


def kill_the_balancer_in_a_deploy(stage: Stage, number: int) -> None:
    stage.configure()
    reload = subprocess.Popen([PROCMAN, "reload", "--wait"], cwd=stage.folder, env=stage.env, stdout=subprocess.DEVNULL)
    time.sleep(0.2 * (number % 10))
    with suppress(KeyError, TypeError, ProcessLookupError):
        stage.kill("@balancer.1")
    if reload.wait(DEADLINE * 2):
        raise WrongError("a reload was not carried out")


def kill_a_web(stage: Stage, number: int) -> int:
    """It may cost more than the connections of wrk. The kernel breaks the connections of a process that dies, and goes on
    to accept others for it until it comes to its listener: up to 432 in 6 ms, measured; the death shows after that. Who
    connects again meanwhile has a second request in what was killed.
    """
    name = f"web.{1 + number % 2}"
    slot, before = stage.slot_of(name), stage.before

    def is_out(now: dict[str, Server]) -> bool:
        return now[slot].status == "MAINT" and not now[slot].open

    with stage.not_ready():  # so that its next run adds nothing to the statistics of its slot
        pid = stage.kill(name)
        after = stage.settled(is_out, f"{slot} is out of service")
    until(lambda: stage.rows()[name]["pid"] != pid and stage.rows()[name]["ready"], f"{name} again")
    return after[slot].unanswered - before[slot].unanswered


def kill_haproxy(stage: Stage, _round: int) -> int:
    pid = stage.kill("lb.1")
    until(lambda: stage.rows()["lb.1"]["pid"] != pid and stage.rows()["lb.1"]["phase"] == "ready", "HAProxy again")
    return CONNECTIONS


STEPS = (
    Step("scale to 6, 1 and 2", scale),
    Step("restart", restart),
    Step("restart of the only one", restart_the_only_one),
    Step("deploy", deploy),
    Step("broken deploy", broken_deploy),
    Step("HAProxy reloads", haproxy_reads_anew),
    Step("HAProxy restarts", haproxy_restarts),
    Step("HAProxy hangs", haproxy_hangs),
    Step("kill the balancer", kill_the_balancer),
    Step("kill the balancer in a deploy", kill_the_balancer_in_a_deploy),
    Step("kill a web", kill_a_web),
    Step("kill HAProxy", kill_haproxy),
)


# ---- the run


class Soak:
    """Round after round, until the time is over; a round has every step, in one of the four ways of load."""

    def __init__(self, stage: Stage, steps: tuple[Step, ...]) -> None:
        self.stage = stage
        self.steps = steps
        self.total = Outcome(0, 0)
        self.wrong: list[str] = []
        self.sizes: list[tuple[int, int]] = []

    def run(self, until_then: float) -> None:
        number = 0
        while number == 0 or time.monotonic() < until_then:
            self.round(number, until_then)
            number += 1
        self.sizes.append(self.stage.size())

    def round(self, number: int, until_then: float) -> None:
        close, self.stage.answers_after = bool(number & 1), 0 if number & 2 else 20
        deploy(self.stage, number)
        print(f"round {number + 1}: {'close' if close else 'keep-alive'}, {self.stage.answers_after} ms", flush=True)
        for step in self.steps:
            if number and time.monotonic() > until_then:
                return
            self.step(step, number, close=close)
        self.sizes.append(self.stage.size())
        print(f"  procman: {self.sizes[-1][0]} kB, {self.sizes[-1][1]} descriptors", flush=True)

    def step(self, step: Step, number: int, *, close: bool) -> None:
        outcomes: list[Outcome] = []
        self.stage.rest()
        began = time.monotonic()
        with self.stage.load(close=close, into=outcomes):
            may_fail = step.work(self.stage, number) or 0
            self.stage.serves(2)
        (one,) = outcomes
        self.total = Outcome(self.total.requests + one.requests, self.total.failed + one.failed)
        verdict = f" of {may_fail}" if may_fail else ""
        if one.failed > may_fail:
            verdict += "  <-- too many"
            self.wrong.append(f"{step.name}, round {number + 1}: {one.failed} failed, {may_fail} may")
        took = time.monotonic() - began
        print(f"  {step.name:32} {one.requests:8} requests {one.failed:4} failed {took:5.1f} s{verdict}", flush=True)

    def judged(self) -> list[str]:
        """What is not as it should be."""
        print(f"all: {self.total.requests} requests, {self.total.failed} failed (in what was killed)", flush=True)
        if len(self.sizes) > 1:
            first, last = self.sizes[0], self.sizes[-1]
            if last[0] > first[0] + GROWTH:
                self.wrong.append(f"procman has grown from {first[0]} to {last[0]} kB")
            if last[1] > first[1] + 2:
                self.wrong.append(f"procman had {first[1]} descriptors and has {last[1]}")
        return self.wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--haproxy", default="haproxy")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    missing = [program for program in ("node", "wrk", given.haproxy) if shutil.which(program) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}")
        return 1
    folder = Path(tempfile.mkdtemp(prefix="procman-soak-"))
    try:
        stage = Stage(folder, given.haproxy)
        soak = Soak(stage, tuple(step for step in STEPS if given.only in step.name))
        try:
            with stage.running():
                soak.run(time.monotonic() + given.minutes * 60)
        except WrongError as error:
            soak.wrong.append(str(error))
        wrong = soak.judged()
        if wrong:
            print(stage.said(), *wrong, sep="\n")
        return 1 if wrong else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
