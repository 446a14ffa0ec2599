"""Waiting for what will be true, with a generous deadline."""

from __future__ import annotations

import socket
import time

import pytest

DEADLINE = 30.0


def until(condition, what="it"):
    """What the condition says, once it is true. Fails at the deadline."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    pytest.fail(f"{what} did not happen within {DEADLINE:g} s")
    return None


def is_gone(pid):
    """Whether nothing of this pid runs: it is a zombie, maybe, where init takes its time."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
