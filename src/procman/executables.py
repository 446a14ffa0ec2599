"""Why the system does not execute a file: the same error stands for a missing file, a missing interpreter and Windows line ends.

Loaded only after a start has failed. Reads the beginning of the file, and changes nothing.
"""

from __future__ import annotations

import os
import re
import struct
import sys

HEAD = 4096
"""Bytes read of a file: the interpreter that an ELF file names lies in its first page."""

_LOADER = re.compile(rb"(/[\x21-\x7e]*/ld[\x21-\x7e]*\.so[\x21-\x7e]*)\0")
_MACHINE = struct.Struct("<18xH")
_HERE = {"x86_64": 62, "aarch64": 183, "riscv64": 243}
"""`e_machine` of elf(5) on systems with these words of uname(2)."""


def why_not(path: str) -> str:
    """Why this file cannot be executed, as the end of a sentence about it; empty if nothing about it shows why."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError:
        return _without_reading(path)
    if head.startswith(b"#!"):
        return _of_script(head) or _of_mount(path)
    if head.startswith(b"\x7fELF"):
        return _of_mount(path) or _of_binary(head)
    return _of_mount(path)


def _without_reading(path: str) -> str:
    try:
        os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            return f"it is a link to {os.readlink(path)}, which does not exist"
        return "there is no such file"
    except OSError as error:  # too many links, no permission for a folder above it
        return (error.strerror or "it cannot be read").lower()
    return "it is a directory" if os.path.isdir(path) else ""


def _of_mount(path: str) -> str:
    """Whether its permissions allow it, and its mount does not."""
    try:
        noexec = os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0)
    except OSError:
        return ""
    return "its file system is mounted with `noexec`" if noexec else ""


def _of_script(head: bytes) -> str:
    line = head[2:].partition(b"\n")[0]
    words = line.split(None, 1)
    if line.endswith(b"\r"):
        return "its first line ends with a carriage return: it has Windows line ends, which `dos2unix` converts"
    if not words:
        return ""
    interpreter = os.fsdecode(words[0])
    if not os.path.exists(interpreter):
        return f"its first line names the interpreter {interpreter}, which does not exist"
    if os.path.isdir(interpreter) or not os.access(interpreter, os.X_OK):
        return f"its first line names the interpreter {interpreter}, which is not executable"
    return ""


def _of_binary(head: bytes) -> str:
    here = _HERE.get(os.uname().machine)
    if len(head) < _MACHINE.size or (sys.byteorder == "little" and here not in (None, _MACHINE.unpack_from(head)[0])):
        return "it was built for another kind of processor, or is damaged"
    found = _LOADER.search(head)
    loader = os.fsdecode(found[1]) if found else ""
    if loader and not os.path.exists(loader):
        return f"it needs the loader {loader}, which does not exist: it was built for another system or C library"
    return ""
