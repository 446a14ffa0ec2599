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


class Process:
    """One run of an instance: its leader, its group, and procman's ends of its pipes.

    Group and session have the leader's pid; where there is a terminal, that of the process that holds it (`held`: as
    long as it does). Sets are replaced and not changed: nearly all are empty and the same object, where each of its own
    would take 216 bytes.
    """

    __slots__ = (
        *("adopted", "born", "daemons", "generation", "group", "heard", "held"),
        *("name", "pid", "reaped", "spec", "stdin", "streams"),
    )

    def __init__(self, name: str, generation: int, spec: ProcessSpec, pid: int, born: float) -> None:
        self.name = name
        self.generation = generation
        self.spec = spec
        self.pid = self.group = pid
        self.held = False
        self.born = born
        self.reaped = False
        self.adopted = NOBODY
        self.heard = ""  # the signal that its leader caught when it was young
        self.daemons = NOBODY  # daemons that it brought into its type, and which may outlive it
        self.streams: tuple[ChildStream, ...] = ()
        self.stdin: int | None = None


class LifeState(Struct, frozen=True, kw_only=True):
    """A process as a value: `spec` is an index into the table's `specs`, `streams` are the descriptors of its open
    streams.
    """

    name: str
    generation: int
    spec: int
    pid: int
    born: float
    reaped: bool
    adopted: tuple[int, ...]
    daemons: tuple[int, ...]
    streams: tuple[int, ...]
    stdin: int | None
    group: int = 0
    held: bool = False


def state_of(life: Process, spec: int) -> LifeState:
    return LifeState(
        name=life.name,
        generation=life.generation,
        spec=spec,
        pid=life.pid,
        born=life.born,
        reaped=life.reaped,
        adopted=tuple(life.adopted),
        daemons=tuple(life.daemons),
        streams=tuple(stream.fd for stream in life.streams if stream.fd >= 0),
        stdin=life.stdin,
        group=life.group,
        held=life.held,
    )


def restored(state: LifeState, spec: ProcessSpec, streams: Mapping[int, ChildStream]) -> Process:
    life = Process(state.name, state.generation, spec, state.pid, state.born)
    life.group, life.held = state.group or state.pid, state.held
    life.reaped = state.reaped
    life.adopted = frozenset(state.adopted) or NOBODY
    life.daemons = frozenset(state.daemons) or NOBODY
    life.streams = tuple(streams[fd] for fd in state.streams)
    life.stdin = state.stdin
    return life


def without(pid: int, pids: frozenset[int]) -> frozenset[int]:
    return pids - {pid} or NOBODY


def group_lives(life: Process) -> bool:
    """Whether the group of a reaped leader still has a member.

    As long as it has, no process can get the number (pid_namespaces(7), fork(2)): a process with that very pid is a
    stranger, which can only have got it after the group had ended.
    """
    if life.held:
        return True
    try:
        os.kill(life.group, 0)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    else:
        return False
    try:
        os.killpg(life.group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def group_of(pid: int) -> int:
    """The process group of a process, 0 where it has ended."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
