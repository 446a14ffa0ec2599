"""Log files: whole lines, in order, none lost and none doubled, whatever becomes of the files and of the disk."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
from pathlib import Path

import pytest
from forked import alone
from hypothesis import given, settings
from hypothesis import strategies as st

from procman.errors import ConfigError, RefusedError
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.formatting import Format
from procman.kernel.output.history import History
from procman.kernel.output.logfiles import LogFiles, Rotation
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.output.sinks import Sink


@pytest.fixture
def reactor():
    made = Reactor()
    yield made
    made.close()


@pytest.fixture
def files(reactor, tmp_path):
    made = LogFiles(reactor, str(tmp_path), Rotation())
    made.troubles = []
    made.on_trouble = made.troubles.append
    yield made
    made.close()


def everything(folder: Path, name: str) -> bytes:
    """All that is there of an instance, the oldest first."""
    found = sorted(folder.glob(f"{name}.log*"), key=lambda path: -int(path.suffix[1:]) if path.suffix != ".log" else 1)
    return b"".join(path.read_bytes() for path in found)


def test_lines_go_to_a_file_of_the_instance_as_they_are(files, tmp_path):
    files.write("web.1", b"one\n\xff\x00\x1b[31mtwo\n")
    files.write("web.2", b"other\n")
    assert (tmp_path / "web.1.log").read_bytes() == b"one\n\xff\x00\x1b[31mtwo\n"
    assert (tmp_path / "web.2.log").read_bytes() == b"other\n"


def test_a_file_that_is_there_is_gone_on_with(files, tmp_path):
    (tmp_path / "web.1.log").write_bytes(b"before\n")
    files.write("web.1", b"after\n")
    assert (tmp_path / "web.1.log").read_bytes() == b"before\nafter\n"


def test_nothing_is_made_for_an_instance_that_says_nothing(files, tmp_path):
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_for_its_user_and_group_alone(files, tmp_path):
    os.umask(0o022)
    files.write("web.1", b"one\n")
    assert (tmp_path / "web.1.log").stat().st_mode & 0o777 == 0o640


# ---- by size


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=8), max_size=30), st.integers(1, 64))
@settings(max_examples=100)
def test_no_line_is_torn_lost_or_doubled_by_rotations(tmp_path_factory, chunks, limit):
    folder = tmp_path_factory.mktemp("logs")
    reactor = Reactor()
    files = LogFiles(reactor, str(folder), Rotation(limit, 1000))
    written = b""
    for number, lengths in enumerate(chunks):
        chunk = b"".join(b"%d%s\n" % (number, b"x" * length) for length in lengths)
        files.write("a.1", chunk)
        written += chunk
    files.close()
    reactor.close()
    assert everything(folder, "a.1") == written
    for path in folder.iterdir():
        content = path.read_bytes()
        assert content.endswith(b"\n")
        assert len(content) <= limit or content.count(b"\n") == 1  # one line that is larger than any file


def test_only_so_many_are_kept(reactor, tmp_path):
    files = LogFiles(reactor, str(tmp_path), Rotation(10, 2))
    for number in range(10):
        files.write("a.1", b"line %d..\n" % number)
    files.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.1.log", "a.1.log.1", "a.1.log.2"]
    assert everything(tmp_path, "a.1") == b"line 7..\nline 8..\nline 9..\n"


def test_none_kept_is_one_file_that_begins_anew(reactor, tmp_path):
    files = LogFiles(reactor, str(tmp_path), Rotation(10, 0))
    files.write("a.1", b"line 1..\nline 2..\n")
    files.close()
    assert everything(tmp_path, "a.1") == b"line 2..\n"


def test_without_a_limit_it_is_never_rotated(reactor, tmp_path):
    files = LogFiles(reactor, str(tmp_path), Rotation(0))
    for _ in range(100):
        files.write("a.1", b"x" * 9999 + b"\n")
    files.close()
    assert (tmp_path / "a.1.log").stat().st_size == 1_000_000


def test_what_stood_there_counts(reactor, tmp_path):
    (tmp_path / "a.1.log").write_bytes(b"12345678\n")
    files = LogFiles(reactor, str(tmp_path), Rotation(10))
    files.write("a.1", b"new\n")
    files.close()
    assert (tmp_path / "a.1.log.1").read_bytes() == b"12345678\n"


def test_a_rotation_that_fails_is_told_and_the_file_goes_on(reactor, tmp_path):
    (tmp_path / "a.1.log.1").mkdir()  # cannot be replaced by a file
    files = LogFiles(reactor, str(tmp_path), Rotation(10, 1))
    troubles = []
    files.on_trouble = troubles.append
    for number in range(5):
        files.write("a.1", b"line %d..\n" % number)
    files.close()
    assert (tmp_path / "a.1.log").read_bytes().count(b"\n") == 5
    assert len(troubles) == 1
    assert "cannot rotate" in troubles[0]


# ---- by another program


def test_a_renamed_file_is_left_at_the_signal(files, tmp_path):
    files.write("a.1", b"one\n")
    (tmp_path / "a.1.log").rename(tmp_path / "old")
    files.write("a.1", b"two\n")
    files.reopen()
    files.write("a.1", b"three\n")
    assert (tmp_path / "old").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "a.1.log").read_bytes() == b"three\n"


def test_a_file_that_was_not_renamed_is_gone_on_with(files, tmp_path):
    files.write("a.1", b"one\n")
    files.reopen()
    files.write("a.1", b"two\n")
    assert (tmp_path / "a.1.log").read_bytes() == b"one\ntwo\n"


def test_a_thousand_rotations_by_signal_lose_no_line(tmp_path):
    """Each is renamed and told by USR1 while lines come; the signal is handled between any two of them."""

    def body() -> None:
        reactor = Reactor()
        files = LogFiles(reactor, str(tmp_path), Rotation(0))
        told = []
        reactor.on_signal(signal.SIGUSR1, lambda: (files.reopen(), told.append(1)))
        for number in range(1000):
            files.write("a.1", b"".join(b"%d.%d\n" % (number, line) for line in range(10)))
            os.rename(tmp_path / "a.1.log", tmp_path / f"old.{number}")
            os.kill(os.getpid(), signal.SIGUSR1)
            files.write("a.1", b"%d.between\n" % number)  # to the renamed one
            reactor._round()
        files.close()
        assert len(told) == 1000
        for number in range(1000):
            lines = (tmp_path / f"old.{number}").read_bytes().split(b"\n")
            assert lines == [*(b"%d.%d" % (number, line) for line in range(10)), b"%d.between" % number, b""]

    alone(body)


# ---- what is in the way


def test_a_link_is_not_followed(files, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "a.1.log").symlink_to(tmp_path / "elsewhere")
    files.write("a.1", b"one\n")
    assert (tmp_path / "elsewhere").read_bytes() == b""
    assert "a.1.log" in files.troubles[0]


def test_a_fifo_does_not_hold_it_up(files, tmp_path):
    os.mkfifo(tmp_path / "a.1.log")
    files.write("a.1", b"one\n")
    assert len(files.troubles) == 1


def test_a_full_disk_drops_counts_and_resumes_with_whole_lines(tmp_path):
    """RLIMIT_FSIZE stands for the disk: Python ignores XFSZ, so a write fails with EFBIG after what still fits."""

    def body() -> None:
        reactor = Reactor()
        files = LogFiles(reactor, str(tmp_path), Rotation(0))
        troubles: list[str] = []
        files.on_trouble = troubles.append
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (25, hard))
        for number in range(5):
            files.write("a.1", b"line %d..\n" % number)
        assert len(troubles) == 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        files._files["a.1"][1]._retry_at = 0.0  # a second has passed
        files.write("a.1", b"again\n")
        lines = (tmp_path / "a.1.log").read_bytes().splitlines()
        assert lines[:3] == [b"line 0..", b"line 1..", b"line 2.."]
        assert lines[3].startswith(b"procman: 2 lines of output dropped")
        assert lines[4] == b"again"

    alone(body)


def test_a_folder_that_is_full_for_all_is_told_once(files, tmp_path):
    for name in ("a.1", "a.2", "a.3"):
        (tmp_path / f"{name}.log").mkdir()
        files.write(name, b"one\n")
    assert len(files.troubles) == 1


def test_a_folder_that_is_a_link_is_made_where_the_link_leads_to_and_made_again(reactor, tmp_path):
    (tmp_path / "log").symlink_to("shared/log")
    files = LogFiles(reactor, str(tmp_path / "log"), Rotation())
    files.write("web.1", b"one\n")
    assert (tmp_path / "shared" / "log" / "web.1.log").read_bytes() == b"one\n"
    shutil.rmtree(tmp_path / "shared")
    files.reopen()
    files.write("web.1", b"two\n")
    assert (tmp_path / "shared" / "log" / "web.1.log").read_bytes() == b"two\n"
    files.close()


def test_a_folder_that_cannot_be_made_is_refused(reactor, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write log files in .*file/logs"):
        LogFiles(reactor, str(tmp_path / "file" / "logs"), Rotation())


def test_a_folder_of_another_procman_is_refused_until_that_ends(reactor, tmp_path):
    first = LogFiles(reactor, str(tmp_path), Rotation())
    with pytest.raises(RefusedError, match="another procman"):
        LogFiles(reactor, str(tmp_path), Rotation())
    first.close()
    LogFiles(reactor, str(tmp_path), Rotation()).close()


# ---- from the output


class Written:
    """A multiplexer with log files, a pipe that is somebody's output, and what stands in the files."""

    def __init__(self, reactor: Reactor, folder: Path, **look) -> None:
        self.folder = folder
        self.out = os.open(folder / "stdout", os.O_RDWR | os.O_CREAT)
        self.out = Multiplexer(
            reactor,
            Sink(reactor, self.out),
            History(),
            Format(**look),
            LogFiles(reactor, str(folder / "logs"), Rotation()),
        )

    def say(self, name: str, data: bytes) -> None:
        read, write = os.pipe()
        stream = self.out.open(name, name.partition(".")[0], read)
        os.write(write, data)
        os.close(write)
        self.out.close(stream)

    def file(self, name: str) -> bytes:
        return (self.folder / "logs" / f"{name}.log").read_bytes()


def test_a_file_has_the_lines_without_prefix_also_of_a_quiet_type(reactor, tmp_path):
    written = Written(reactor, tmp_path, color=True, quiet=frozenset({"web"}))
    written.say("web.1", b"one\ntwo")
    assert written.file("web.1") == b"one\ntwo\n"
    assert (tmp_path / "stdout").read_bytes() == b""


def test_a_terminals_lines_are_filed_as_they_look_without_colours(reactor, tmp_path):
    written = Written(reactor, tmp_path, color=True)
    master, slave = os.openpty()
    stream = written.out.open("web.1", "web", master, terminal=True)
    os.write(slave, b"\x1b[31mred\x1b[0m\x1b[2J\n10%\r100%\n")
    os.close(slave)
    written.out.close(stream)
    assert written.file("web.1") == b"red\n100%\n"


def test_as_json_a_file_has_the_objects(reactor, tmp_path):
    written = Written(reactor, tmp_path, mode="json")
    written.say("web.1", b"one\n\xff\n")
    assert [json.loads(line)["message"] for line in written.file("web.1").splitlines()] == ["one", "\ufffd"]
    assert written.file("web.1") == (tmp_path / "stdout").read_bytes()


def test_procmans_own_lines_have_the_time_in_their_file(reactor, tmp_path):
    written = Written(reactor, tmp_path, timestamps=False)
    written.out.log("one\ntwo")
    lines = written.file("system").decode().splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["one", "two"]
    assert all(line.startswith("20") for line in lines)


def test_the_file_of_a_removed_slot_is_closed_and_stays(reactor, tmp_path):
    written = Written(reactor, tmp_path)
    written.say("web.1", b"one\n")
    before = len(os.listdir("/dev/fd"))
    written.out.forget("web.1")
    assert len(os.listdir("/dev/fd")) == before - 1
    written.say("web.1", b"two\n")
    assert written.file("web.1") == b"one\ntwo\n"
