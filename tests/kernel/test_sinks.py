"""Writing standard output without waiting for its reader, and what happens when it cannot be written."""

import fcntl
import os
import pty
import socket
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from procman.kernel.loop.reactor import Reactor
from procman.kernel.output import sinks
from procman.kernel.output.sinks import Sink


class Log:
    """What a sink told, in order."""

    def __init__(self):
        self.lines = []

    def sink(self, reactor, fd):
        made = Sink(reactor, fd, self.lines.append)
        made.on_stalled.append(lambda: self.lines.append("stalled"))
        made.on_flowing.append(lambda: self.lines.append("flowing"))
        return made


@pytest.fixture
def reactor():
    made = Reactor()
    yield made
    made.close()


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def pipe():
    read, write = os.pipe()
    inode = os.fstat(read).st_ino
    yield read, write
    for fd in (read, write):
        with suppress(OSError):  # the test has closed it
            if os.fstat(fd).st_ino == inode:
                os.close(fd)


def turn(reactor, until, seconds=5.0):
    """Let the reactor work until something holds."""
    end = time.monotonic() + seconds
    reactor._running = True
    while not until():
        assert time.monotonic() < end, "took too long"
        reactor.call_at(time.monotonic() + 0.01, lambda: None)
        reactor._round()


def available(fd):
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), "little")


def read_while(reactor, sink, fd):
    """Everything that comes until nothing is left in the sink and in the pipe."""
    found = bytearray()

    def until():
        if available(fd):
            found.extend(os.read(fd, 1 << 20))
        return not sink.stalled and not available(fd)

    turn(reactor, until)
    return bytes(found)


MANY = b"".join(b"line %06d\n" % number for number in range(150_000))
"""More than any pipe holds."""


def test_a_regular_file_takes_everything_at_once(reactor, log, tmp_path):
    path = tmp_path / "out"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    log.sink(reactor, fd).write(MANY)
    os.close(fd)
    assert path.read_bytes() == MANY
    assert log.lines == []


def test_dev_null_takes_everything(reactor, log):
    fd = os.open("/dev/null", os.O_WRONLY)
    log.sink(reactor, fd).write(b"x\n" * 1_000_000)
    os.close(fd)
    assert log.lines == []


def test_the_inherited_descriptor_stays_blocking(reactor, log, pipe):
    sink = log.sink(reactor, pipe[1])
    sink.write(b"x\n" * (1 << 20))
    assert sink.stalled
    assert os.get_blocking(pipe[1])
    sink.close()


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="Linux")
def test_a_pipe_on_standard_output_is_grown(reactor, log, pipe):
    log.sink(reactor, pipe[1]).close()
    assert fcntl.fcntl(pipe[1], fcntl.F_GETPIPE_SZ) == sinks.PIPE_SIZE


def test_what_a_slow_reader_did_not_take_comes_later_in_order(reactor, log, pipe):
    sink = log.sink(reactor, pipe[1])
    sink.write(MANY)
    assert log.lines == ["stalled"]
    sink.write(b"second\n")
    sink.write(b"third\n")
    assert read_while(reactor, sink, pipe[0]) == MANY + b"second\nthird\n"
    assert log.lines == ["stalled", "flowing"]
    assert sink.dropped == 0


def test_a_write_that_finds_the_pipe_full_is_kept_whole(reactor, log, pipe):
    sink = log.sink(reactor, pipe[1])
    sink.write(b"x\n" * (sinks.PIPE_SIZE // 2))
    assert not sink.stalled
    sink.write(b"later\n")
    assert sink.stalled
    assert read_while(reactor, sink, pipe[0]).endswith(b"x\nlater\n")


def test_queued_lines_can_be_taken_back_by_their_key(reactor, log, pipe):
    sink = log.sink(reactor, pipe[1])
    sink.write(MANY)
    run = object()
    sink.write(b"1\n2\n", run, 2)
    sink.write(b"stays\n")
    sink.write(b"3\n", run, 5)
    assert sink.discard(run) == 7
    assert sink.dropped == 6
    assert read_while(reactor, sink, pipe[0]) == MANY + b"stays\n"


def test_what_is_being_written_cannot_be_taken_back(reactor, log, pipe):
    sink = log.sink(reactor, pipe[1])
    run = object()
    sink.write(MANY, run, 150_000)
    assert sink.discard(run) == 0
    assert read_while(reactor, sink, pipe[0]) == MANY


def test_a_reader_that_has_gone_is_reported_once_and_lines_are_counted(reactor, log, pipe):
    sink = log.sink(reactor, pipe[1])
    os.close(pipe[0])
    for _ in range(3):
        sink.write(b"lost\n")
    assert [
        line for line in log.lines if "cannot write to standard output: nobody reads it any more" in line
    ] == log.lines
    assert len(log.lines) == 1
    assert sink.dropped == 15
    assert not sink.stalled


def test_another_reader_of_a_named_pipe_gets_what_comes_then(reactor, log, tmp_path):
    os.mkfifo(tmp_path / "out")
    first = os.open(tmp_path / "out", os.O_RDONLY | os.O_NONBLOCK)
    fd = os.open(tmp_path / "out", os.O_WRONLY)
    sink = log.sink(reactor, fd)
    sink.retry = 0.0
    os.close(first)
    sink.write(b"lost\n")
    second = os.open(tmp_path / "out", os.O_RDONLY | os.O_NONBLOCK)
    sink.write(b"kept\n")
    assert os.read(second, 100) == b"procman: 1 line of output dropped (5 bytes)\nkept\n"
    os.close(second)
    os.close(fd)


def test_a_socket_whose_other_end_has_gone_is_reported_as_a_pipe_is(reactor, log):
    ours, other = socket.socketpair()
    sink = log.sink(reactor, ours.fileno())
    other.close()
    sink.write(b"lost\n")
    assert "nobody reads it any more" in log.lines[0]
    ours.close()


def test_a_reader_that_goes_while_the_output_is_stalled_frees_it(reactor, log, pipe):
    sink = log.sink(reactor, pipe[1])
    sink.write(b"x\n" * (1 << 20))
    sink.write(b"queued\n")
    os.close(pipe[0])
    turn(reactor, lambda: not sink.stalled)
    assert log.lines[0] == "stalled"
    assert "nobody reads it any more" in log.lines[1]
    assert log.lines[2:] == ["flowing"]
    assert sink.dropped == 2 * (1 << 20) + len(b"queued\n") - sinks.PIPE_SIZE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_reported_once_and_told_in_the_output_when_it_has_room(reactor, log, tmp_path):
    fd = os.open("/dev/full", os.O_WRONLY)
    sink = log.sink(reactor, fd)
    sink.retry = 0.0
    for _ in range(3):
        sink.write(b"lost\n")
    assert len(log.lines) == 1
    assert "No space left" in log.lines[0]
    room = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    os.dup2(room, fd)
    sink.write(b"kept\n")
    sink.write(b"and this\n")
    os.close(room)
    os.close(fd)
    assert (tmp_path / "out").read_text() == "procman: 3 lines of output dropped (15 bytes)\nkept\nand this\n"


def test_a_line_torn_by_a_full_disk_is_completed_before_anything_else(reactor, log, tmp_path):
    import resource

    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    sink = log.sink(reactor, fd)
    sink.retry = 0.0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (13, hard))  # EFBIG stands for ENOSPC; Python ignores SIGXFSZ
    try:
        sink.write(b"first line\nsecond line\nthird\n")
        sink.write(b"fourth\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    sink.write(b"fifth\n")
    os.close(fd)
    assert (tmp_path / "out").read_text() == (
        "first line\nsecond line\nprocman: 2 lines of output dropped (13 bytes)\nfifth\n"
    )


def test_an_output_that_failed_is_not_tried_for_each_line(reactor, log, tmp_path):
    fd = os.open("/dev/full", os.O_WRONLY)
    sink = log.sink(reactor, fd)
    sink.write(b"lost\n")
    room = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    os.dup2(room, fd)
    sink.write(b"lost too\n")
    os.close(room)
    os.close(fd)
    assert (tmp_path / "out").read_bytes() == b""


def test_a_closed_standard_output_is_trouble_and_no_more(reactor, log):
    fd = os.open("/dev/null", os.O_WRONLY)
    os.close(fd)
    sink = log.sink(reactor, fd)
    sink.write(b"lost\n")
    assert "Bad file descriptor" in log.lines[0]


def test_the_last_flush_waits_for_the_reader(reactor, log, pipe):
    sink = log.sink(reactor, pipe[1])
    sink.write(MANY)
    found = bytearray()

    def read():
        while len(found) < len(MANY):
            found.extend(os.read(pipe[0], 65536))

    reader = threading.Thread(target=read)
    reader.start()
    sink.flush(time.monotonic() + 5)
    reader.join(5)
    assert bytes(found) == MANY
    assert sink.dropped == 0


def test_the_last_flush_gives_up_at_its_deadline_and_says_how_much_is_lost(reactor, log, pipe):
    sink = log.sink(reactor, pipe[1])
    sink.write(b"x" * (sinks.PIPE_SIZE - 1) + b"\nlost\n")
    sink.flush(time.monotonic() + 0.02)
    assert log.lines[-1] == "1 line of output dropped (5 bytes)"
    assert not sink.stalled


def test_a_socket_is_written_without_blocking_it(reactor, log):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sink = log.sink(reactor, ours.fileno())
        sink.write(MANY)
        assert log.lines == ["stalled"]
        assert os.get_blocking(ours.fileno())
        assert read_while(reactor, sink, theirs.fileno()) == MANY
        sink.close()


def test_a_terminal_that_is_not_read_stalls_and_nothing_blocks(reactor, log):
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[1] &= ~termios.OPOST  # no \r before \n: compare bytes
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    sink = log.sink(reactor, slave)
    sink.write(MANY)
    assert log.lines == ["stalled"]
    assert os.get_blocking(slave)
    found = bytearray()
    turn(reactor, lambda: found.extend(os.read(master, 65536)) or len(found) == len(MANY))
    assert bytes(found) == MANY
    sink.close()
    os.close(master)
    os.close(slave)


def test_the_last_flush_lets_a_terminal_go_on_that_ctrl_s_has_stopped(reactor, log):
    master, slave = pty.openpty()
    sink = log.sink(reactor, slave)
    os.write(master, b"\x13")
    count = 0
    while not sink.stalled:
        sink.write(b"a line\n")
        count += 1
        assert count < 100_000
    sink.write(b"the last\n")
    sink.flush(time.monotonic() + 5)
    assert sink.dropped == 0
    found = b""
    while not found.endswith(b"the last\r\n"):
        found += os.read(master, 65536)
    assert found.count(b"a line\r\n") == count
    sink.close()
    os.close(master)
    os.close(slave)


IN_THE_BACKGROUND = """
import os, signal, sys
from procman.kernel.output.terminals import resume
fd = os.open(sys.argv[1], os.O_RDWR)  # of the session's leader it becomes the controlling terminal
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, lambda *_: os._exit(1))
    resume(fd)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
"""


def test_a_job_in_the_background_lets_its_terminal_go_on_without_ttou_to_its_group():
    master, slave = pty.openpty()
    command = [sys.executable, "-c", IN_THE_BACKGROUND, os.ttyname(slave)]
    try:
        assert subprocess.run(command, start_new_session=True, check=False).returncode == 0
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("nowait", [True, False])
def test_a_pipe_that_cannot_be_opened_again_is_written_with_care(pipe, nowait):
    put = sinks._Careful(pipe[1], nowait=nowait).put
    written = 0
    with suppress(BlockingIOError):
        while True:
            written += put(b"x" * 10_000)
    assert written == available(pipe[0]) >= 4096
    assert os.get_blocking(pipe[1])
    os.read(pipe[0], 65536)
    assert put(b"x" * 100) == 100


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
def test_another_users_pipe_is_written_without_blocking(pipe):
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 65536)
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        way = sinks.find_way(pipe[1])
        try:
            while True:
                way.put(b"x" * 10_000)
        except BlockingIOError:
            os._exit(0 if way.fd == pipe[1] else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
