"""The way of a line from a child's pipe to the reader: framing, prefixes, and who waits when the reader is slow."""

import errno
import json
import os
import re
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.formatting import Format
from procman.kernel.output.history import History
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.output.reader import MAX_LINE
from procman.kernel.output.sinks import PIPE_SIZE, Sink
from procman.text.colour import color_of

PLAIN = Format(timestamps=False)


class Bench:
    """A multiplexer between pipes that the test writes and an output that the test reads."""

    def __init__(self, look=PLAIN):
        self.look = look
        self.reactor = Reactor()
        self.reactor._running = True
        self.trouble = []
        self.output, self.fd = os.pipe()
        os.set_blocking(self.output, False)
        self.sink = Sink(self.reactor, self.fd, on_trouble=self.trouble.append)
        self.history = History()
        self.out = Multiplexer(self.reactor, self.sink, self.history, look)
        self.ends = [self.output, self.fd]

    def open(self, name, stream=None):
        """A child's pipe: the stream, and the end to write to (non-blocking, so that a fault cannot hang the test)."""
        read, write = os.pipe()
        os.set_blocking(write, False)
        self.ends.append(write)
        return self.out.open(name, name.partition(".")[0], read, stream), write

    def hang_up(self, fd):
        self.ends.remove(fd)
        os.close(fd)

    def turn(self, until, seconds=5.0):
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, "took too long"
            self.reactor.call_at(time.monotonic() + 0.005, lambda: None)
            self.reactor._round()

    def read(self, size=1 << 20):
        try:
            return os.read(self.output, size)
        except BlockingIOError:
            return b""

    def shown(self, last):
        """Everything that is shown until a line ends with `last`."""
        found = bytearray()
        self.turn(lambda: found.extend(self.read()) or bytes(found).endswith(last + b"\n"))
        return bytes(found)

    def stall(self, name="noisy.1"):
        """Fill the output until it stalls; tells the stream that did it."""
        stream, write = self.open(name)

        def fill():
            with suppress(BlockingIOError):
                os.write(write, b"x" * 4095 + b"\n")
            return self.sink.stalled

        self.turn(fill)
        return stream, write

    def close(self):
        self.out.finish(time.monotonic())
        self.sink.close()
        self.reactor.close()
        for fd in tuple(self.ends):
            self.hang_up(fd)


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def bench_of():
    made = []

    def make(**look):
        made.append(Bench(Format(**look)))
        return made[-1]

    yield make
    for each in made:
        each.close()


# ---- framing


def test_each_line_gets_the_name_before_it(bench):
    _, write = bench.open("web.1")
    os.write(write, b"one\ntwo\n")
    assert bench.shown(b"two") == b"web.1  | one\nweb.1  | two\n"


def test_a_line_that_comes_in_parts_is_shown_once_it_is_complete(bench):
    stream, write = bench.open("web.1")
    os.write(write, b"one\nhal")
    assert bench.shown(b"one") == b"web.1  | one\n"
    os.write(write, b"f")
    bench.turn(lambda: stream.partial == b"half")
    os.write(write, b" done\nnext")
    assert bench.shown(b"half done") == b"web.1  | half done\n"


def test_lines_of_two_children_are_never_mixed(bench):
    first, second = bench.open("web.1")[1], bench.open("worker.1")[1]
    os.write(first, b"from w")
    os.write(second, b"from work")
    bench.turn(lambda: all(stream.partial for stream in bench.out._reader.streams))
    os.write(first, b"eb\n")
    bench.turn(lambda: bench.history.end("web.1"))
    os.write(second, b"er\n")
    found = bench.shown(b"from worker")
    assert found == b"web.1  | from web\nworker.1 | from worker\n"


def test_a_missing_last_newline_is_added_at_the_end_of_the_output(bench):
    stream, write = bench.open("web.1")
    os.write(write, b"last words")
    bench.hang_up(write)
    assert bench.shown(b"last words") == b"web.1  | last words\n"
    assert stream.ended


def test_a_partial_line_comes_before_the_line_that_reports_the_end(bench):
    stream, write = bench.open("web.1")
    os.write(write, b"one\nlast words")
    bench.out.drain(stream)
    bench.out.end_line(stream)
    bench.out.log("web.1 ended: exit 1")
    assert bench.shown(b"exit 1") == b"web.1  | one\nweb.1  | last words\nsystem | web.1 ended: exit 1\n"


def test_bytes_pass_unchanged(bench):
    _, write = bench.open("web.1")
    line = b"\x00\xff\xfe \r progress \x1b[31mred\x1b[0m \x1b]0;title\x07 \xf0\x9f"
    os.write(write, line + b"\n")
    assert bench.shown(line) == b"web.1  | " + line + b"\n"


def test_a_line_of_exactly_the_limit_is_whole(bench):
    stream, write = bench.open("web.1")
    os.write(write, b"x" * MAX_LINE)
    bench.turn(lambda: len(stream.partial) == MAX_LINE)
    os.write(write, b"\nend\n")
    assert bench.shown(b"end") == b"web.1  | " + b"x" * MAX_LINE + b"\nweb.1  | end\n"


def test_a_line_over_the_limit_is_cut_into_marked_pieces(bench):
    stream, write = bench.open("web.1")
    for _ in range(2):
        os.write(write, b"x" * MAX_LINE)
        bench.out.drain(stream)
    os.write(write, b"x\nend\n")
    piece = b"web.1  | " + b"x" * MAX_LINE + b" [cut]\n"
    assert bench.shown(b"end") == piece * 2 + b"web.1  | x\nweb.1  | end\n"


def test_a_piece_does_not_end_inside_a_character(bench):
    stream, write = bench.open("web.1")
    os.write(write, b"x" * (MAX_LINE - 1))
    bench.turn(lambda: len(stream.partial) == MAX_LINE - 1)
    os.write(write, "€\n".encode())
    assert bench.shown("€".encode()).endswith("x [cut]\nweb.1  | €\n".encode())


def test_an_endless_line_takes_bounded_memory_and_lets_others_through(bench):
    stream, write = bench.open("web.1")
    _, other = bench.open("worker.1")
    for _ in range(50):
        os.write(write, b"x" * 60_000)
        bench.out.drain(stream)
        bench.turn(lambda: not bench.read() and not bench.sink.stalled)
        assert len(stream.partial) <= MAX_LINE
    os.write(other, b"still here\n")
    assert bench.shown(b"still here").endswith(b"worker.1 | still here\n")


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"\n", b"line\n"]), max_size=20))
def test_however_a_child_splits_its_writes_the_lines_are_its_own(parts):
    bench = Bench()
    try:
        stream, write = bench.open("web.1")
        for part in parts:
            os.write(write, part)
            bench.out.drain(stream)
        bench.out.close(stream)
        bench.out.log("end")
        whole = b"".join(parts)
        whole += b"" if whole.endswith(b"\n") or not whole else b"\n"
        expected = b"".join(b"web.1  | " + line + b"\n" for line in whole.split(b"\n")[:-1])
        assert bench.shown(b"system | end") == expected + b"system | end\n"
        assert b"".join(entry.data for entry in bench.history.tail(["web.1"], None)[0]) == whole
    finally:
        bench.close()


# ---- switches


def test_names_are_padded_to_the_widest_known(bench):
    _, write = bench.open("web.1")
    os.write(write, b"one\n")
    bench.shown(b"one")
    bench.out.widen(["background.12"])
    os.write(write, b"two\n")
    assert bench.shown(b"two") == b"web.1         | two\n"


def test_a_timestamp_is_the_local_time_of_day(bench_of):
    bench = bench_of()
    bench.out.log("hello", 1_700_000_000.9)
    expected = time.strftime("%H:%M:%S", time.localtime(1_700_000_000)).encode()
    assert bench.shown(b"hello") == expected + b" system | hello\n"


def test_each_type_has_its_colour_and_its_instances_share_it(bench_of):
    bench = bench_of(timestamps=False, color=True)
    for name in ("web.1", "worker.1", "web.2"):
        os.write(bench.open(name)[1], name.encode() + b"\n")
        bench.shown(name.encode())
    colors = {stream.name: stream.color for stream in bench.out._reader.streams}
    assert colors == {"web.1": color_of(0), "web.2": color_of(0), "worker.1": color_of(1)}


def test_a_coloured_line_has_colour_in_its_prefix_only(bench_of):
    bench = bench_of(timestamps=False, color=True)
    os.write(bench.open("web.1")[1], b"hello\n")
    assert bench.shown(b"hello") == color_of(0) + b"web.1  | \x1b[0mhello\n"


def test_without_prefix_the_lines_are_as_they_were_written(bench_of):
    bench = bench_of(prefix=False)
    os.write(bench.open("web.1")[1], b"one\ntwo\nunfinished")
    assert bench.shown(b"two") == b"one\ntwo\n"


def test_quiet_types_are_kept_but_not_shown(bench_of):
    bench = bench_of(timestamps=False, quiet=frozenset({"web"}))
    quiet, loud = bench.open("web.1")[1], bench.open("worker.1")[1]
    os.write(quiet, b"hidden\n")
    bench.turn(lambda: bench.history.end("web.1"))
    os.write(loud, b"shown\n")
    assert bench.shown(b"shown") == b"worker.1 | shown\n"


def test_json_lines_are_objects_with_a_time_that_has_milliseconds_and_an_offset(bench_of):
    bench = bench_of(mode="json")
    before = time.time()
    os.write(bench.open("web.1", "stderr")[1], b'a "word"\n\xff\n')
    first, second = (json.loads(line) for line in bench.shown(b'"}').splitlines())
    stamp = datetime.fromisoformat(first.pop("time"))
    assert stamp.tzinfo is not None
    assert abs(stamp.timestamp() - before) < 5
    assert first == {"instance": "web.1", "stream": "stderr", "message": 'a "word"'}
    assert second["message"] == "\ufffd"


def test_procmans_own_lines_are_json_too(bench_of):
    bench = bench_of(mode="json")
    bench.out.log("hello", 1_700_000_000.25)
    line = json.loads(bench.shown(b'"}'))
    assert datetime.fromisoformat(line["time"]).timestamp() == 1_700_000_000.25
    assert (line["instance"], line["message"]) == ("system", "hello")


def test_every_line_of_procmans_own_text_has_its_prefix(bench):
    bench.out.log("one\ntwo")
    assert bench.shown(b"two") == b"system | one\nsystem | two\n"


# ---- the end of a run


def test_a_drain_takes_what_is_there_now_and_does_not_wait_for_the_end(bench):
    stream, write = bench.open("web.1")
    os.write(write, b"one\n")
    bench.out.drain(stream)
    os.write(write, b"from a grandchild\n")
    bench.out.log("ended")
    assert bench.shown(b"ended") == b"web.1  | one\nsystem | ended\n"


def test_closing_takes_the_last_words_and_gives_the_descriptor_back(bench):
    stream, write = bench.open("web.1")
    fd = stream.fd
    os.write(write, b"one\nlast")
    bench.out.close(stream)
    assert bench.shown(b"last") == b"web.1  | one\nweb.1  | last\n"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_closing_twice_does_no_harm(bench):
    stream, _ = bench.open("web.1")
    bench.out.close(stream)
    bench.out.close(stream)


def test_finish_writes_what_every_child_left(bench):
    for name in ("web.1", "web.2"):
        os.write(bench.open(name)[1], b"last words of " + name.encode())
    bench.out.finish(time.monotonic() + 1)
    assert sorted(bench.read().splitlines()) == [b"web.1  | last words of web.1", b"web.2  | last words of web.2"]
    bench.out = Multiplexer(bench.reactor, bench.sink, bench.history, PLAIN)  # for the fixture to finish


# ---- a reader that is too slow


def test_a_slow_reader_holds_back_the_writers(bench):
    _, write = bench.stall()
    end = bench.history.end("noisy.1")
    with suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4095 + b"\n")
    for _ in range(5):
        bench.reactor.call_at(time.monotonic(), lambda: None)
        bench.reactor._round()
    assert bench.history.end("noisy.1") == end


def test_everything_flows_again_when_the_reader_comes_back_and_nothing_is_lost(bench):
    stream, write = bench.stall()
    bench.out.log("while it was stalled")
    os.write(write, b"afterwards\n")
    found = bench.shown(b"noisy.1 | afterwards")
    assert re.fullmatch(
        rb"(noisy.1 \| x{4095}\n)+system \| while it was stalled\n(noisy.1 \| x{4095}\n)*noisy.1 \| afterwards\n", found
    )
    assert found.count(b"x" * 4095) * 4096 + len(b"afterwards\n") == bench.history.end("noisy.1")
    assert not stream.ended


def test_every_writer_has_its_turn_with_a_slow_reader(bench):
    ends = [bench.open(f"web.{n}")[1] for n in range(1, 4)]
    seen = set()

    def until():
        for end in ends:
            try:
                os.write(end, (b"x" * 4095 + b"\n") * 16)
            except BlockingIOError:
                continue
        seen.update(re.findall(rb"^web\.\d", bench.read(70_000), re.MULTILINE))
        return seen == {b"web.1", b"web.2", b"web.3"} and bench.sink.stalled

    bench.turn(until)


def test_the_last_words_of_one_who_dies_meanwhile_come_before_the_report_of_its_end(bench):
    bench.stall()
    stream, write = bench.open("web.1")
    os.write(write, b"one\nlast words")
    bench.out.drain(stream)
    bench.out.end_line(stream)
    bench.out.log("web.1 ended")
    bench.out.close(stream)
    assert bench.shown(b"web.1 ended").endswith(b"\nweb.1  | one\nweb.1  | last words\nsystem | web.1 ended\n")


def test_the_rest_of_a_slot_that_dies_again_replaces_the_older_and_is_counted_in_one_line(bench):
    bench.stall()
    for run in (b"first", b"second", b"third"):
        stream, write = bench.open("web.1")
        os.write(write, run + b"\nmore\n")
        bench.out.drain(stream)
        bench.out.close(stream)
    bench.out.log("end")
    found = bench.shown(b"system | end")
    assert found[found.index(b"system") :] == (
        b"system | web.1: 4 lines of earlier runs dropped: the output was blocked\n"
        b"web.1  | third\nweb.1  | more\nsystem | end\n"
    )


def test_both_streams_of_one_run_are_kept(bench):
    bench.stall()
    out, err = bench.open("web.1", "stdout"), bench.open("web.1", "stderr")
    os.write(out[1], b"to stdout\n")
    os.write(err[1], b"to stderr\n")
    for stream, _ in (out, err):
        bench.out.drain(stream)
    assert bench.shown(b"to stderr").endswith(b"web.1  | to stdout\nweb.1  | to stderr\n")


def test_one_ended_run_leaves_at_most_64_kib_and_says_what_is_lost(bench):
    bench.stall()
    stream, write = bench.open("web.1")
    os.write(write, (b"x" * 1023 + b"\n") * 64)
    bench.out.drain(stream)
    os.write(write, b"too much\n")
    bench.out.close(stream)
    found = bench.shown(b"not read in time")
    assert found.count(b"web.1  | ") == 64
    assert found.endswith(b"system | web.1: 9 bytes of output dropped: not read in time\n")


def test_procmans_own_lines_are_bounded_and_the_dropped_ones_are_counted(bench):
    bench.stall()
    for number in range(10_000):
        bench.out.log(f"line {number:05}")
    found = bench.shown(b"the output was blocked")
    kept = found.count(b"system | line")
    assert 3000 < kept < 4100
    assert found.endswith(b"system | %d lines of procman's own dropped: the output was blocked\n" % (10_000 - kept))


def test_a_reader_that_has_gone_never_holds_a_worker_back(bench):
    _, write = bench.open("web.1")
    bench.hang_up(bench.output)
    written = 0

    def until():
        nonlocal written
        try:
            written += os.write(write, b"x" * 4095 + b"\n")
        except BlockingIOError:
            return False
        return written > 2 * PIPE_SIZE

    bench.turn(until)
    bench.turn(lambda: bench.history.end("web.1") == written)
    assert len(bench.trouble) == 1
    assert "nobody reads it any more" in bench.trouble[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_what_a_full_disk_swallowed_is_said_in_the_output_under_system(tmp_path):
    reactor, history = Reactor(), History()
    fd = os.open("/dev/full", os.O_WRONLY)
    sink = Sink(reactor, fd)
    sink.retry = 0.0
    out = Multiplexer(reactor, sink, history, PLAIN)
    out.log("lost")
    room = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    os.dup2(room, fd)
    os.close(room)
    out.log("kept")
    out.finish(time.monotonic())
    os.close(fd)
    reactor.close()
    assert (tmp_path / "out").read_text() == "system | 1 line of output dropped (14 bytes)\nsystem | kept\n"


# ---- what the system refuses


def no_watch(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_pipe_that_cannot_be_watched_is_closed_and_leaves_nothing(bench, monkeypatch):
    """fs.epoll.max_user_watches: ENOSPC of epoll_ctl(2)."""
    read, write = os.pipe()
    with monkeypatch.context() as system:
        system.setattr(bench.out._reader.pipes, "register", no_watch)
        with pytest.raises(OSError, match="No space"):
            bench.out.open("web.1", "web", read)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read)
    os.close(write)
    _, write = bench.open("web.1")
    os.write(write, b"hello\n")
    assert bench.shown(b"hello") == b"web.1  | hello\n"


def test_a_stalled_output_that_cannot_be_watched_flows_again_all_the_same(bench, monkeypatch):
    with monkeypatch.context() as system:
        system.setattr(bench.reactor._selector, "register", no_watch)
        bench.stall()
        bench.turn(lambda: bench.read() and not bench.sink.stalled)
        assert not bench.out._reader.pipes.watched
    _, write = bench.open("web.1")
    os.write(write, b"hello\n")
    assert bench.shown(b"hello").endswith(b"\nweb.1  | hello\n")


class Listener:
    """A tap that keeps what it is given."""

    def __init__(self):
        self.got = b""
        self.happened = []

    def opened(self, stream):
        self.happened.append("opened")

    def read(self, _stream, data):
        self.got += data

    def ended(self, stream):
        self.happened.append("ended")

    def removed(self):
        self.happened.append("removed")


def test_one_output_can_have_several_taps_and_each_has_its_own_end(bench):
    one, other = Listener(), Listener()
    bench.out.add_tap("web.1", one)
    bench.out.add_tap("web.1", other)
    _, write = bench.open("web.1")
    os.write(write, b"first\n")
    bench.turn(lambda: other.got)
    bench.out.remove_tap("web.1", one)
    os.write(write, b"second\n")
    bench.turn(lambda: other.got.endswith(b"second\n"))
    assert one.got == b"first\n"
    assert other.got == b"first\nsecond\n"
    bench.hang_up(write)
    bench.turn(lambda: "ended" in other.happened)
    bench.out.forget("web.1")
    bench.out.remove_tap("web.1", other)
    assert (one.happened, other.happened) == (["opened"], ["opened", "ended", "removed"])
