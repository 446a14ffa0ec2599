"""Why a file is not executed, as far as the file itself shows it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from procman.executables import why_not


@pytest.fixture
def made(tmp_path: Path):
    def make(content: bytes, name: str = "program") -> str:
        path = tmp_path / name
        path.write_bytes(content)
        path.chmod(0o755)
        return str(path)

    return make


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"#!/nowhere/ruby\n", "its first line names the interpreter /nowhere/ruby, which does not exist"),
        (
            b"#! /nowhere/python3 -u\nprint()\n",
            "its first line names the interpreter /nowhere/python3, which does not exist",
        ),
        (b"#!/etc/passwd", "its first line names the interpreter /etc/passwd, which is not executable"),
        (b"#!/\n", "its first line names the interpreter /, which is not executable"),
        (b"#!/bin/sh\r\necho hi\r\n", "its first line ends with a carriage return"),
        (b"#!/usr/bin/env python3\r\n", "its first line ends with a carriage return"),
        (b"\x7fELF", "it was built for another kind of processor, or is damaged"),
    ],
)
def test_a_file_shows_what_it_lacks(made, content: bytes, why: str) -> None:
    assert why_not(made(content)).startswith(why)


@pytest.mark.parametrize("content", [b"#!/bin/sh\n", b"#!\n", b"#!", b"", b"echo hi\n", b"\xff\xfe#!/bin/sh\n"])
def test_nothing_is_said_of_a_file_that_shows_nothing(made, content: bytes) -> None:
    assert why_not(made(content)) == ""


def test_a_program_for_another_processor_is_one(made) -> None:
    binary = bytearray(Path(os.path.realpath("/bin/sh")).read_bytes())
    binary[18:20] = (0xFFF0).to_bytes(2, "little")
    assert "another kind of processor" in why_not(made(bytes(binary)))


def test_a_program_of_this_system_has_nothing_wrong_with_it() -> None:
    assert why_not("/bin/sh") == ""


def test_the_loader_of_another_c_library_is_named(made) -> None:
    head = Path(os.path.realpath("/bin/sh")).read_bytes()[:20]
    assert "it needs the loader /lib/ld-musl-none.so.1, which does not exist" in why_not(
        made(head + b"\0" * 100 + b"/lib/ld-musl-none.so.1\0")
    )


def test_links_and_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("/nowhere/program")
    (tmp_path / "loop").symlink_to("loop")
    assert why_not(str(tmp_path / "dangling")) == "it is a link to /nowhere/program, which does not exist"
    assert "symbolic links" in why_not(str(tmp_path / "loop"))
    assert why_not(str(tmp_path / "none")) == "there is no such file"
    assert why_not(str(tmp_path)) == "it is a directory"
