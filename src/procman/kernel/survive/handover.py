"""What one program of procman leaves to the next over an exec: the memory file, the descriptors, the command line.

Owns the form of the file and its version, what is executed, and the exec itself. Does not know what the state means:
each room provides its own part, and the start puts them together.

The file is a line of JSON, which every version can read, then the state as MessagePack, then the bytes of the kept
output. It is sealed (memfd_create(2)), so that its reader knows that it does not change any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec
from msgspec import Struct

from procman import __version__
from procman.errors import RefusedError

if TYPE_CHECKING:
    import mmap

VERSION = 4
"""The version of the state, raised with any change that a program without it would misread; a test notices changes."""

SEALS = (
    fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE if sys.platform == "linux" else 0
)

LONGEST_HEADER = 4096

T = TypeVar("T")


class Origin(Struct, frozen=True):
    """What every version says first: which procman wrote the state, and the state's version."""

    state: int
    procman: str


class HandoverHeader(Origin, frozen=True):
    """The length of the state, and whether its text is escaped."""

    length: int
    escaped: bool = False


# ---- the file


def write(state: Struct, memory: Iterable[memoryview]) -> int:
    """A sealed memory file with the state and the memory; returns its descriptor. Raises OSError."""
    body, escaped = _encode(state)
    header = msgspec.json.encode(HandoverHeader(VERSION, __version__, len(body), escaped)) + b"\n"
    fd = os.memfd_create("procman state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for part in (memoryview(header), memoryview(body), *memory):
            _write_all(fd, part)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]


class Received:
    """A file that was handed over. Call `state()` first, then `fill()` with the memory behind it."""

    def __init__(self, fd: int) -> None:
        """Raises RefusedError for any other file, and for another version."""
        self._fd = fd
        self._map = _mapped(fd)
        line = self._map[:LONGEST_HEADER].partition(b"\n")[0]
        try:
            self.origin = msgspec.json.decode(line, type=Origin)
            if self.origin.state != VERSION:
                raise _refused(
                    f"the state of procman {self.origin.procman} is of version {self.origin.state}, "
                    f"and procman {__version__} reads version {VERSION}"
                )
            self._header = msgspec.json.decode(line, type=HandoverHeader)
        except msgspec.DecodeError as error:
            raise _refused(f"the first line of its state cannot be read ({error})") from None
        self._at = len(line) + 1

    def state(self, kind: type[T]) -> T:
        """The state. Raises RefusedError."""
        body = self._map[self._at : self._at + self._header.length]
        self._at += self._header.length
        try:
            return _decode(body, kind, escaped=self._header.escaped)
        except msgspec.DecodeError as error:
            raise _refused(f"its state is not what procman {__version__} knows ({error})") from None

    def expect(self, size: int) -> None:
        """Raises RefusedError if the memory has another size."""
        if size != len(self._map) - self._at:
            raise _refused("the kept output has another size than its state says")

    def fill(self, memory: Sequence[memoryview]) -> None:
        """Copy the memory behind the state. Raises RefusedError if it has another size."""
        self.expect(sum(map(len, memory)))
        for part in memory:
            part[:] = self._map[self._at : self._at + len(part)]
            self._at += len(part)

    def close(self) -> None:
        self._map.close()
        os.close(self._fd)


def _mapped(fd: int) -> mmap.mmap:
    import mmap  # noqa: PLC0415  only the program that takes over needs it

    try:
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS)  # EINVAL where it is not a memory file
        owner = os.fstat(fd).st_uid
        if sealed & SEALS != SEALS or owner != os.geteuid():
            raise _refused(f"descriptor {fd} is not a state that another procman of this user has sealed")
        return mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    except (OSError, ValueError, OverflowError):
        raise _refused(f"descriptor {fd} is not the state of a procman") from None


def _refused(why: str) -> RefusedError:
    return RefusedError(f"cannot take over: {why}")


# ---- text that is not UTF-8 (PEP 383): the environment and paths may have some, and msgspec encodes none


_ESCAPE = "\0"
"""Marks text that is not UTF-8, whose bytes then stand as characters. No other text starts with a NUL."""


def _encode(state: Struct) -> tuple[bytes, bool]:
    try:
        return msgspec.msgpack.encode(state), False
    except UnicodeEncodeError:
        return msgspec.msgpack.encode(_changed(msgspec.to_builtins(state, builtin_types=(bytes,)), _escaped)), True


def _decode(body: bytes, kind: type[T], *, escaped: bool) -> T:
    if not escaped:
        return msgspec.msgpack.decode(body, type=kind)
    return msgspec.convert(_changed(msgspec.msgpack.decode(body), _unescaped), kind)


def _changed(value: Any, change: Any) -> Any:  # noqa: ANN401  whatever MessagePack holds
    match value:
        case str():
            return change(value)
        case dict():
            return {_changed(key, change): _changed(member, change) for key, member in value.items()}
        case list() | tuple():
            return [_changed(member, change) for member in value]
        case _:
            return value


def _escaped(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _ESCAPE + text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text


def _unescaped(text: str) -> str:
    if not text.startswith(_ESCAPE):
        return text
    return text[1:].encode("latin-1").decode("utf-8", "surrogateescape")


# ---- the program


class Program(Struct, frozen=True):
    """The command of procman: `head` runs it, `args` is its command line. `folder` and `root` are descriptors: the
    folder in which it was started, to which its path may be relative, and the one it works in.
    """

    head: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str]
    folder: int
    root: int

    @classmethod
    def this(cls, env: Mapping[str, str], folder: int, root: int) -> Program:
        """The running program. Its path is looked up again when it is executed."""
        before = len(sys.orig_argv) - len(sys.argv) + 1
        args = [word for word in sys.argv[1:] if not word.startswith(TAKE_OVER)]
        return cls((sys.executable, *sys.orig_argv[1:before]), tuple(args), env, folder, root)

    @property
    def is_known(self) -> bool:
        """Whether it can be executed again, which a program that calls `main(args)` itself cannot."""
        return bool(self.head[0]) and self.args[:1] == ("start",)

    def find(self) -> list[str]:
        """What to execute now, without the command line.

        A script is executed itself, so that its first line decides on the Python: that of the new version may be
        another.
        """
        with self.in_folder():
            is_script = len(self.head) == 2 and _is_script(self.head[1])
        return [*self.head[1 if is_script else 0 :]]

    def command(self, found: list[str], option: str) -> list[str]:
        """The whole command line; `option` follows the verb, so that the rest looks as before."""
        return [*found, self.args[0], option, *self.args[1:]]

    @contextlib.contextmanager
    def in_folder(self) -> Iterator[None]:
        """Change the folder for an exec or spawn, as neither takes one."""
        os.fchdir(self.folder)
        try:
            yield
        finally:
            os.fchdir(self.root)

    def become(self, found: list[str], state: int, descriptors: Iterable[int]) -> NoReturn:
        """Execute it, with the state and these descriptors open. Raises OSError, with everything unchanged."""
        kept: list[int] = []
        try:
            for fd in (state, *descriptors):
                os.set_inheritable(fd, True)  # noqa: FBT003  the standard library's signature
                kept.append(fd)
            with self.in_folder():
                command = self.command(found, f"{TAKE_OVER}{state}")
                os.execve(command[0], command, self.env)  # noqa: S606  no shell, and nobody else's words
        finally:
            for fd in kept:
                os.set_inheritable(fd, False)  # noqa: FBT003  as above


def _is_script(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!" and os.access(path, os.X_OK)
    except OSError:
        return False


TAKE_OVER = "--take-over="
CHECK = "--upgrade-check="
"""Hidden options of `start`, each with the descriptor of a state."""

CAN = "can take over: procman "
"""The answer of the check, followed by its version: an exit code of 0 alone proves nothing."""
