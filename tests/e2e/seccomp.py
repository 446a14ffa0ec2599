"""A procman some of whose system calls are refused, as by a strict profile of a container."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness import World

LOAD_NUMBER, LOAD_ARGUMENT = (0x20, 0, 0, 0), (0x20, 0, 0, 16)
"""Load the number of the call, or its first argument, of the structure seccomp_data (seccomp(2))."""

REFUSE, ALLOW = (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)
"""Answer EPERM, or carry the call out."""

FILTERED = """
import ctypes, json, os, struct, sys
rules = json.loads(sys.argv[1])
program = b"".join(struct.pack("HBBI", *rule) for rule in rules)
buffer = ctypes.create_string_buffer(program)
header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(buffer)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, header, 0, 0) == 0
os.execvp(sys.argv[2], sys.argv[2:])
"""


def equal(value: int, otherwise: int, then: int = 0) -> tuple[int, int, int, int]:
    """Jump over `then` rules where what is loaded is this value, over `otherwise` where it is not."""
    return 0x15, then, otherwise, value


def filtered(world: World, rules: Sequence[tuple[int, int, int, int]]) -> tuple[str, ...]:
    """The words in front of a command that run it under a filter of these sock_filter rules, with the calls of x86_64."""
    if os.uname().machine != "x86_64":
        pytest.skip("the filter is that of x86_64")
    python = world.script("filtered.py", FILTERED).split()[0]
    return python, str(world.folder / "filtered.py"), json.dumps(rules)
