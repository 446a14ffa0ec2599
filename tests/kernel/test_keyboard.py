"""What is typed into a terminal whose program reads it late, or never."""

import os
import time
import tty
from contextlib import suppress

import pytest

from procman.kernel.loop.reactor import Reactor
from procman.serve.keyboard import LIMIT, InputQueue

SYSTEM = 16 * 1024
"""What the system holds for a program that does not read; a little more, in fact."""


class Desk:
    """A keyboard, and the side of the program, which is raw and non-blocking."""

    def __init__(self):
        self.reactor = Reactor()
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        os.set_blocking(self.slave, False)
        self.emptied = 0
        self.keyboard = InputQueue(self.reactor, self.master, self._emptied)
        self.read = b""

    def _emptied(self):
        self.emptied += 1

    def watched(self):
        return self.master in self.reactor._selector.get_map()

    def turn(self, until, seconds=10.0):
        """The program reads until something holds."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"took too long; {len(self.read)} bytes have come"
            self.reactor.call_at(time.monotonic() + 0.002, lambda: None)
            self.reactor._round()
            with suppress(BlockingIOError):
                self.read += os.read(self.slave, 4096)

    def close(self):
        self.reactor.close()
        for fd in (self.master, self.slave):
            with suppress(OSError):
                os.close(fd)


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


def test_what_is_typed_arrives_and_an_idle_keyboard_is_not_watched(desk):
    assert desk.keyboard.type(b"hello") == 5
    assert desk.keyboard.empty
    assert not desk.watched()
    desk.turn(lambda: desk.read == b"hello")
    assert desk.emptied == 0  # nothing had to wait


def test_what_has_no_room_is_not_taken_and_what_is_taken_arrives_in_order(desk):
    data = b"".join(b"%07d\n" % n for n in range(40_000))
    taken = desk.keyboard.type(data[:LIMIT])
    assert taken == LIMIT
    while more := desk.keyboard.type(data[taken : taken + 10_000]):
        taken += more
    assert LIMIT + 4096 <= taken <= LIMIT + 2 * SYSTEM
    assert desk.keyboard.room == 0
    assert desk.watched()
    desk.turn(lambda: len(desk.read) == taken)
    assert desk.read == data[:taken]
    assert desk.emptied == 1
    assert desk.keyboard.room == LIMIT
    assert not desk.watched()


def test_what_a_program_never_reads_waits_without_a_spin(desk):
    desk.keyboard.type(b"x" * LIMIT)
    over = []
    desk.reactor.call_at(time.monotonic() + 0.1, lambda: over.append(True))
    rounds = 0
    while not over:
        desk.reactor._round()
        rounds += 1
    assert rounds < 50  # the system makes a little room still
    assert desk.watched()


def test_the_end_of_the_terminal_forgets_what_waits(desk):
    desk.keyboard.type(b"x" * LIMIT)
    desk.keyboard.close()
    assert not desk.watched()
    assert desk.keyboard.empty
    desk.keyboard.close()  # a second end is none


def test_a_program_that_has_closed_it_reads_nothing_any_more(desk):
    desk.keyboard.type(b"x" * LIMIT)
    os.close(desk.slave)
    assert desk.keyboard.type(b"y") == 1
    end = time.monotonic() + 10
    while not desk.keyboard.empty:
        assert time.monotonic() < end
        desk.reactor._round()
    assert desk.emptied == 1
    assert not desk.watched()
