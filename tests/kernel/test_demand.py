"""What the core asks of the kernel for some types only, with real processes: probes, sd_notify, shared sockets, memory.

The core of these tests asks for each as soon as a process runs.
"""

from __future__ import annotations

import shutil
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import alone
from msgspec.structs import replace
from workbench import Bench

from procman.core.actions import Action, StartProbe
from procman.core.events import Event, Measured, Notified, Probed, Restart, Scale, Spawned
from procman.core.fleet import Fleet
from procman.core.policies import Health, ListenSocket, NotifyProbe, Probe, Readiness, Recycle
from procman.core.spec import Plan
from procman.core.view import Kind
from procman.kernel.process import memory

pytestmark = pytest.mark.processes


class Asking(Fleet):
    """A fleet that probes each process, keeps what the kernel tells of it, and does as the test says on the first of a kind."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.seen: list[Event] = []
        self.on: dict[type[Event], Callable[[], object]] = {}

    def handle(self, event: Event, now: float) -> list[Action]:
        out = super().handle(event, now)
        if isinstance(event, Spawned):
            ready = self.plan.types["a"].ready
            if ready is not None:
                out.append(StartProbe(event.name, event.generation, ready.probe, ready.timeout, ready.interval))
        if isinstance(event, Probed | Notified | Measured):
            self.seen.append(event)
            do = self.on.pop(type(event), None)
            if do is not None:
                do()
        return out


def bench_of(folder: Path, command: str, count: int = 1, **spec: object) -> tuple[Bench, Asking]:
    fleets: list[Asking] = []

    def make(plan: Plan) -> Fleet:
        types = {"a": replace(plan.types["a"], **spec)}
        fleets.append(Asking(replace(plan, types=types)))
        return fleets[0]

    bench = Bench(folder, command, count, fleet=make)
    return bench, fleets[0]


def ready(probe: Probe) -> Readiness:
    return Readiness(probe=probe, interval=0.1)


def test_a_probe_that_the_core_starts_answers_with_the_generation(tmp_path: Path) -> None:
    from procman.core.policies import ExecProbe

    def body() -> None:
        bench, fleet = bench_of(tmp_path, "sleep 0.2; touch up; exec sleep 1000", ready=ready(ExecProbe("test -e up")))
        fleet.on[Probed] = lambda: None
        bench.on(Kind.READY, bench.end)
        assert bench.run() == 0
        assert fleet.seen[0] == Probed("a.1", 1, False, "exec: exit 1")
        assert fleet.seen[-1] == Probed("a.1", 1, True, "exec: exit 0")

    alone(body)


SAY = (
    "import os, socket, sys, time\n"
    "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
    "s.connect(os.environ['NOTIFY_SOCKET'].replace('@', '\\0', 1))\n"
    "s.send(b'READY=1\\nSTATUS=serving\\nEXTEND_TIMEOUT_USEC=1500000')\n"
    "time.sleep(1000)\n"
)


@pytest.mark.skipif(sys.platform != "linux", reason="there are no credentials of senders here")
@pytest.mark.parametrize("way", ["exec {}", "{} & wait", "setsid -f {}; sleep 1000"])
def test_a_program_is_believed_also_behind_a_shell_and_in_another_session(tmp_path: Path, way: str) -> None:
    (tmp_path / "say.py").write_text(SAY)

    def body() -> None:
        command = way.format(f"{sys.executable} say.py")
        bench, fleet = bench_of(tmp_path, command, ready=ready(NotifyProbe()), health=Health(probe=NotifyProbe()))
        fleet.on[Notified] = lambda: bench.reactor.call_at(0.0, bench.end)
        assert bench.run() == 0
        assert Probed("a.1", 1, True, "READY=1") in fleet.seen
        assert Notified("a.1", 1, status="serving", extend=1.5) in fleet.seen

    alone(body)


@pytest.mark.skipif(sys.platform != "linux", reason="there are no credentials of senders here")
def test_another_instance_is_not_believed(tmp_path: Path) -> None:
    """Each has a socket of its own; a.2 speaks on that of a.1, and then on its own."""
    lie = SAY.replace("os.environ['NOTIFY_SOCKET']", "os.environ['NOTIFY_SOCKET'].replace('a.2', 'a.1')")
    (tmp_path / "say.py").write_text(
        "import os\nif os.environ['PS'] == 'a.1': os.execvp('sleep', ['sleep', '1000'])\n"
        + lie.replace("time.sleep(1000)\n", "")
        + SAY
    )

    def body() -> None:
        bench, fleet = bench_of(tmp_path, f"exec {sys.executable} say.py", 2, ready=ready(NotifyProbe()))
        fleet.on[Notified] = lambda: bench.reactor.call_at(0.0, bench.end)
        assert bench.run() == 0
        assert {event.name for event in fleet.seen} == {"a.2"}

    alone(body)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc here")
def test_memory_is_measured_over_the_whole_tree_where_a_limit_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "EVERY", 0.2)
    eater = f"{sys.executable} -c 'import time; x = bytearray(40_000_000); x[::4096] = bytes(len(x[::4096])); time.sleep(1000)'"

    def body() -> None:
        bench, fleet = bench_of(tmp_path, f"{eater} & wait", recycle=Recycle(memory=1))

        def look() -> None:
            if isinstance(fleet.seen[-1], Measured) and fleet.seen[-1].memory > 40_000_000:
                bench.reactor.call_at(0.0, bench.end)
            else:
                fleet.on[Measured] = look

        fleet.on[Measured] = look
        assert bench.run() == 0

    alone(body)


# ---- one socket, many workers


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def get(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
        data: bytes = response.read()
        return data


GUNICORN = (
    "import os\n"
    "def app(environ, start_response):\n"
    "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
    "    return [os.environ['PS'].encode()]\n"
)
NODE = (
    "require('http').createServer((request, response) => response.end(process.env.PS)).listen({fd: 3});"
    "process.on('SIGTERM', () => process.exit(0))\n"
)


def serving_commands() -> list[object]:
    gunicorn = shutil.which("gunicorn") or str(Path(sys.executable).parent / "gunicorn")
    return [
        pytest.param(
            f"exec {gunicorn} app:app --log-level warning",
            id="gunicorn",
            marks=pytest.mark.skipif(not Path(gunicorn).exists(), reason="there is no gunicorn here"),
        ),
        pytest.param(
            "exec node app.js",
            id="node",
            marks=pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here"),
        ),
    ]


@pytest.mark.parametrize("command", serving_commands())
def test_workers_share_a_socket_that_is_open_before_and_between_their_runs(tmp_path: Path, command: str) -> None:
    """Every request is answered, by whoever of them is there, over a restart and while the number changes."""
    (tmp_path / "app.py").write_text(GUNICORN)
    (tmp_path / "app.js").write_text(NODE)
    port = free_port()

    def body() -> None:
        from threading import Thread

        shared = (ListenSocket("http", f"tcp://127.0.0.1:{port}"),)
        bench, _ = bench_of(tmp_path, command, 2, sockets=shared)
        answers: list[bytes | Exception] = []
        over: list[bool] = []

        def ask() -> None:
            while not over:
                try:
                    answers.append(get(port))
                except (OSError, urllib.error.URLError) as error:
                    answers.append(error)

        asking = Thread(target=ask)

        def ends() -> None:
            over.append(True)
            bench.reactor.call_at(0.0, bench.end)

        bench.on(Kind.STARTED, asking.start)
        bench.on(Kind.READY, lambda: bench.kernel.command(Restart(("a.1",)), bench.answers.append))
        bench.on(Kind.READY, lambda: bench.kernel.command(Scale(to={"a": 3}), bench.answers.append))
        bench.on(Kind.READY, ends)
        assert bench.run() == 0
        asking.join(10)
        refused = [answer for answer in answers if isinstance(answer, Exception) and "refused" in str(answer)]
        assert refused == []
        assert {answer for answer in answers if isinstance(answer, bytes)} & {b"a.1", b"a.2", b"a.3"}

    alone(body)


def test_a_socket_that_cannot_be_opened_is_the_reason_of_a_failed_start(tmp_path: Path) -> None:
    def body() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = ListenSocket("http", f"tcp://127.0.0.1:{other.getsockname()[1]}")
            bench, _ = bench_of(tmp_path, "exec sleep 1000", sockets=(taken,))
            bench.on(Kind.START_FAILED, bench.end)
            bench.run()
        assert "address already in use" in bench.log.read_text()

    alone(body)
