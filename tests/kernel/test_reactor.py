"""The loop: deadlines in order, descriptors, signals that merge and are never lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from procman.kernel.loop.reactor import READ, ROUND, Reactor


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)
    made.close()


def test_deadlines_come_in_their_order_and_equal_ones_in_the_order_they_were_set(reactor: Reactor) -> None:
    seen: list[str] = []
    now = time.monotonic()
    reactor.call_at(now + 0.002, lambda: (seen.append("last"), reactor.stop()))
    for name in ("first", "second", "third"):
        reactor.call_at(now, lambda name=name: seen.append(name))
    reactor.run()
    assert seen == ["first", "second", "third", "last"]


def test_a_deadline_set_by_a_deadline_comes_too(reactor: Reactor) -> None:
    reactor.call_at(0.0, lambda: reactor.call_at(0.0, reactor.stop))
    reactor.run()


def test_a_descriptor_calls_back_as_long_as_it_is_ready(reactor: Reactor) -> None:
    read, write = os.pipe()
    got = []

    def on_ready() -> None:
        got.append(os.read(read, 1))
        if len(got) == 3:
            reactor.unregister(read)
            reactor.stop()

    os.write(write, b"abc")
    reactor.register(read, READ, on_ready)
    reactor.run()
    os.close(read)
    os.close(write)
    assert got == [b"a", b"b", b"c"]


def test_a_descriptor_that_an_earlier_callback_of_the_round_forgot_is_not_called(reactor: Reactor) -> None:
    ends = [os.pipe() for _ in range(2)]
    called = []

    def on_ready(mine: int, other: int) -> None:
        called.append(mine)
        reactor.unregister(mine)
        reactor.unregister(other)
        reactor.call_at(0.0, reactor.stop)

    (a, to_a), (b, to_b) = ends
    os.write(to_a, b"x")
    os.write(to_b, b"x")
    reactor.register(a, READ, lambda: on_ready(a, b))
    reactor.register(b, READ, lambda: on_ready(b, a))
    reactor.run()
    assert len(called) == 1
    for fd in (a, to_a, b, to_b):
        os.close(fd)


def test_a_signal_before_the_loop_runs_is_not_lost(reactor: Reactor) -> None:
    reactor.on_signal(signal.SIGUSR1, reactor.stop)
    os.kill(os.getpid(), signal.SIGUSR1)
    reactor.run()


def test_a_signal_wakes_the_loop(reactor: Reactor) -> None:
    reactor.on_signal(signal.SIGUSR1, reactor.stop)
    if os.fork() == 0:
        os.kill(os.getppid(), signal.SIGUSR1)
        os._exit(0)
    reactor.run()
    os.wait()


def test_signals_are_handled_before_descriptors_and_deadlines_of_the_round(reactor: Reactor) -> None:
    read, write = os.pipe()
    seen = []
    reactor.on_signal(signal.SIGUSR1, lambda: seen.append("signal"))
    reactor.register(read, READ, lambda: (seen.append("descriptor"), reactor.unregister(read)))
    reactor.call_at(0.0, lambda: (seen.append("deadline"), reactor.stop()))
    os.write(write, b"x")
    os.kill(os.getpid(), signal.SIGUSR1)
    reactor.run()
    os.close(read)
    os.close(write)
    assert seen == ["signal", "descriptor", "deadline"]


def test_many_slow_descriptors_hold_up_a_deadline_for_a_few_of_them_only_and_each_has_its_turn(
    reactor: Reactor,
) -> None:
    pipes = [os.pipe() for _ in range(20)]
    called: list[int] = []
    seen: list[int] = []

    def slow(fd: int) -> None:
        until = time.monotonic() + ROUND / 2
        while time.monotonic() < until:
            continue
        called.append(fd)
        if len(called) == 2 * len(pipes):
            reactor.stop()

    for read, write in pipes:
        os.write(write, b"x")
        reactor.register(read, READ, lambda read=read: slow(read))
    reactor.call_at(time.monotonic() + ROUND / 4, lambda: seen.append(len(called)))
    reactor.run()
    assert seen[0] <= 3
    assert set(called[: len(pipes)]) == {read for read, _ in pipes}
    for ends in pipes:
        for fd in ends:
            os.close(fd)


def test_a_signal_raised_by_a_handler_is_handled_in_the_same_round(reactor: Reactor) -> None:
    seen = []
    reactor.on_signal(signal.SIGUSR1, lambda: (seen.append(1), os.kill(os.getpid(), signal.SIGUSR2)))
    reactor.on_signal(signal.SIGUSR2, lambda: (seen.append(2), reactor.stop()))
    os.kill(os.getpid(), signal.SIGUSR1)
    reactor.run()
    assert seen == [1, 2]


def test_stop_before_run_ends_it_at_once(reactor: Reactor) -> None:
    reactor.stop()
    reactor.run()


def test_stop_ends_the_round(reactor: Reactor) -> None:
    reactor.call_at(0.0, reactor.stop)
    reactor.call_at(0.0, lambda: pytest.fail("after the stop"))
    reactor.run()


def test_the_wake_up_descriptor_of_before_is_back_after_the_loop(reactor: Reactor) -> None:
    reactor.stop()
    reactor.run()
    assert signal.set_wakeup_fd(-1) == -1
