"""How a command becomes a process: what is executed, with which descriptors, signals and limits.

Knows commands, descriptors and errno; knows neither instances nor restarts nor output. `os.posix_spawn` costs 1.03 x a
C posix_spawn, and `preexec_fn` 4.5 x and more; what posix_spawn cannot do (a folder, a limit) is done by a shell, which
then becomes the program.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.core.spec import ProcessSpec, Stdin
from procman.kernel.output.stream import UNKNOWN_SIZE
from procman.later import later
from procman.text.lines import clean
from procman.text.shell import argv as argv_of
from procman.text.shell import is_plain

if TYPE_CHECKING:
    from procman import executables
    from procman.kernel.output import terminals
    from procman.kernel.process import holder
    from procman.kernel.process.holder import FileAction
else:
    executables = later(__name__, "procman.executables")
    terminals = later(__name__, "procman.kernel.output.terminals")
    holder = later(__name__, "procman.kernel.process.holder")

_REAL_TIME = range(signal.SIGRTMIN, signal.SIGRTMAX + 1) if hasattr(signal, "SIGRTMIN") else ()
SIGNALS_RESET = [n for n in (*range(1, 32), *_REAL_TIME) if n not in (signal.SIGKILL, signal.SIGSTOP)]
"""Every signal gets its default action in a child: Python itself ignores PIPE and XFSZ, and exec would keep that. Those
between 31 and SIGRTMIN belong to the C library. `signal.valid_signals()` makes an enum's member of each first: 0.5 ms."""

SHELL = "/bin/sh"
"""What does a step before the program, and leads a terminal's session."""

ANY_EXECUTE = 0o111
"""The permissions to execute a file, of its owner, its group and others."""

NOT_FOUND = 127
NOT_EXECUTABLE = 126
NO_ROOM = 1
"""Exit codes of a failed start; the first two as in sh."""


NO_TERMINAL = {
    errno.ENOENT: "/dev/ptmx is missing",
    errno.ENODEV: "/dev/pts is not mounted",
    errno.ENOSPC: "as many as the system allows are open; sysctl kernel.pty.max raises that",
}
"""What an error of openpty(3) means, if its usual text is misleading."""

NOHUP = "trap '' HUP; "
"""If no other process can lead the session (holder.py), HUP is ignored, unless it is the stop signal: processes inherit
that unless they set it themselves, as with nohup(1).
"""

ENTER = '_pm_before=$OLDPWD; cd "$0" && {} && '
"""Enters the folder. OLDPWD, which cd sets as well, stays as it would be without the shell. The variable's name
is none that a program's environment has, as the program would get the change.
"""

FIRST_SOCKET = 3
"""The first descriptor of a program's sockets: SD_LISTEN_FDS_START of sd_listen_fds(3)."""

LISTEN_PID = "export LISTEN_PID={}; "
"""The process that the sockets are for must find its own pid there (sd_listen_fds(3)), which is unknown before the
spawn. A shell sets it and becomes the program, which takes 0.6 ms, for types with sockets only.
"""


class SpawnError(Exception):
    """The process could not be made. `code` is 127, 126 or 1; `why` is for the user. `descriptors`: it failed for lack
    of a descriptor, and would work under a higher limit.
    """

    def __init__(self, code: int, why: str, *, descriptors: bool = False) -> None:
        super().__init__(why)
        self.code = code
        self.why = why
        self.descriptors = descriptors


class SpawnedProcess(Struct, frozen=True):
    """A process and procman's ends of its pipes; all non-inheritable. `stderr` only where streams are split.

    For a process with a terminal `stdout` is the master, which is its input as well, and `holder` leads its session.
    """

    pid: int
    stdout: int
    stderr: int | None
    stdin: int | None
    holder: int = 0


class Launch(Struct, frozen=True):
    """What to start: a spec in its environment. `root` is procman's working directory.

    `split` gives stderr a pipe of its own; `nofile` is the soft limit of descriptors for the child, where procman's own
    differs; `size` is that of the terminal, in columns and lines, if the spec asks for one. `sockets` are listening
    ones, which the child finds from descriptor 3 on. `held`: orphans become procman's children, so that another process
    can lead the session of a terminal (`holder`).
    """

    spec: ProcessSpec
    env: dict[str, str]
    root: str
    split: bool = False
    nofile: int | None = None
    size: tuple[int, int] = UNKNOWN_SIZE
    sockets: tuple[int, ...] = ()
    held: bool = False

    @property
    def has_holder(self) -> bool:
        return self.spec.tty and self.held and len(self.sockets) <= holder.MOST_SOCKETS and _has_shell()

    def steps(self) -> Iterator[str]:
        """What a shell does before it becomes the program: commands, each with its terminator."""
        if self.spec.tty and not self.has_holder and self.spec.stop.signal != "HUP" and _has_shell():
            yield NOHUP
        if self.nofile is not None:
            yield f"ulimit -Sn {self.nofile}; "
        if self.spec.cwd != self.root:
            yield ENTER.format("OLDPWD=$_pm_before" if "OLDPWD" in self.env else "unset OLDPWD")
        if self.sockets:
            yield LISTEN_PID.format("$_pm_pid" if self.has_holder else "$$")


def _has_shell() -> bool:
    """Whether the system has a shell, which images without a distribution do not have: then a program leads its session
    itself.
    """
    return os.access(SHELL, os.X_OK)


class _Ends(Struct, frozen=True):
    """The connections of a child: how it gets them, which ends are procman's, and which only the child's."""

    actions: list[FileAction]
    ours: tuple[int, int | None, int | None]  # stdout, stderr, stdin
    theirs: list[int]


def start(launch: Launch) -> SpawnedProcess:
    """Start the command in a session and group of its own. Raises SpawnError, with every descriptor closed again."""
    argv = _argv(launch)
    opened: list[int] = []
    held_by = 0
    try:
        ends = _terminal(launch, opened) if launch.spec.tty else _pipes(launch, opened)
        sockets: list[FileAction] = [(os.POSIX_SPAWN_DUP2, fd, FIRST_SOCKET + n) for n, fd in enumerate(launch.sockets)]
        if launch.has_holder:
            before = holder.HeldStart("".join(launch.steps()), launch.spec.cwd, argv)
            pid, held_by = before.run(launch.env, [*ends.actions, *sockets], in_session)
        else:
            argv = _by_shell(launch, argv)
            pid = _spawn(argv, launch.spec, launch.env, [*ends.actions, *sockets])
    except SpawnError:
        _close(opened)
        raise
    except (OSError, ValueError) as error:
        _close(opened)
        raise _explained(error, SHELL if launch.has_holder else argv[0]) from error
    _close(ends.theirs)
    return SpawnedProcess(pid, *ends.ours, held_by)


def _pipes(launch: Launch, opened: list[int]) -> _Ends:
    out = _pipe(opened)
    err = _pipe(opened) if launch.split else None
    into = _pipe(opened) if launch.spec.stdin is Stdin.OPEN else None
    actions: list[FileAction] = [
        (os.POSIX_SPAWN_DUP2, into[0], 0) if into else (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, out[1], 1),
        (os.POSIX_SPAWN_DUP2, err[1] if err else out[1], 2),
    ]
    theirs = [out[1], *([err[1]] if err else []), *([into[0]] if into else [])]
    return _Ends(actions, (out[0], err[0] if err else None, into[1] if into else None), theirs)


def _terminal(launch: Launch, opened: list[int]) -> _Ends:
    """A terminal as its connection. The first terminal that the leader of a session opens becomes its controlling one:
    credentials(7).
    """
    try:
        made = terminals.open_terminal(launch.size)
    except OSError as error:
        what = NO_TERMINAL.get(error.errno or 0, os.strerror(error.errno or 0))
        name = errno.errorcode.get(error.errno or 0, "?")
        why = f"cannot make a terminal: {what} ({name}); --no-tty or 'tty: false' starts it without one"
        raise SpawnError(NO_ROOM, why, descriptors=error.errno == errno.EMFILE) from error
    opened += [made.master, made.slave]
    actions: list[FileAction] = [
        (os.POSIX_SPAWN_OPEN, 0, made.path, os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_DUP2, 0, 2),
    ]
    return _Ends(actions, (made.master, None, None), [made.slave])


def in_session(argv: list[str], env: Mapping[str, str], actions: Sequence[FileAction]) -> int:
    """Execute `argv[0]` as the leader of a session, with no signal blocked or ignored; returns the pid. Raises OSError."""
    return os.posix_spawn(argv[0], argv, env, file_actions=actions, setsid=True, setsigmask=[], setsigdef=SIGNALS_RESET)


def _spawn(argv: list[str], spec: ProcessSpec, env: dict[str, str], actions: list[FileAction]) -> int:
    try:
        return in_session(argv, env, actions)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # a script without #!: run it in a shell, as execvp(3) does
    return in_session([spec.shell, "-c", spec.command], env, actions)


def _pipe(pipes: list[int]) -> tuple[int, int]:
    ends = os.pipe()
    pipes.extend(ends)
    return ends


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _explained(error: OSError | ValueError, program: str) -> SpawnError:
    if isinstance(error, ValueError):  # a NUL, or a '=' in the name of a variable
        return SpawnError(NO_ROOM, f"the environment or the command cannot be passed on: {error}")
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR | errno.ELOOP | errno.ENAMETOOLONG:
            why = executables.why_not(program) or "it, or the interpreter that its first line names, does not exist"
            return SpawnError(NOT_FOUND, f"cannot execute '{program}': {why}")
        case errno.ETXTBSY:
            return SpawnError(NOT_EXECUTABLE, f"cannot execute '{program}': it is open for writing (ETXTBSY)")
        case errno.EPERM:  # of the call that makes a process, or of the one that executes the program
            why = f"cannot start '{program}': the system does not permit it (EPERM; a seccomp filter, or the file's mount)"
            return SpawnError(NOT_EXECUTABLE, why)
        case errno.EACCES | errno.ENOEXEC | errno.EISDIR:
            why = executables.why_not(program) or os.strerror(error.errno)
            return SpawnError(NOT_EXECUTABLE, f"cannot execute '{program}': {why}")
        case errno.EAGAIN:
            return SpawnError(NO_ROOM, "cannot make a process: the limit is reached (EAGAIN; ulimit -u, pids cgroup)")
        case errno.EMFILE | errno.ENFILE:
            why = f"cannot make a pipe: no descriptor left ({errno.errorcode[error.errno]})"
            return SpawnError(NO_ROOM, why, descriptors=error.errno == errno.EMFILE)
        case errno.E2BIG:
            return SpawnError(NO_ROOM, "cannot start: the command and its environment are too long (E2BIG)")
        case _:
            name = errno.errorcode.get(error.errno or 0, "?")
            return SpawnError(NO_ROOM, f"cannot make a process: {os.strerror(error.errno or 0)} ({name})")


# ---- what is executed


def find_program(word: str, path: str, folder: str) -> str:
    """The file that a shell in `folder` would execute for this word; raises SpawnError(127 or 126)."""
    candidates = [word] if "/" in word else [f"{place or '.'}/{word}" for place in path.split(":")]
    for candidate in candidates:
        full = candidate if candidate[0] == "/" else os.path.join(folder, candidate)
        try:
            if os.access(full, os.X_OK) and os.path.isfile(full):
                return full
        except ValueError:  # a NUL, which no path has
            continue
    seen = next((one for one in candidates if os.path.isfile(os.path.join(folder, one))), "")
    if seen:
        full = os.path.join(folder, seen)
        why = (executables.why_not(full) if os.stat(full).st_mode & ANY_EXECUTE else "") or "chmod +x?"
        raise SpawnError(NOT_EXECUTABLE, f"{seen}: not executable ({why})")
    if "/" in word:
        full = os.path.join(folder, word)
        if os.path.isdir(full):
            raise SpawnError(NOT_EXECUTABLE, f"{word}: is a directory")
        why = f": {executables.why_not(full)}" if os.path.islink(full) else ""
        raise SpawnError(NOT_FOUND, f"{word}: no such file{why}")
    raise SpawnError(NOT_FOUND, f"{word}: command not found in PATH")


def _argv(launch: Launch) -> list[str]:
    spec, env, root = launch.spec, launch.env, launch.root
    if spec.cwd != root and not os.path.isdir(spec.cwd):
        raise SpawnError(NO_ROOM, f"its folder {clean(spec.cwd)} does not exist")
    argv, plain = argv_of(spec.command, spec.shell, env=env), is_plain(spec.command)
    try:
        argv[0] = find_program(argv[0], env.get("PATH", os.defpath), spec.cwd if plain else root)
    except SpawnError as error:
        raise (error if plain else SpawnError(error.code, f"its line needs a shell: {error}")) from None
    return argv


def _by_shell(launch: Launch, argv: list[str]) -> list[str]:
    """The command through a shell, where something has to be done before it."""
    script = "".join(launch.steps())
    return [SHELL, "-c", f'{script}exec "$@"', launch.spec.cwd, *argv] if script else argv


# ---- limits


SPARE = 64
"""Descriptors that procman needs besides those of its instances."""


class DescriptorLimits:
    """Procman's own soft limit of descriptors, raised where the formation needs more; children keep the original."""

    def __init__(self) -> None:
        self.original: int | None = None  # the limit that children get, once procman's is raised

    def make_room(self, descriptors: int) -> None:
        """Raise the soft limit if this many do not fit. If even that does not help, starts fail one by one."""
        self._raise(descriptors + SPARE)

    def double(self) -> bool:
        """Double the limit, where it was too low after all (clients need some, too); returns whether that was possible."""
        return self._raise(0)

    def _raise(self, wanted: int) -> bool:
        """Raise the limit to `wanted`, 0 for twice of what it is; returns whether it is higher now."""
        try:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            wanted = wanted or 2 * soft
            top = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            if soft == resource.RLIM_INFINITY or top <= soft:
                return False
            resource.setrlimit(resource.RLIMIT_NOFILE, (top, hard))
        except OSError:  # a seccomp filter refuses prlimit(2)
            return False
        self.original = self.original or soft
        return True


MOST_DESCRIPTORS = 65536
"""How many are tried one by one where the open ones cannot be listed: 10 ms."""


def close_on_exec() -> list[int]:
    """Let no descriptor of procman's except 0-2 reach a child, including inherited ones; returns those."""
    changed = []
    for fd in _open_descriptors():
        if fd > 2:
            try:
                flags = fcntl.fcntl(fd, fcntl.F_GETFD)
            except OSError:  # not open, or the descriptor of the listing itself
                continue
            if not flags & fcntl.FD_CLOEXEC:
                fcntl.fcntl(fd, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)
                changed.append(fd)
    return changed


def _open_descriptors() -> Iterable[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return [int(name) for name in os.listdir(folder)]
        except OSError:  # no such folder in a bare chroot, or no descriptor left to read it
            continue
    return range(3, MOST_DESCRIPTORS)
