"""One process of an instance: the leader, its group, what was adopted from it, and procman's ends of its pipes."""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec import Struct

from procman.core.spec import ProcessSpec
from procman.kernel.output.stream import ChildStream

NOBODY: frozenset[int] = frozenset()


MARK = "PROCMAN_INSTANCE"
"""The variable that shows which instance a process comes from, as long as the process does not overwrite its
environment.
"""


def mark_prefix(ident: str) -> str:
    """The start of the mark of all processes of this procman, in an environment."""
    return f"{MARK}={ident}/"


def marked_in(environment: bytes, prefix: str) -> tuple[str, int] | None:
    """The instance and generation of the mark with this prefix in an environment; None if it has none, or a false one."""
    start = prefix.encode()
    for variable in environment.split(b"\0"):
        if variable.startswith(start):
            name, _, generation = variable[len(start) :].decode(errors="replace").partition("/")
            # a child can write anything here, and int() refuses 4,301 digits with a ValueError
            return (name, int(generation)) if generation.isdecimal() and len(generation) < 19 else None
    return None


class Process:
    """One run of an instance: its leader, its group, and procman's ends of its pipes.

    Group and session have the leader's pid; if there is a terminal, that of the process that holds it (`held`: as
    long as it does). Sets are replaced and not changed: nearly all are empty and the same object, where each of its own
    would take 216 bytes.
    """

    __slots__ = (
        *("adopted", "daemons", "ended", "generation", "group", "held"),
        *("name", "pid", "reaped", "spec", "started_at", "stdin", "streams"),
    )

    def __init__(self, name: str, generation: int, spec: ProcessSpec, pid: int, started_at: float) -> None:
        self.name = name
        self.generation = generation
        self.spec = spec
        self.pid = self.group = pid
        self.held = False
        self.started_at = started_at
        self.ended = self.reaped = False  # it is reaped after all that follows from its end
        self.adopted = NOBODY
        self.daemons = NOBODY  # daemons that it brought into its type, and which may outlive it
        self.streams: tuple[ChildStream, ...] = ()
        self.stdin: int | None = None

    @property
    def groups(self) -> tuple[int, ...]:
        """The group of its session; and where another process leads that, at a terminal, also the one of its leader, which can
        have made a group or a session of its own there (setsid(1), php-fpm, a shell with job control).
        """
        return (self.group,) if self.group == self.pid else (self.group, self.pid)


class ProcessState(Struct, frozen=True, kw_only=True, rename={"started_at": "born"}):
    """A process as a value: `spec` is an index into the table's `specs`, `streams` are descriptors of open streams."""

    name: str
    generation: int
    spec: int
    pid: int
    started_at: float
    reaped: bool
    adopted: tuple[int, ...]
    daemons: tuple[int, ...]
    streams: tuple[int, ...]
    stdin: int | None
    group: int = 0
    held: bool = False


def state_of(process: Process, spec: int) -> ProcessState:
    return ProcessState(
        name=process.name,
        generation=process.generation,
        spec=spec,
        pid=process.pid,
        started_at=process.started_at,
        reaped=process.reaped,
        adopted=tuple(process.adopted),
        daemons=tuple(process.daemons),
        streams=tuple(stream.fd for stream in process.streams if stream.fd >= 0),
        stdin=process.stdin,
        group=process.group,
        held=process.held,
    )


def restored(state: ProcessState, spec: ProcessSpec, streams: Mapping[int, ChildStream]) -> Process:
    process = Process(state.name, state.generation, spec, state.pid, state.started_at)
    process.group, process.held = state.group or state.pid, state.held
    process.ended = process.reaped = state.reaped
    process.adopted = frozenset(state.adopted) or NOBODY
    process.daemons = frozenset(state.daemons) or NOBODY
    process.streams = tuple(streams[fd] for fd in state.streams)
    process.stdin = state.stdin
    return process


def without(pid: int, pids: frozenset[int]) -> frozenset[int]:
    return pids - {pid} or NOBODY


def group_is_alive(process: Process) -> bool:
    """Whether the groups of a reaped leader still have a member."""
    return process.held or any(map(has_members, process.groups))


def has_members(group: int) -> bool:
    """Whether the group with the number of a process that was reaped still has a member.

    As long as it has, no process can get the number (pid_namespaces(7), fork(2)): a process with that very pid is a
    stranger, which can only have got it after the group had ended.
    """
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        os.kill(group, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def group_of(pid: int) -> int:
    """The process group of a process, 0 if it has ended, or if the system does not show it."""
    try:
        return os.getpgid(pid)
    except OSError:
        return 0
