"""What one program leaves to the next: the memory file, its version, and the command line that is executed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from procman import __version__
from procman.app.resume import SavedState
from procman.errors import RefusedError
from procman.kernel.survive import handover
from procman.kernel.survive.handover import Program, Received

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there are no memory files here")

STATE_OF_VERSION = {4: "261f4f2a6eb23658"}
"""A digest of everything that a state is made of, for each version of it."""


class State(Struct, frozen=True):
    text: str
    table: dict[str, bytes]
    pids: dict[int, float]


EMPTY = State("", {}, {})


def received(state: Struct, *memory: bytes) -> Received:
    return Received(handover.write(state, [memoryview(part) for part in memory]))


def refusal(fd: int, kind: type = State) -> str:
    with pytest.raises(RefusedError) as caught:
        Received(fd).state(kind)
    os.close(fd)
    return caught.value.message


def sealed(data: bytes, seals: int = handover.SEALS) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


# ---- the file


odd = st.binary(max_size=20).map(os.fsdecode) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(text=odd, names=st.lists(odd, max_size=3), memory=st.lists(st.binary(max_size=50), max_size=3))
def test_everything_comes_back_as_it_was(text: str, names: list[str], memory: list[bytes]) -> None:
    """Text that is no UTF-8, too: a path, a value of the environment. None of those has a NUL."""
    text, names = text.replace("\0", ""), [name.replace("\0", "") for name in names]
    state = State(text, dict.fromkeys(names, b"\0\xff"), {7: 1.5})
    got = received(state, *memory)
    assert got.state(State) == state
    places = [bytearray(len(part)) for part in memory]
    got.fill([memoryview(place) for place in places])
    assert [bytes(place) for place in places] == memory
    got.close()


def test_it_cannot_be_changed_any_more() -> None:
    fd = handover.write(EMPTY, [])
    for change in (lambda: os.write(fd, b"x"), lambda: os.ftruncate(fd, 0), lambda: os.ftruncate(fd, 1 << 20)):
        with pytest.raises(PermissionError):
            change()
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_memory_of_another_size_is_refused() -> None:
    got = received(EMPTY, b"four")
    got.state(State)
    for size in (3, 5):
        with pytest.raises(RefusedError, match="another size"):
            got.fill([memoryview(bytearray(size))])
    got.close()


def test_a_state_of_another_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "VERSION", 999)
    monkeypatch.setattr(handover, "__version__", "9.9.9")
    fd = handover.write(EMPTY, [])
    monkeypatch.undo()
    told = f"the state of procman 9.9.9 is of version 999, and procman {__version__} reads version {handover.VERSION}"
    assert refusal(fd) == f"cannot take over: {told}"


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"{}\n", b"nonsense", b'{"state": 1}\n', b"{" * 5000], ids=lambda data: data[:20]
)
def test_what_begins_otherwise_is_refused(data: bytes) -> None:
    assert refusal(sealed(data)).startswith("cannot take over: ")


def test_a_state_of_another_form_is_refused_with_its_path() -> None:
    class Other(Struct):
        text: int

    assert re.search(r"Expected `int`, got `str` - at `\$\.text`", refusal(handover.write(EMPTY, []), Other))


def test_a_file_that_somebody_may_still_change_is_refused() -> None:
    whole = handover.write(EMPTY, [])
    data = os.pread(whole, 4096, 0)
    os.close(whole)
    assert "sealed" in refusal(sealed(data, fcntl.F_SEAL_SHRINK))


def test_a_descriptor_of_something_else_is_refused(tmp_path: Path) -> None:
    for fd in (os.open(tmp_path, os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)):
        assert refusal(fd).endswith("is not the state of a procman")


def test_a_change_of_the_state_is_noticed() -> None:
    """Raise handover.VERSION where a program without the change would misread it, and note the digest here."""
    schema = msgspec.json.encode(msgspec.json.schema(SavedState), order="deterministic")
    digest = hashlib.sha256(re.sub(rb'"description":"[^"]*",?', b"", schema)).hexdigest()[:16]
    assert STATE_OF_VERSION[handover.VERSION] == digest


# ---- the program


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Descriptors of the folder that it was started in, and of its root; the current one is the root."""
    here = os.getcwd()
    (tmp_path / "root").mkdir()
    opened = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path / "root", os.O_RDONLY)
    os.chdir(tmp_path / "root")
    yield opened
    os.chdir(here)
    for fd in opened:
        os.close(fd)


def program(folders: tuple[int, int], *head: str, args: tuple[str, ...] = ("start", "-m", "a=2")) -> Program:
    return Program(head, args, {}, *folders)


@pytest.mark.parametrize(
    ("orig", "argv", "head"),
    [
        (["python", "/bin/procman", "start", "a"], ["/bin/procman", "start", "a"], ["/bin/procman"]),
        (["python", "-m", "procman", "start", "a"], ["/lib/procman/__main__.py", "start", "a"], ["-m", "procman"]),
        (["python", "-X", "dev", "p", "start", "a"], ["p", "start", "a"], ["-X", "dev", "p"]),
        (["python", "p", "start", "--take-over=7", "a"], ["p", "start", "--take-over=7", "a"], ["p"]),
    ],
)
def test_the_command_line_is_that_of_this_program(
    monkeypatch: pytest.MonkeyPatch, orig: list[str], argv: list[str], head: list[str]
) -> None:
    monkeypatch.setattr(sys, "orig_argv", orig)
    monkeypatch.setattr(sys, "argv", argv)
    this = Program.this({}, 0, 0)
    assert this.is_known
    assert this.head == (sys.executable, *head)
    assert this.command(["p"], "--take-over=9") == ["p", "start", "--take-over=9", "a"]


def test_one_that_calls_main_by_itself_is_not_known(folders: tuple[int, int]) -> None:
    assert not program(folders, "python", "p", args=()).is_known
    assert not program(folders, "python", "p", args=("file", "start")).is_known


def test_a_script_is_executed_itself_from_the_folder_it_was_found_in(folders: tuple[int, int], tmp_path: Path) -> None:
    script = tmp_path / "p"
    script.write_text("#!/bin/sh\n")
    assert program(folders, "python", "./p").find() == ["python", "./p"]
    script.chmod(0o755)
    assert program(folders, "python", "./p").find() == ["./p"]
    assert program(folders, "python", "-I", "./p").find() == ["python", "-I", "./p"]
    script.write_text("import this\n")
    assert program(folders, "python", "./p").find() == ["python", "./p"]
    assert Path.cwd() == tmp_path / "root"


def test_an_exec_that_fails_leaves_everything_as_it_was(folders: tuple[int, int], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    state = handover.write(EMPTY, [])
    with pytest.raises(FileNotFoundError):
        program(folders, "python", "-I", "p").become(["./nosuch"], state, [reader, writer])
    assert not any(map(os.get_inheritable, (reader, writer, state)))
    assert Path.cwd() == tmp_path / "root"
    os.close(writer)
    with pytest.raises(OSError, match="Bad file"):
        program(folders, "python", "-I", "p").become(["./nosuch"], state, [reader, writer])
    assert not any(map(os.get_inheritable, (reader, state)))
    os.close(reader)
    os.close(state)
