"""What clients may do to procman: nothing."""

import contextlib
import errno
import os
import resource
import socket
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import Served, request

from procman.control.codec import MAX_REQUEST, Code
from procman.serve.connection import TURN, ConnectionLimits
from procman.serve.lazyserver import SPARES


@pytest.fixture
def served(tmp_path):
    with Served(tmp_path, ConnectionLimits(stalled=0.05)) as served:
        yield served


def test_a_request_of_the_greatest_length_is_answered(served):
    peer = served.peer()
    start, end = b'{"jsonrpc":"2.0","id":"', b'","method":"hello"}\n'
    peer.send(start + b"x" * (MAX_REQUEST - len(start) - len(end)) + end)
    assert "result" in peer.messages(1)[0]


def test_a_longer_request_is_told_so_and_the_connection_closed(served):
    peer = served.peer()
    start, end = b'{"jsonrpc":"2.0","id":"', b'","method":"hello"}\n'
    peer.send(start + b"x" * (MAX_REQUEST + 1 - len(start) - len(end)) + end)
    assert peer.messages(1)[0]["error"]["code"] == Code.INVALID_REQUEST
    peer.wait_closed()


def test_ten_megabytes_without_a_newline_are_refused_early(served):
    peer = served.peer()
    peer.send(b"x" * 10_000_000)
    assert peer.messages(1)[0]["error"]["message"] == "cannot read a request of more than 65536 bytes"
    peer.wait_closed()
    assert served.is_alive()


def test_half_a_request_then_silence_is_dropped(served):
    peer = served.peer()
    peer.send(b'{"jsonrpc":')
    peer.wait_closed()
    assert peer.received == b""
    assert served.is_alive()


def test_half_a_request_after_whole_ones_is_dropped_too(served):
    peer = served.peer()
    peer.send(request("hello"), b"{")
    peer.messages(1)
    peer.wait_closed()


def test_a_silent_client_without_a_begun_request_is_not_dropped(served):
    silent, other = served.peer(), served.peer()
    silent.ask("hello")
    other.send(b"{")
    other.wait_closed()  # more than the limit has passed
    assert silent.ask("hello")["result"]


def test_a_client_that_reads_no_answers_is_no_longer_read_from(tmp_path):
    with Served(tmp_path, ConnectionLimits(unsent=10_000)) as served:
        peer = served.peer()
        flood = memoryview(b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"ps"}\n' % n for n in range(100_000)))
        sent = 0

        def stuck():
            nonlocal sent
            try:
                sent += peer.socket.send(flood[sent:])
            except BlockingIOError:
                return connection()._events == 2  # WRITE alone
            return False

        def connection():
            return next(iter(served.server._connections))

        served.drive(lambda: bool(served.server._connections))
        served.drive(stuck)
        assert len(connection()._unsent) < 12_000
        assert served.is_alive()
        assert [m["id"] for m in peer.messages(2000)] == list(range(2000))


def test_five_hundred_clients_are_served_while_one_never_reads(tmp_path):
    with Served(tmp_path) as served:
        deaf = served.peer()
        deaf.ask("logs", {"follow": True})
        peers = [served.peer() for _ in range(500)]
        for n in range(50):
            served.backend.history.append("web.1", float(n), b"x" * 50_000 + b"\n")
        for peer in peers:
            assert peer.ask("hello")["result"]
        unsent = max(len(connection._unsent) for connection in served.server._connections)
        assert unsent < 300_000


def test_one_client_too_many_is_told_so(tmp_path):
    with Served(tmp_path, ConnectionLimits(connections=2)) as served:
        first, _second, third = (served.peer() for _ in range(3))
        assert third.messages(1)[0]["error"]["message"] == "cannot serve another client: 2 are connected"
        third.wait_closed()
        first.socket.close()
        served.drive(lambda: len(served.server._connections) == 1)
        assert served.is_alive()


def test_a_client_that_leaves_at_once_is_no_trouble(served):
    for _ in range(50):
        served.peer().socket.close()
    assert served.is_alive()
    served.drive(lambda: not served.server._connections)


def test_no_descriptor_is_left_behind(served):
    before = descriptors()
    for _ in range(20):
        assert served.is_alive()
    served.drive(lambda: not served.server._connections)
    assert descriptors() == before


def descriptors():
    return sorted(int(fd.name) for fd in Path("/dev/fd").iterdir())


def test_without_a_free_descriptor_clients_are_still_served_and_accepting_does_not_spin(served):
    peers = [socket.socket(socket.AF_UNIX) for _ in range(SPARES + 1)]
    with every_descriptor_taken():
        for peer in peers:
            peer.connect(served.path)
            peer.sendall(b'{"jsonrpc":"2.0","id":1,"method":"hello"}\n')
            peer.setblocking(False)
        served.drive(lambda: all(answered(peer) for peer in peers[:-1]))
        assert not served.listening.listening  # the last one waits in the queue, and nobody asks for it in vain
        peers[0].close()
        served.drive(lambda: answered(peers[-1]))
    for peer in peers:
        peer.close()


def answered(peer):
    try:
        return bool(peer.recv(1000, socket.MSG_PEEK))
    except BlockingIOError:
        return False


class every_descriptor_taken:  # noqa: N801
    def __enter__(self):
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(descriptors()) + 20, self.limit[1]))
        self.taken = []
        with contextlib.suppress(OSError):  # EMFILE: there are no more
            while True:
                self.taken.append(os.dup(0))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_NOFILE, self.limit)
        for fd in self.taken:
            os.close(fd)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="abstract sockets are Linux's")
def test_another_user_is_closed_without_a_word(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")  # an abstract address, which any user can reach (unix(7): autobind)
    address = listener.getsockname()
    with Served(tmp_path, listener=listener) as served:
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            stranger(address, tell)
        os.set_blocking(told, False)
        answer = []

        def finished():
            try:
                answer.append(os.read(told, 1000))
            except BlockingIOError:
                return False
            return True

        served.drive(finished)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)
        assert answer == [b"told: b''"]


def stranger(address, tell):
    """What another user does; never returns."""
    try:
        os.setuid(65534)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(address)
            try:
                peer.sendall(b'{"jsonrpc":"2.0","id":1,"method":"hello"}\n')
                said = peer.recv(1000)
            except (BrokenPipeError, ConnectionResetError):
                said = b""
        os.write(tell, f"told: {said}".encode())
    finally:
        os._exit(0)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200).map(lambda data: data + b"\n"),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                max_leaves=5,
            ).map(lambda params: request("scale", params)),
            st.sampled_from(["ps", "stop", "signal", "logs", "__init__", "reload"]).map(request),
        ),
        max_size=10,
    )
)
def test_whatever_is_sent_only_documented_errors_come_back(fuzzed, lines):
    peer = fuzzed.peer()
    peer.send(*lines, b"\n", request("hello", id="last"))
    while True:
        [message] = peer.messages(1)
        if message.get("id") == "last":
            break
        if "error" in message:
            assert message["error"]["code"] in set(Code) - {Code.INTERNAL_ERROR}
    peer.socket.close()
    fuzzed.peers.remove(peer)
    assert fuzzed.backend.faults == []


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    with Served(tmp_path_factory.mktemp("fuzzed")) as served:
        yield served


def test_the_credentials_of_a_peer_are_those_of_its_process(served):
    peer = served.peer()
    credentials = peer.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    assert struct.unpack("3i", credentials)[:2] == (os.getpid(), os.geteuid())


def test_a_pattern_that_takes_minutes_to_compile_is_refused_at_once(served):
    """60,000 brackets took 212 s, in which procman did nothing else."""
    peer = served.peer()
    for method in ("restart", "stop", "logs"):
        answer = peer.ask(method, {"names": ["[" * 60_000]})
        assert answer["error"]["code"] == Code.INVALID_PARAMS
    assert peer.ask("attach", {"instance": "[" * 60_000})["error"]["code"] == Code.INVALID_PARAMS


def test_a_client_whose_requests_are_dear_has_one_answered_a_turn(served):
    """`ps` of a thousand instances takes 5 ms; sixteen of them would be 80 ms for each client that floods."""
    view = served.backend.view

    def dear():
        until = time.monotonic() + TURN
        while time.monotonic() < until:
            continue
        return view()

    served.backend.view = dear
    peer = served.peer()
    peer.send(*[request("ps")] * 5)
    answered = []
    while sum(answered) < 5:
        served.reactor._round()
        peer.poll()
        answered.append(peer.received.count(b"\n") - sum(answered))
    assert max(answered) == 1


def test_unread_answers_of_all_together_are_bounded_and_those_who_have_most_are_closed(tmp_path):
    with Served(tmp_path, ConnectionLimits(held=1_000_000)) as served:
        served.backend.formation = {"web": 200}
        deaf = [served.peer() for _ in range(40)]
        for peer in deaf:
            peer.send(*[request("ps")] * 40)
        held = []

        def settled():
            held.append(sum(connection.held for connection in served.server._connections))
            return len(served.server._connections) < len(deaf) and served.reactor._selector.select(0) == []

        served.drive(settled)
        assert max(held) < 1_500_000  # the last answer that was added is one of up to 60 kB
        assert served.is_alive()


def test_a_client_for_whom_there_is_no_watch_left_is_let_go_and_ends_nothing(served, monkeypatch):
    """ENOSPC of epoll_ctl(2): fs.epoll.max_user_watches."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as system:
        system.setattr(served.reactor._selector, "register", full)
        served.peer().wait_closed()
    assert served.is_alive()
