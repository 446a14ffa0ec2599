"""What a probe finds, and when: real sockets, files and commands."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from probed import Bench

from procman.core.actions import RunHelper
from procman.core.events import Probed
from procman.core.policies import ExecProbe, FileProbe, HttpProbe, LogProbe, NotifyProbe, TcpProbe
from procman.kernel.process.probes.log import GIVEN_UP_AFTER, SEARCHED


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    made = Bench(tmp_path)
    yield made
    made.close()
    assert not before or len(os.listdir("/proc/self/fd")) <= before


class Server:
    """Accepts in a thread, and does with each connection what the test wants."""

    def __init__(self, serve: Callable[[socket.socket], object], family: socket.AddressFamily = socket.AF_INET) -> None:
        self.listener = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)
        self.port: int = self.listener.getsockname()[1]
        self.requests: list[bytes] = []
        self._serve = serve
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connected, _ = self.listener.accept()
            except OSError:
                return
            with connected, suppress(OSError):
                connected.settimeout(10)
                self._serve(connected)

    def answering(self, answer: bytes) -> Callable[[socket.socket], None]:
        def serve(connected: socket.socket) -> None:
            self.requests.append(connected.recv(65536))
            connected.sendall(answer)

        return serve

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(10)


@pytest.fixture
def serving() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(serve: Callable[[socket.socket], object] | bytes = b"", **how: object) -> Server:
        server = Server(lambda _: None, **how)  # type: ignore[arg-type]
        server._serve = server.answering(serve) if isinstance(serve, bytes) else serve
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


# ---- tcp


def test_a_port_that_nobody_listens_on_is_refused_again_and_again_until_somebody_does(bench: Bench) -> None:
    port = free_port()
    bench.start(TcpProbe(port))
    bench.turn(lambda: len(bench.answers()) > 1)
    assert set(bench.answers()) == {(False, f"tcp port {port}: connection refused")}
    with socket.create_server(("127.0.0.1", port)):
        bench.turn(lambda: bench.answers()[-1][0])
    assert bench.answers()[-1] == (True, f"tcp port {port} accepts")
    assert bench.probes.state() == ()  # it is ready: nothing more is to be found out


def test_the_port_is_the_instances_own_where_none_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bench = Bench(tmp_path, port=listener.getsockname()[1])
        bench.start(TcpProbe())
        bench.turn(bench.answers)
        bench.close()
    assert bench.answers()[0][0]


def test_without_a_port_the_answer_says_so(bench: Bench) -> None:
    bench.start(TcpProbe())
    bench.turn(bench.answers)
    assert bench.answers()[0] == (False, "tcp: it has no port")


def test_a_server_that_listens_on_the_other_loopback_address_alone_is_found(bench: Bench) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with listener:
        bench.start(TcpProbe(listener.getsockname()[1]))
        bench.turn(bench.answers)
    assert bench.answers()[0][0]


def test_a_name_that_would_have_to_be_looked_up_is_no_address(bench: Bench) -> None:
    bench.start(TcpProbe(80, host="example.org"))
    bench.turn(bench.answers)
    assert "is not an address" in bench.answers()[0][1]


def test_a_backlog_that_is_full_takes_its_time_and_holds_up_nobody(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)
        bench.start(TcpProbe(listener.getsockname()[1]), timeout=0.2)
        bench.turn(bench.answers)
        assert bench.answers()[0] == (False, "tcp: no answer within 0.2 s")
        for one in waiting:
            one.close()


# ---- http


def response(status: int, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Whatever\r\nContent-Length: 5\r\n%s\r\nhello" % (status, more)


@pytest.mark.parametrize(
    ("status", "wanted", "ok"),
    [(200, (), True), (302, (), True), (404, (), False), (503, (), False), (404, (404,), True)],
)
def test_the_status_decides(
    bench: Bench, serving: Callable[..., Server], status: int, wanted: tuple[int, ...], ok: bool
) -> None:
    server = serving(response(status, b"Location: http://127.0.0.1:1/\r\n"))
    bench.start(HttpProbe(f"http://127.0.0.1:{server.port}/health?deep=1", wanted))
    bench.turn(bench.answers)
    assert bench.answers()[0][0] is ok
    assert bench.answers()[0][1].endswith(f"answered {status}")
    lines = server.requests[0].split(b"\r\n")
    assert lines[0] == b"GET /health?deep=1 HTTP/1.1"
    assert f"host: localhost:{server.port}".encode() in [line.lower() for line in lines]


def test_a_path_is_on_the_instances_own_port(tmp_path: Path, serving: Callable[..., Server]) -> None:
    server = serving(response(200))
    bench = Bench(tmp_path, port=server.port)
    bench.start(HttpProbe("/health"))
    bench.turn(bench.answers)
    bench.close()
    assert bench.answers() == [(True, "http /health answered 200")]


def test_an_answer_in_pieces_is_put_together_and_its_body_is_not_waited_for(
    bench: Bench, serving: Callable[..., Server]
) -> None:
    gone = threading.Event()

    def slowly(connected: socket.socket) -> None:
        connected.recv(65536)
        for piece in (
            b"HTTP/1.1 100 Continue\r\n\r\nHTT",
            b"P/1.1 20",
            b"0 OK\r\nContent-Length: 1000000\r\n",
            b"\r\n",
        ):
            connected.sendall(piece)
            gone.wait(0.02)
        connected.recv(1)  # the probe has gone, without the body
        gone.set()

    server = serving(slowly)
    bench.start(HttpProbe(f"http://127.0.0.1:{server.port}/"))
    bench.turn(bench.answers)
    assert bench.answers()[0][0]
    assert gone.wait(10)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 200 O", "closed the connection without an answer"),
        (b"220 mail.example.org ESMTP\r\n\r\n", "answered, but not in HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, "answered, but not in HTTP"),
    ],
)
def test_what_is_no_answer(bench: Bench, serving: Callable[..., Server], answer: bytes, text: str) -> None:
    server = serving(answer)
    bench.start(HttpProbe(f"http://127.0.0.1:{server.port}/"))
    bench.turn(bench.answers)
    assert not bench.answers()[0][0]
    assert bench.answers()[0][1].endswith(text)


def test_a_server_that_accepts_and_says_nothing_is_given_up_at_the_timeout(
    bench: Bench, serving: Callable[..., Server]
) -> None:
    server = serving(lambda connected: connected.recv(65536) and connected.recv(1))
    bench.start(HttpProbe(f"http://127.0.0.1:{server.port}/"), timeout=0.2)
    bench.turn(bench.answers)
    assert bench.answers()[0] == (False, f"http http://127.0.0.1:{server.port}/: no answer within 0.2 s")


def test_the_certificate_of_loopback_is_nobodys_proof(
    bench: Bench, serving: Callable[..., Server], tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    words = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=somebody.else -keyout {key} -out {certificate}"
    )
    try:
        subprocess.run(words.split(), check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(connected: socket.socket) -> None:
        with context.wrap_socket(connected, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(response(200))

    server = serving(serve)
    url = f"https://127.0.0.1:{server.port}/"
    bench.start(HttpProbe(url))
    bench.turn(bench.answers)
    assert bench.answers() == [(True, f"http {url} answered 200")]


def test_one_that_speaks_no_tls_says_so(bench: Bench, serving: Callable[..., Server]) -> None:
    server = serving(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    bench.start(HttpProbe(f"https://127.0.0.1:{server.port}/"))
    bench.turn(bench.answers)
    assert not bench.answers()[0][0]
    assert "TLS: " in bench.answers()[0][1]


# ---- log


def written(bench: Bench, stream: str | None = None) -> int:
    """The writing end of a pipe of the instance."""
    reader, writer = os.pipe()
    bench.output.open("web.1", "web", reader, stream)
    return writer


def test_a_line_matches_in_either_stream_without_the_sequences_of_a_terminal(bench: Bench) -> None:
    out, err = written(bench, "stdout"), written(bench, "stderr")
    bench.start(LogProbe(r"running on http://\S+:\d+$"))
    os.write(out, b"INFO: Uvicorn runn")
    os.write(err, b"warning: something\n")
    bench.rest(0.05)
    assert bench.answers() == []
    os.write(out, b"ing on \x1b[1mhttp://127.0.0.1:5000\x1b[0m\n")
    bench.turn(bench.answers)
    assert bench.answers() == [(True, "log line 'INFO: Uvicorn running on http://127.0.0.1:5000'")]
    for fd in (out, err):
        os.close(fd)


def test_half_a_line_does_not_match_until_it_is_whole(bench: Bench) -> None:
    out = written(bench)
    bench.start(LogProbe("ready$"))
    os.write(out, b"ready")
    bench.rest(0.05)
    assert bench.answers() == []
    os.write(out, b"?\nready\n")
    bench.turn(bench.answers)
    os.close(out)


def test_a_pattern_that_is_none_is_the_answer(bench: Bench) -> None:
    bench.start(LogProbe("(ready"))
    assert bench.answers()[0][1].startswith("log: cannot use the pattern: ")


@pytest.mark.parametrize(
    ("pattern", "line"), [("(a+)+$", "a" * 60 + "!"), ("(.*)(.*)(.*)ready", "x" * 5_000)], ids=["exponential", "long"]
)
def test_a_pattern_that_takes_too_long_for_a_line_is_given_up_and_holds_nobody_up(bench: Bench, pattern, line) -> None:
    """The next lines are still looked at, until it has happened too often."""
    out = written(bench)
    bench.start(LogProbe(f"{pattern}|^is ready$"))
    os.write(out, f"{line}\nis ready\n".encode())
    bench.turn(bench.answers)
    assert bench.answers() == [(True, "log line 'is ready'")]
    bench.start(LogProbe(pattern))
    os.write(out, f"{line}\n".encode())
    for _ in range(GIVEN_UP_AFTER):
        os.write(out, f"{line}\n".encode())
        bench.rest(0.01)
    bench.turn(lambda: len(bench.answers()) == 2)
    assert bench.answers()[1] == (False, "log: the pattern is given up, it takes more than 0.05 s for a line")
    os.write(out, b"ready\n" * 100)
    bench.rest(0.05)
    assert len(bench.answers()) == 2
    os.close(out)


def test_only_the_beginning_of_a_long_line_is_searched(bench: Bench) -> None:
    out = written(bench)
    bench.start(LogProbe("ready"))
    os.write(out, b"x" * SEARCHED + b"ready\n")
    bench.rest(0.05)
    assert bench.answers() == []
    os.write(out, b"x" * (SEARCHED - 5) + b"ready\n")
    bench.turn(bench.answers)
    os.close(out)


@pytest.mark.skipif(not os.path.exists("/proc/sys/net/ipv4/ip_local_port_range"), reason="the range is not known")
def test_a_connection_that_meets_itself_is_nobody(bench: Bench) -> None:
    """On a free port out of those that the system gives to clients, one in 28,000 connects to itself."""
    from procman.kernel.process.probes.tcp import Connecting

    met = socket.socket()
    met.bind(("127.0.0.1", 0))
    met.connect(met.getsockname())
    got: list[tuple[object, str]] = []
    Connecting(bench.reactor, [], 0, lambda made, why: got.append((made, why)))._connected(met)
    assert got == [(None, "connection refused")]
    assert met.fileno() == -1


# ---- exec, file, notify


def test_a_command_ends_with_0_in_the_instances_folder_and_environment(bench: Bench, tmp_path: Path) -> None:
    bench.start(ExecProbe('echo looking; echo "not yet" >&2; test -e here-$PS'))
    bench.turn(bench.answers)
    assert bench.answers()[0] == (False, "exec: exit 1: not yet")
    (tmp_path / "here-web.1").touch()
    bench.turn(lambda: bench.answers()[-1][0])


def test_a_command_that_hangs_is_killed_with_what_it_started(bench: Bench, tmp_path: Path) -> None:
    bench.start(ExecProbe("sleep 1000 & echo $! > pid; wait"), timeout=0.3)
    bench.turn(bench.answers)
    assert "0.3 s" in bench.answers()[0][1]
    pid = int((tmp_path / "pid").read_text())

    def gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
        except OSError:
            return True

    bench.turn(gone)


def test_a_command_that_leaves_a_daemon_has_ended_though_the_daemon_writes_for_ever(
    bench: Bench, tmp_path: Path
) -> None:
    """It holds the other end of the pipe, in a session of its own."""
    pid = tmp_path / "pid"
    bench.start(ExecProbe(f"setsid sh -c 'echo $$ > {pid}; exec yes' & while ! [ -s {pid} ]; do sleep 0.01; done"))
    bench.turn(bench.answers)
    assert bench.answers()[0][0]
    os.kill(int(pid.read_text()), signal.SIGKILL)


def test_a_fifo_is_a_file_that_is_there(bench: Bench, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    bench.start(FileProbe("ready"))
    bench.turn(bench.answers)
    assert bench.answers() == [(True, "file ready exists")]


def test_a_file_must_be_newer_than_the_process(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "pid").touch()
    os.utime(tmp_path / "pid", (1, 1))
    bench.start(FileProbe("pid"))
    bench.turn(bench.answers)
    assert bench.answers()[0] == (False, "file pid is older than the process")
    (tmp_path / "pid").write_text("1")
    bench.turn(lambda: bench.answers()[-1][0])
    assert bench.answers()[-1] == (True, "file pid exists")


def test_a_file_that_is_not_there_is_named(bench: Bench) -> None:
    bench.start(FileProbe("run/ready"))
    bench.turn(bench.answers)
    assert bench.answers()[0] == (False, "file run/ready: no such file or directory")


def test_a_program_says_itself_that_it_is_ready(bench: Bench) -> None:
    bench.start(NotifyProbe())
    bench.probes.ready("web.1", 1)
    assert bench.answers() == [(True, "READY=1")]
    assert bench.probes.state() == ()
    bench.probes.ready("web.1", 1)  # after a reload
    assert bench.answers() == [(True, "READY=1")] * 2


def test_a_watchdog_that_is_not_fed_is_a_failure_each_time_and_one_that_is_a_success_once(bench: Bench) -> None:
    bench.start(NotifyProbe(), health=True, interval=0.1)
    bench.turn(lambda: len(bench.answers()) > 1)
    assert set(bench.answers()) == {(False, "no WATCHDOG=1 for 0.1 s")}
    bench.posted.clear()
    for _ in range(3):
        bench.probes.watchdog("web.1", 1, well=True)
    bench.probes.watchdog("web.1", 1, well=False)
    bench.probes.ready("web.1", 1)
    assert bench.answers()[-1] == (True, "READY=1")
    assert bench.answers()[:2] == [(True, "WATCHDOG=1"), (False, "WATCHDOG=trigger")]


# ---- when


def test_every_failure_of_a_health_check_is_posted_and_a_success_only_where_it_is_a_change(
    bench: Bench, serving: Callable[..., Server]
) -> None:
    server = serving(response(200))
    bench.start(HttpProbe(f"http://127.0.0.1:{server.port}/"), health=True, interval=0.05)
    bench.turn(lambda: len(server.requests) > 3)
    assert [ok for ok, _ in bench.answers()] == [True]
    server._serve = server.answering(response(503))
    bench.turn(lambda: len(bench.answers()) > 3)
    assert [ok for ok, _ in bench.answers()][:4] == [True, False, False, False]
    server._serve = server.answering(response(200))
    bench.turn(lambda: bench.answers()[-1][0])


def test_what_was_stopped_answers_no_more_and_another_generation_stops_nothing(bench: Bench) -> None:
    port = free_port()
    bench.start(TcpProbe(port))
    bench.probes.stop("web.1", 2)
    bench.turn(bench.answers)
    bench.probes.stop("web.1", 1)
    before = len(bench.posted)
    bench.rest(0.3)
    assert len(bench.posted) == before
    assert bench.probes.state() == ()


def test_a_run_that_is_over_is_probed_no_more(bench: Bench) -> None:
    bench.start(TcpProbe(free_port()))
    bench.turn(bench.answers)
    bench.process = None
    bench.turn(lambda: bench.probes.state() == ())


def test_answers_bear_the_generation(bench: Bench) -> None:
    bench.start(TcpProbe(free_port()))
    bench.turn(bench.posted.__len__)
    assert isinstance(bench.posted[0], Probed)
    assert (bench.posted[0].name, bench.posted[0].generation) == ("web.1", 1)


def test_a_hundred_health_checks_do_not_fall_together(bench: Bench) -> None:
    phases = []
    for _ in range(100):
        bench.start(TcpProbe(1), health=True, interval=1000.0)
        phases.append(bench.probes.state()[0].phase)
    phases.sort()
    gaps = [later - earlier for earlier, later in zip(phases, [*phases[1:], phases[0] + 1], strict=True)]
    assert max(gaps) < 0.03


def test_probes_go_on_in_another_program_with_what_they_answered_last(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    bench.start(FileProbe("ready"), health=True, interval=0.05)
    bench.turn(bench.answers)
    states = bench.probes.state()
    bench.probes.stop("web.1", 1)
    bench.probes.restore(states)
    bench.rest(0.2)
    assert len(bench.answers()) == 1  # it is no news
    (tmp_path / "ready").unlink()
    bench.turn(lambda: len(bench.answers()) > 1)


def test_the_command_of_a_drain_runs_and_only_its_failure_is_told(bench: Bench, tmp_path: Path) -> None:
    bench.probes.run(RunHelper("web.1", 1, "touch $PS", 5.0))
    bench.probes.run(RunHelper("web.1", 1, "echo broken; exit 4", 5.0))
    bench.probes.run(RunHelper("web.1", 2, "touch other", 5.0))
    bench.turn(lambda: bench.logged and not bench.helpers.pids)
    assert bench.logged == ["web.1: its drain command 'echo broken; exit 4' failed: exit 4: broken"]
    assert (tmp_path / "web.1").exists()
    assert not (tmp_path / "other").exists()
