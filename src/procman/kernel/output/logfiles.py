"""A file for each instance, rotated by size here, or by another program that renames it and then sends USR1.

Owns the folder, the files and their numbers. Each file is written through a sink (`sinks`), which handles a full disk:
it drops, counts, tries again, and writes into the file how much is missing. There is one writer, and every write ends
with a line, so a rotation neither cuts nor loses one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.errors import ConfigError, RefusedError
from procman.kernel.output.sinks import FilesState, Sink, Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.kernel.loop.reactor import Reactor
    from procman.kernel.output.sinks import Data


class Rotation(Struct, frozen=True):
    """A file of more than `max_bytes` (0: never) becomes `web.1.log.1`, that one `.2`, and so on up to `keep`."""

    max_bytes: int = 10 * 1024 * 1024
    keep: int = 5


class LogFiles:
    """The files of a folder: `web.1.log` has the output of web.1. Opened at the first line, and closed with the slot."""

    def __init__(self, reactor: Reactor, folder: str, rotation: Rotation, before: FilesState | None = None) -> None:
        """Raises ConfigError if the folder cannot be created or written, RefusedError if another procman writes
        there. `before`: continue with this state, and its lock of the folder.
        """
        self.on_trouble: Callable[[str], None] = lambda _text: None
        self.notice: Callable[[str], bytes] = lambda text: f"procman: {text}\n".encode()
        self._reactor = reactor
        self._folder = folder
        self._rotation = rotation
        self._files: dict[str, tuple[_File, Sink]] = {}
        self._lock = _claim(folder) if before is None else before.lock
        for name, state in before.failed.items() if before is not None else ():
            self._add(name)[1].restore(state)

    def state(self) -> FilesState:
        """The state from which it can be continued; the files themselves are opened again, for appending."""
        return FilesState(self._lock, {name: sink.state() for name, (_, sink) in self._files.items() if sink.failed})

    def write(self, name: str, lines: Data) -> None:
        """Append complete lines. Lines that cannot be written now are dropped and counted. Never raises."""
        entry = self._files.get(name)
        (self._add(name) if entry is None else entry)[1].write(lines)

    def _add(self, name: str) -> tuple[_File, Sink]:
        path = os.path.join(self._folder, f"{name}.log")
        file = _File(path, self._rotation, self._trouble)
        sink = Sink(self._reactor, Way(-1, file.put, file.close), on_trouble=self._trouble, name=path)
        sink.notice = self.notice
        entry = self._files[name] = file, sink
        return entry

    def _trouble(self, text: str) -> None:
        """Log the first trouble: a full disk is full for all files."""
        if sum(sink.failed for _, sink in self._files.values()) <= 1:
            self.on_trouble(text)

    def reopen(self) -> None:
        """Write to files of these names from now on, whatever became of those that are open."""
        for file, _ in self._files.values():
            file.close()
            file.renew()

    def forget(self, name: str) -> None:
        """The slot has been removed; its file stays."""
        entry = self._files.pop(name, None)
        if entry is not None:
            entry[0].close()

    def close(self) -> None:
        for name in list(self._files):
            self.forget(name)
        os.close(self._lock)


class _File:
    """One file that is appended to, and its older ones."""

    def __init__(self, path: str, rotation: Rotation, on_trouble: Callable[[str], None]) -> None:
        self._path = path
        self._rotation = rotation
        self._on_trouble = on_trouble
        self._limit = rotation.max_bytes
        self._fd = -1
        self._size = 0

    def put(self, data: Data) -> int:
        """Write some of the data; returns how much. Raises OSError."""
        if self._fd < 0:
            self._open()
        if self._limit and self._size + len(data) > self._limit:
            data = data[: self._fitting(bytes(data), self._limit - self._size)]
            if not data:
                self._rotate()
                return 0
        count = os.write(self._fd, data)
        self._size += count
        return count

    def _fitting(self, data: bytes, room: int) -> int:
        """Bytes up to the last line that fits. A line that never fits is written all the same."""
        fitting = data.rfind(b"\n", 0, max(room, 0)) + 1
        return fitting if fitting or self._size else (data.find(b"\n") + 1 or len(data))

    def _open(self) -> None:
        """Open for appending. A link that another user put there is not followed, and a pipe does not block."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(self._path, flags, 0o640)
        except FileNotFoundError:  # the folder has been removed, or the one that it is a link to
            os.makedirs(os.path.realpath(os.path.dirname(self._path)), exist_ok=True)
            fd = os.open(self._path, flags, 0o640)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file")
        self._fd = fd
        self._size = status.st_size

    def _rotate(self) -> None:
        """Rotate. If that fails the file simply continues until it is opened again: lines matter more than its size."""
        self.close()
        try:
            if not self._rotation.keep:
                os.unlink(self._path)
                return
            for number in range(self._rotation.keep - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{self._path}.{number}", f"{self._path}.{number + 1}")
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path, f"{self._path}.1")
        except OSError as error:
            self._limit = 0
            self._on_trouble(f"cannot rotate {self._path}: {error.strerror}; it keeps growing")

    def renew(self) -> None:
        """Allow another rotation."""
        self._limit = self._rotation.max_bytes

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _claim(folder: str) -> int:
    """A descriptor of the folder, created if missing, whose lock keeps every other procman out (flock(2))."""
    try:
        os.makedirs(os.path.realpath(folder), exist_ok=True)  # it may be a link to one that does not exist yet
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(folder, error.strerror) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        why = errno.EROFS if os.fstatvfs(fd).f_flag & os.ST_RDONLY else errno.EACCES
        os.close(fd)
        raise _unwritable(folder, os.strerror(why))
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        text = f"cannot write log files in {folder}: another procman does"
        raise RefusedError(text, "give each a folder of its own with --log-dir") from None
    except OSError:  # such as ENOLCK of a network file system: then nobody is kept out
        return fd
    return fd


def _unwritable(folder: str, why: str | None) -> ConfigError:
    return ConfigError(f"cannot write log files in {folder}: {why}", "name another folder with --log-dir")
