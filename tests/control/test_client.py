"""The client, against a peer that says what the test scripts."""

import json
import os
import select
import socket
import tempfile
import threading
from pathlib import Path

import pytest

from procman.control.channel import answer
from procman.control.client import Client
from procman.control.messages import Accepted, NoParams, Ps, StreamEnded
from procman.control.streaming import notification
from procman.core.events import Scale
from procman.errors import ConfigError, NotRunningError, ProcmanError, RefusedError


class Script:
    """Listens, and answers the n-th request of its one client with the n-th list of messages, then closes."""

    def __init__(self, path, answers, *, close=True):
        self.path = str(path)
        self.requests = []
        self.over = threading.Event()
        self.last = b""  # said when it is over
        self._answers = answers
        self._close = close
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        connected, _ = self._listener.accept()
        self._listener.close()  # before the connection ends, as procman does it
        with connected, connected.makefile("rb") as lines:
            for answer in self._answers:
                self.requests.append(json.loads(lines.readline()))
                for message in answer:
                    data = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
                    connected.sendall(data)
            if not self._close:
                self.over.wait(10)
                if self.last:
                    connected.sendall(self.last)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self._thread.join(10)
        self._listener.close()


def result(value, id=1):  # noqa: A002
    return {"jsonrpc": "2.0", "id": id, "result": value}


def failure(code, message, id=1, **data):  # noqa: A002
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": data}}


def told(method, **params):
    return {"jsonrpc": "2.0", "method": method, "params": params}


ACCEPTED = {"instances": ["web.1"], "formation": {"web": 1}}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s")


def test_a_call_sends_the_parameters_and_decodes_the_result(path):
    with Script(path, [[result(ACCEPTED)]]) as script, Client(path) as client:
        assert client.scale({"web": 1}) == Accepted(("web.1",), {"web": 1})
        sent = {"jsonrpc": "2.0", "id": 1, "method": "scale", "params": {"to": {"web": 1}}}
        assert script.requests == [sent]


def test_a_client_can_ask_more_than_once(path):
    fleet = {"formation": {}, "instances": [], "stopping": False}
    ps = {"pid": 1, "root": "/", "time": 1.0, "fleet": fleet}
    with Script(path, [[result(ps)], [result(ps, id=2)]]), Client(path) as client:
        assert isinstance(client.ps(), Ps)
        assert isinstance(client.ps(), Ps)


def test_a_refusal_is_raised_with_its_hint(path):
    with Script(path, [[failure(1, "cannot do", hint="do else")]]), Client(path) as client:
        with pytest.raises(RefusedError) as error:
            client.restart()
        assert error.value.lines() == ["cannot do", "do else"]


def test_faulty_inputs_are_raised_one_fault_a_line(path):
    with Script(path, [[failure(2, "Procfile:1: cannot x\nProcfile:2: cannot y")]]), Client(path) as client:
        with pytest.raises(ConfigError) as error:
            client.reload()
        assert error.value.lines() == ["Procfile:1: cannot x", "Procfile:2: cannot y"]
        assert len(error.value.faults) == 2


@pytest.mark.parametrize("code", [-32601, -32602, -32603, 99])
def test_any_other_error_is_raised_as_one_of_procman(path, code):
    with (
        Script(path, [[failure(code, "cannot find the method 'x'", id=None)]]),
        Client(path) as client,
        pytest.raises(ProcmanError, match="cannot find the method 'x'"),
    ):
        client.ps()


def test_a_connection_closed_before_the_answer_is_an_error(path):
    with Script(path, [[]]), Client(path) as client, pytest.raises(ProcmanError, match="procman closed the connection"):
        client.ps()


def test_no_answer_in_time_is_an_error(path):
    with (
        Script(path, [[]], close=False),
        Client(path, timeout=0.02) as client,
        pytest.raises(ProcmanError, match=r"did not give one within 0\.02 s"),
    ):
        client.ps()


@pytest.mark.parametrize(
    ("ask", "hint"),
    [
        (lambda client: client.stop(["a"], everything=False), "it may still do what was asked"),
        (lambda client: client.events(), "it was not asked to change anything"),
    ],
)
def test_what_was_not_answered_may_still_be_done_if_it_was_asked_for(path, ask, hint):
    with Script(path, [[]], close=False), Client(path, timeout=0.02) as client, pytest.raises(ProcmanError) as caught:
        ask(client)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("answer", [b"nonsense\n", b"\xff\n", b'{"id": 1, "result": {"instances": 5}}\n'])
def test_an_answer_that_cannot_be_understood_is_an_error(path, answer):
    with (
        Script(path, [[answer]]),
        Client(path) as client,
        pytest.raises(ProcmanError, match="cannot understand the answer"),
    ):
        client.scale()


def test_nobody_there_is_not_running(path):
    with pytest.raises(NotRunningError, match=f"nothing listens on {path}"):
        Client(path)


def test_a_dead_socket_is_not_running(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    with pytest.raises(NotRunningError):
        Client(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_socket_of_somebody_else_is_refused_with_the_owners_name():
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory() as folder:  # pytest's own may not be entered by others
        Path(folder).chmod(0o755)
        Path(folder, "procman").mkdir(mode=0o700)
        child = os.fork()
        if child == 0:
            try:
                os.setuid(65534)
                Client(f"{folder}/procman/s")
            except RefusedError as error:
                os.write(writer, "; ".join(error.lines()).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    os.close(writer)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    assert said == f"cannot reach procman: the socket {folder}/procman/s is root's; run this as that user, or as root"


def test_a_stream_tells_what_comes_until_its_end(path):
    change = {"event": "ready", "text": "web.1 is ready"}
    messages = [
        result({"stream": 5}),
        told("output", stream=5, instance="web.1", time=1.0, text="a\n"),
        told("output", stream=6, instance="web.1", time=1.0, text="another stream's\n"),
        told("later", stream=5),
        told("event", stream=5, time=2.0, change=change),
        told("end", stream=6),
        told("end", stream=5),
    ]
    with Script(path, [messages], close=False), Client(path) as client:
        assert [output.text for output in client.logs()] == ["a\n"]


def test_a_stream_ends_when_procman_goes(path):
    with Script(path, [[result({"stream": 1})]]), Client(path) as client:
        assert list(client.logs()) == []


def test_a_stream_is_subscribed_before_it_is_iterated(path):
    with Script(path, [[result({"stream": 1})]]) as script, Client(path) as client:
        client.logs()
        assert [request["method"] for request in script.requests] == ["logs"]


def test_a_refused_stream_raises_at_once(path):
    with Script(path, [[failure(1, "cannot find")]]), Client(path) as client, pytest.raises(RefusedError):
        client.logs(["x"])


def test_a_silent_stream_times_out_and_can_be_gone_on_with(path):
    half = b'{"jsonrpc": "2.0", "method": "output", "params": {"stream": 1, '
    with Script(path, [[result({"stream": 1}), half]], close=False) as script, Client(path) as client:
        stream = client.logs(follow=True)
        stream.timeout = 0.01
        with pytest.raises(TimeoutError):
            next(stream)
        script.last = b'"instance": "web.1", "time": 1, "text": "late\\n"}}\n'
        script.over.set()
        stream.timeout = 10
        assert [output.text for output in stream] == ["late\n"]


def test_a_client_can_be_waited_for_with_select(path):
    with Script(path, [[]]), Client(path) as client:
        client.channel._send(b"{}\n")
        assert select.select([client.channel], [], [], 10)[0] == [client.channel]


def test_a_call_to_one_that_closes_at_once_still_reads_why(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        client = Client(path)
        connected, _ = listener.accept()
        connected.sendall(json.dumps(failure(1, "cannot serve another client", id=None)).encode() + b"\n")
        connected.close()
        with pytest.raises(RefusedError, match="cannot serve another client"):
            client.ps()
        client.close()


def test_who_waits_for_other_things_too_asks_and_takes_what_has_come(path):
    news = told("end", stream=7)
    with Script(path, [[news, result(ACCEPTED)], [b'{"jsonrpc": "2.0", "id":', b" 2}\n"]]) as script:
        with Client(path) as client:
            assert client.channel.take() == []
            first = client.channel.send("scale", Scale({"web": 1}))
            taken = []
            while len(taken) < 2:
                assert client.channel.receive()
                taken += client.channel.take()
            assert notification(taken[0]) == StreamEnded(7)
            assert notification(taken[1]) is None
            assert (taken[1].id, answer(taken[1], Accepted)) == (first, Accepted(("web.1",), {"web": 1}))
            second = client.channel.send("hello", NoParams())
            while not (rest := client.channel.take()):
                assert client.channel.receive()
            assert [message.id for message in rest] == [second] == [2]
            assert not client.channel.receive()  # it has closed
        assert len(script.requests) == 2


@pytest.mark.parametrize(
    "deep", [b'{"id":1,"result":' + b"[" * 100_000, b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"]
)
def test_an_answer_that_is_nested_too_deeply_is_not_understood(path, deep):
    with Script(path, [[deep + b"\n"]]), Client(path) as client, pytest.raises(ProcmanError, match="cannot understand"):
        client.ps()
