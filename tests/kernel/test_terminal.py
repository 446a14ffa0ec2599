"""The way of a line from a child's terminal to the shared view, and the sizes of terminals."""

import json
import os
import signal
import time
from contextlib import suppress

import pytest

from procman.kernel.loop.reactor import Reactor
from procman.kernel.output import terminals as terminal
from procman.kernel.output.formatting import Format
from procman.kernel.output.history import History
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.output.reader import MAX_LINE
from procman.kernel.output.sinks import Sink
from procman.text import lines as display


class Desk:
    """A multiplexer between terminals that the test writes as a program would, and an output that the test reads."""

    def __init__(self, **look):
        self.reactor = Reactor()
        self.output, self.fd = os.pipe()
        os.set_blocking(self.output, False)
        self.sink = Sink(self.reactor, self.fd, on_trouble=print)
        self.history = History()
        self.out = Multiplexer(self.reactor, self.sink, self.history, Format(**{"timestamps": False} | look))
        self.slaves = []
        self.seen = b""

    def open(self, name="web.1"):
        """A terminal: its stream, and the program's side (non-blocking, so that a fault cannot hang the test)."""
        made = terminal.open_terminal((80, 24))
        os.set_blocking(made.slave, False)
        self.slaves.append(made.slave)
        return self.out.open(name, name.partition(".")[0], made.master, terminal=True), made.slave

    def hang_up(self, slave):
        self.slaves.remove(slave)
        os.close(slave)

    def turn(self, until, seconds=10.0):
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"took too long; shown so far: {self.seen}"
            self.reactor.call_at(time.monotonic() + 0.005, lambda: None)
            self.reactor._round()
            with suppress(BlockingIOError):
                self.seen += os.read(self.output, 1 << 20)

    def shown(self, last):
        """Everything that is shown until a line ends with `last`."""
        self.turn(lambda: self.seen.endswith(last + b"\n"))
        found, self.seen = self.seen, b""
        return found

    def close(self):
        self.out.finish(time.monotonic())
        self.sink.close()
        self.reactor.close()
        for fd in (*self.slaves, self.output, self.fd):
            os.close(fd)


@pytest.fixture
def desk_of():
    made = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGWINCH, signal.SIGCONT)}

    def make(**look):
        made.append(Desk(**look))
        return made[-1]

    yield make
    for each in made:
        each.close()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def desk(desk_of):
    return desk_of()


def test_a_terminals_lines_are_shown_as_those_of_a_pipe(desk):
    _, slave = desk.open()
    os.write(slave, b"one\ntwo\n")
    assert desk.shown(b"two") == b"web.1  | one\nweb.1  | two\n"


def test_the_history_keeps_every_byte(desk):
    _, slave = desk.open()
    os.write(slave, b"\x1b[2J\x1b[31mred\x1b[0m\n")
    assert desk.shown(b"red") == b"web.1  | red\n"
    entries, _ = desk.history.read("web.1", 0)
    assert b"".join(entry.data for entry in entries) == b"\x1b[2J\x1b[31mred\x1b[0m\r\n"
    assert desk.history.terminals == {"web.1"}
    desk.history.forget("web.1")
    assert desk.history.terminals == set()


def test_where_there_are_colours_a_style_ends_with_its_line(desk_of):
    desk = desk_of(color=True)
    _, slave = desk.open()
    os.write(slave, b"\x1b[1;41mleft open\nnext\n")
    first, second = desk.shown(b"next").splitlines()
    assert first.endswith(b"| \x1b[0m\x1b[1;41mleft open\x1b[0m")
    assert second.endswith(b"| \x1b[0mnext")


def test_json_has_neither_colours_nor_returns(desk_of):
    desk = desk_of(mode="json")
    _, slave = desk.open()
    os.write(slave, b"\x1b[31mred\x1b[0m\r\x1b[32mgreen\n")
    assert json.loads(desk.shown(b"}"))["message"] == "green"


@pytest.mark.parametrize("cut", range(1, 22))
def test_a_sequence_that_is_torn_across_reads_is_none_of_the_text(desk, cut):
    stream, slave = desk.open()
    text = b"a\x1b]0;title\x07b\x1b[2Kc\xc3\xa9\r"
    os.write(slave, text[:cut])
    desk.turn(lambda: stream.partial)
    os.write(slave, text[cut:] + b"\n")
    assert desk.shown(b"\xc3\xa9") == b"web.1  | c\xc3\xa9\n"


# ---- unfinished lines


def test_a_prompt_is_shown_while_a_siblings_lines_go_on(desk):
    stream, slave = desk.open()
    other = desk.open("job.1")[1]
    os.write(slave, b"one\nname? ")
    assert b"web.1  | one\n" in desk.shown(b"name? ")
    os.write(other, b"work\n")
    assert desk.shown(b"work") == b"job.1  | work\n"
    os.write(slave, b"Ada\nhello\n")
    assert desk.shown(b"hello") == b"web.1  | Ada\nweb.1  | hello\n"
    assert desk.history.read("web.1", 0)[0][-1].data == b"name? Ada\r\nhello\r\n"
    assert not stream.partial


def test_once_everything_is_shown_no_timer_is_left(desk):
    _, slave = desk.open()
    os.write(slave, b"name? ")
    desk.shown(b"name? ")
    desk.turn(lambda: not [timer for timer in desk.reactor._timers if timer[2] == desk.out.terminals._check])
    os.write(slave, b"x")  # the same line: nothing more to wait for
    desk.turn(lambda: desk.out._reader.streams and next(iter(desk.out._reader.streams)).partial == b"name? x")
    assert not desk.out.terminals._unfinished


def test_many_unfinished_lines_share_one_timer(desk):
    slaves = [desk.open(f"web.{number}")[1] for number in range(1, 6)]
    for slave in slaves:
        os.write(slave, b"? ")
    desk.turn(lambda: all(stream.partial for stream in desk.out._reader.streams))
    assert sum(timer[2] == desk.out.terminals._check for timer in desk.reactor._timers) == 1
    desk.turn(lambda: desk.seen.count(b"\n") == 5)


def test_each_line_of_a_busy_program_has_its_own_time_to_be_finished(desk):
    """It writes without a pause, and every read ends in the midst of a line: none of these is a prompt."""
    stream, slave = desk.open()
    os.write(slave, b"one\ntw")
    desk.turn(lambda: stream.partial == b"tw")
    desk.out.terminals._since[stream] -= 10.0  # it has done so for a while
    os.write(slave, b"o\nth")
    desk.turn(lambda: stream.partial == b"th")
    assert desk.out.terminals._unfinished[stream] > time.monotonic()


def test_a_line_whose_rest_has_come_is_not_shown_without_it(desk):
    """procman was suspended meanwhile, or is busy."""
    stream, slave = desk.open()
    os.write(slave, b"li")
    desk.turn(lambda: stream.partial == b"li")
    os.write(slave, b"ne\n")
    end = time.monotonic() + 10.0
    while not stream.held():  # the system hands it over some time later
        assert time.monotonic() < end
    desk.out.terminals._unfinished[stream] = 0.0
    desk.out.terminals._check()
    assert desk.shown(b"ne") == b"web.1  | line\n"


def test_a_pipes_unfinished_line_is_never_torn(desk):
    read, write = os.pipe()
    stream = desk.out.open("pipe.1", "pipe", read)
    desk.slaves.append(write)
    os.write(write, b"half a ")
    _, slave = desk.open()
    desk.turn(lambda: stream.partial)
    os.write(slave, b"prompt")
    assert desk.shown(b"prompt") == b"web.1  | prompt\n"
    os.write(write, b"line\n")
    assert desk.shown(b"line") == b"pipe.1 | half a line\n"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"system | all is well\rover it\n", b"pipe.1 | over it\n"),
        (b"\x1b[3A\x1b[2Kup\n", b"pipe.1 | up\n"),
        (b"a\x08\x08\x0bb\x1b]0;title\x07\xc2\x9b2J\n", b"pipe.1 | b\n"),
        (b"tab\tand \x1b[31mred\x1b[0m\n", b"pipe.1 | tab\tand \x1b[31mred\x1b[0m\n"),
        (b"dos\r\n", b"pipe.1 | dos\n"),
    ],
)
def test_on_a_screen_what_a_pipe_brings_draws_over_no_line(desk_of, written, shown):
    desk = desk_of(screen=True)
    read, write = os.pipe()
    desk.out.open("pipe.1", "pipe", read)
    desk.slaves.append(write)
    os.write(write, written)
    assert desk.shown(shown.rstrip(b"\n")) == shown
    entries, _ = desk.history.read("pipe.1", 0)
    assert b"".join(entry.data for entry in entries) == written


def test_elsewhere_the_bytes_of_a_pipe_pass_as_they_are(desk):
    read, write = os.pipe()
    desk.out.open("pipe.1", "pipe", read)
    desk.slaves.append(write)
    os.write(write, b"10 %\r\x1b[2K20 %\n")
    assert desk.shown(b"20 %") == b"pipe.1 | 10 %\r\x1b[2K20 %\n"


def test_of_a_quiet_type_no_prompt_is_shown(desk_of):
    desk = desk_of(quiet=frozenset({"web"}))
    stream, slave = desk.open()
    os.write(slave, b"name? ")
    desk.turn(lambda: stream.partial)
    assert not desk.out.terminals._unfinished


# ---- the end of a run


def test_the_last_words_are_read_at_the_death_however_many_the_terminal_holds(desk):
    stream, slave = desk.open()
    written = 0
    with suppress(BlockingIOError):
        while True:
            written += os.write(slave, b"x" * 99 + b"\n") + 1  # its newline is two
    desk.out.drain(stream)
    desk.out.end_line(stream)
    raw = sum(len(entry.data) for entry in desk.history.read("web.1", 0, 1 << 20)[0])
    assert raw >= written > terminal.CHUNK


def test_all_that_held_it_having_gone_is_its_end(desk):
    stream, slave = desk.open()
    os.write(slave, b"last words")
    desk.hang_up(slave)
    assert desk.shown(b"last words") == b"web.1  | last words\n"
    desk.turn(lambda: stream.ended)
    desk.out.close(stream)
    assert stream.fd == -1


def test_an_endless_line_is_cut_and_not_kept(desk):
    stream, slave = desk.open()

    def fill():
        with suppress(BlockingIOError):
            os.write(slave, b"x" * 4000)
        return desk.seen.count(display.CUT) >= 3

    desk.turn(fill)
    assert len(stream.partial) <= MAX_LINE + terminal.CHUNK
    assert all(len(line) <= MAX_LINE + 20 for line in desk.seen.splitlines())


# ---- sizes


def size_of(fd):
    return tuple(os.get_terminal_size(fd))


def test_a_terminal_is_as_large_as_the_screen_less_the_prefix(desk, monkeypatch):
    monkeypatch.setattr(terminal, "screen_size", lambda _fd: (100, 40))
    assert desk.out.terminals.size() == (100 - len("system | "), 40)
    desk.out.widen(["a-long-name.1"])
    assert desk.out.terminals.size() == (100 - len("a-long-name.1 | "), 40)


@pytest.mark.parametrize(("look", "width"), [({"mode": "json"}, 0), ({"prefix": False}, 0), ({"timestamps": True}, 18)])
def test_only_a_prefix_that_is_shown_takes_columns(desk_of, monkeypatch, look, width):
    monkeypatch.setattr(terminal, "screen_size", lambda _fd: (100, 40))
    assert desk_of(**look).out.terminals.size() == (100 - width, 40)


def test_a_narrow_screen_leaves_some_columns_in_any_case(desk, monkeypatch):
    monkeypatch.setattr(terminal, "screen_size", lambda _fd: (12, 40))
    assert desk.out.terminals.size() == (terminal.LEAST, 40)


def test_a_new_screen_and_a_wider_prefix_reach_every_terminal(desk, monkeypatch):
    slaves = [desk.open(f"web.{number}")[1] for number in (1, 2)]
    monkeypatch.setattr(terminal, "screen_size", lambda _fd: (100, 40))
    os.kill(os.getpid(), signal.SIGWINCH)
    desk.turn(lambda: all(size_of(slave) == (91, 40) for slave in slaves))
    desk.out.widen(["a-long-name.1"])
    assert [size_of(slave) for slave in slaves] == [(84, 40), (84, 40)]


def test_without_a_terminal_there_is_no_handler(desk):
    before = signal.getsignal(signal.SIGWINCH)
    read, write = os.pipe()
    desk.slaves.append(write)
    desk.out.open("web.1", "web", read)
    assert signal.getsignal(signal.SIGWINCH) is before
    desk.open("web.2")
    assert signal.getsignal(signal.SIGWINCH) is not before


def test_what_is_no_terminal_or_tells_no_size_has_the_usual_one():
    master, slave = os.openpty()
    read, write = os.pipe()
    assert terminal.screen_size(slave) == terminal.screen_size(read) == (80, 24)
    terminal.set_size(master, (100, 40))
    assert terminal.screen_size(slave) == (100, 40)
    for fd in (master, slave, read, write):
        os.close(fd)
