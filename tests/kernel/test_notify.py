"""What programs say of themselves by sd_notify(3): who is believed, and what becomes of it."""

from __future__ import annotations

import array
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.notify import NotifySockets, fields_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are no credentials of senders here")
DEADLINE = 20.0


class Bench:
    def __init__(self) -> None:
        self.reactor = Reactor()
        self.reactor._running = True
        self.got: list[tuple[str, int, dict[str, str]]] = []
        self.sockets = NotifySockets(
            self.reactor, f"test-{os.getpid()}-{id(self)}", lambda *said: self.got.append(said)
        )

    def turn(self, until: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE
        while not until():
            assert time.monotonic() < end, self.got
            self.reactor.call_at(time.monotonic() + 0.005, lambda: None)
            self.reactor._round()


@pytest.fixture
def bench() -> Iterator[Bench]:
    before = len(os.listdir("/proc/self/fd"))
    made = Bench()
    yield made
    for name in made.sockets.state():
        made.sockets.close(name)
    made.reactor.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def say(address: str, data: bytes, descriptors: list[int] | None = None) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address.replace("@", "\0", 1))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        sender.sendmsg([data], rights)


def test_a_message_comes_with_its_instance_and_the_pid_that_the_system_vouches_for(bench: Bench) -> None:
    one, other = bench.sockets.address_of("web.1"), bench.sockets.address_of("web.2")
    assert one.startswith("@")
    assert bench.sockets.address_of("web.1") == one
    say(other, b"READY=1\nSTATUS=serving a=b\n\xff\nMAINPID=12\n")
    bench.turn(lambda: bench.got)
    assert bench.got == [("web.2", os.getpid(), {"READY": "1", "STATUS": "serving a=b", "MAINPID": "12"})]


def test_descriptors_that_come_along_are_closed_which_a_barrier_waits_for(bench: Bench) -> None:
    """sd_notify_barrier(3) sends the writing end of a pipe and waits for the end of file."""
    address = bench.sockets.address_of("web.1")
    reader, writer = os.pipe()
    say(address, b"BARRIER=1", [writer])
    os.close(writer)
    bench.turn(lambda: bench.got)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_more_descriptors_than_are_taken_leave_none_open(bench: Bench) -> None:
    address = bench.sockets.address_of("web.1")
    before = len(os.listdir("/proc/self/fd"))
    say(address, b"FDSTORE=1", [0] * 100)
    bench.turn(lambda: bench.got)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_flood_of_one_instance_leaves_the_others_their_turn(bench: Bench) -> None:
    flooded, other = bench.sockets.address_of("web.1"), bench.sockets.address_of("web.2")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(flooded.replace("@", "\0", 1))
        try:
            while True:
                sender.send(b"STATUS=x")
        except BlockingIOError:
            pass
    say(other, b"READY=1")
    bench.turn(lambda: any(name == "web.2" for name, *_ in bench.got))


def test_the_socket_goes_on_in_another_program_and_ends_with_the_slot(bench: Bench) -> None:
    address = bench.sockets.address_of("web.1")
    after = Bench()
    after.sockets.restore("ident", {"web.1": os.dup(bench.sockets.state()["web.1"])})
    bench.sockets.close("web.1")
    say(address, b"READY=1")
    after.turn(lambda: after.got)
    after.sockets.close("web.1")
    after.reactor.close()
    with pytest.raises(ConnectionRefusedError):
        say(address, b"READY=1")


def test_what_is_no_assignment_is_passed_over() -> None:
    assert fields_of(b"READY=1\nnonsense\n\nX=\n=y") == {"READY": "1", "X": "", "": "y"}
