"""HAProxy's runtime API: one command over its Unix socket, with a deadline.

Owns the connection, which lasts for one command: a reload gives the socket's path to a new worker while connections
stay with the old one, so the next command always reaches the worker that serves. What answers mean is in answers.py.
"""

from __future__ import annotations

import re
import socket
import time

from msgspec.structs import replace

from procman.companions.balancer.answers import (
    BackendServer,
    HaproxyError,
    Refusal,
    read_load,
    read_pid,
    read_state,
    read_used,
    read_version,
    refusal,
)

PATIENCE = 1.0
"""Seconds for one command. HAProxy answers in under a millisecond, or it hangs."""

LONGEST = 16 << 20
"""Most bytes of an answer: 10,000 servers have 2 MB of statistics."""

OLDEST = (2, 6)


class Runtime:
    """The HAProxy behind a socket. Every method raises HaproxyError, and nothing else."""

    def __init__(self, path: str, patience: float = PATIENCE) -> None:
        self.path = path
        self._patience = patience

    def change(self, command: str) -> None:
        """Carry out a command that changes something."""
        refused = refusal(command, self.ask(command))
        if refused is not None:
            raise refused

    def servers(self, backend: str) -> tuple[BackendServer, ...]:
        """The servers of a backend, with the number of connections in use of each."""
        try:
            servers = read_state(self.ask(f"show servers state {backend}"))
        except HaproxyError as error:
            if error.kind is Refusal.NO_BACKEND:  # HAProxy's answer does not name it
                raise HaproxyError(error.kind, f"cannot find the backend {backend} in HAProxy") from None
            raise
        used = read_used(self.ask(f"show servers conn {backend}"))
        return tuple(replace(server, used=used.get((server.backend, server.name))) for server in servers)

    def load(self, backend: str, column: str) -> int:
        """A number of a backend, from the statistics."""
        return read_load(self.ask("show stat -1 2 -1"), backend, column)

    def state(self) -> str:
        """The content of a `server-state-file`, which HAProxy reads at its start."""
        text = self.ask("show servers state")
        read_state(text)
        return text.rstrip("\n") + "\n"

    def check_version(self) -> None:
        version = read_version(self.ask("show info"))
        if version < OLDEST:
            raise HaproxyError(Refusal.TOO_OLD, f"cannot use HAProxy {version[0]}.{version[1]}")

    def is_replacing(self) -> bool:
        """Whether workers from before a reload still finish requests."""
        return bool(former_workers(read_pid(self.ask("show info"))))

    def ask(self, command: str) -> str:
        """The complete answer to one line."""
        deadline = time.monotonic() + self._patience
        answer = bytearray()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._patience)
                connection.connect(self.path)
                connection.sendall(command.encode() + b"\n")
                while piece := connection.recv(1 << 16):
                    answer += piece
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise TimeoutError
                    if len(answer) > LONGEST:
                        raise HaproxyError(Refusal.UNREADABLE, f"cannot read HAProxy's answer: over {LONGEST} bytes")
                    connection.settimeout(left)
        except OSError as error:
            raise _unreachable(self.path, error, self._patience) from None
        return answer.decode(errors="replace")


def _unreachable(path: str, error: OSError, patience: float) -> HaproxyError:
    match error:
        case TimeoutError() | BlockingIOError():
            return HaproxyError(Refusal.HUNG, f"cannot reach HAProxy on {path}: no answer within {patience:g} s")
        case PermissionError():
            return HaproxyError(Refusal.FORBIDDEN, f"cannot reach HAProxy on {path}: {error.strerror}")
        case _:
            return HaproxyError(Refusal.ABSENT, f"cannot reach HAProxy on {path}: {error.strerror or error}")


def former_workers(pid: int, proc: str = "/proc") -> tuple[int, ...]:
    """Workers that `pid` has replaced and that still run: they finish their requests, and no command reaches them.

    If a process is stopped meanwhile, such a request fails, and the new worker does not count it. (Measured: 19 of 40,000
    requests of 20 ms failed where instances were stopped right after a reload.) The command line of the new worker names
    them, after `-sf` or `-st`; if it cannot be read (another PID namespace, not Linux) none are known.
    """
    words = _read(f"{proc}/{pid}/cmdline").split("\0")
    named: list[int] = []
    follows = False
    for word in words:
        if word in {"-sf", "-st"}:
            follows = True
        elif follows and re.fullmatch(r"[0-9]{1,10}", word):
            named.append(int(word))
        else:
            follows = False
    program = _program(proc, pid)
    return tuple(number for number in named if program and _program(proc, number) == program)


def _program(proc: str, pid: int) -> str:
    """The name of a process's program, "" if it has ended: its number may belong to another one by now."""
    name, _, rest = _read(f"{proc}/{pid}/stat").partition("(")[2].rpartition(")")
    return "" if not rest or rest.split()[0] in "ZX" else name


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:  # ended, or not visible from here
        return ""
