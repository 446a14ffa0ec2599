"""What one program of procman leaves to the next over an exec: the memory file, the descriptors, the command line.

Owns the form of the file and its version, what is executed, and the exec itself. Knows nothing of what the state means:
each room makes its own part, and the start puts them together.

The file is a line of JSON, which every version can read, then the state as MessagePack, then the bytes of the kept
output. It is sealed (memfd_create(2)): whoever is handed one can tell that nobody changes it any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import Struct

from procman import __version__
from procman.errors import RefusedError

VERSION = 4
"""Of the state; raised with any change of it that a program without that change would misread, a test tells of changes."""

SEALS = (
    fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE if sys.platform == "linux" else 0
)

LONGEST_HEADER = 4096

T = TypeVar("T")


class Origin(Struct, frozen=True):
    """What every version says first: whose state it is, and of which version."""

    state: int
    procman: str


class HandoverHeader(Origin, frozen=True):
    """How long the state is, and whether its text is escaped."""

    length: int
    escaped: bool = False


# ---- the file


def write(state: Struct, memory: Iterable[memoryview]) -> int:
    """A sealed memory file of the state and the memory behind it; its descriptor. Raises OSError."""
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
    """A file that was handed over. `state()` first, then `fill()` with the memory behind it."""

    def __init__(self, fd: int) -> None:
        """Raises RefusedError where it is none, or one of another version."""
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
            raise _refused(f"its state begins in an unknown way ({error})") from None
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
        """Raises RefusedError where there are more or fewer bytes behind the state."""
        if size != len(self._map) - self._at:
            raise _refused("the kept output has another size than its state says")

    def fill(self, memory: Sequence[memoryview]) -> None:
        """Copy what is behind the state. Raises RefusedError where that is more, or less."""
        self.expect(sum(map(len, memory)))
        for part in memory:
            part[:] = self._map[self._at : self._at + len(part)]
            self._at += len(part)

    def close(self) -> None:
        self._map.close()
        os.close(self._fd)


def _mapped(fd: int) -> mmap.mmap:
    try:
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS)  # EINVAL where it is no memory file
        owner = os.fstat(fd).st_uid
        if sealed & SEALS != SEALS or owner != os.geteuid():
            raise _refused(f"descriptor {fd} is not a state that another procman of this user has sealed")
        return mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    except (OSError, ValueError, OverflowError):
        raise _refused(f"descriptor {fd} is no state of a procman") from None


def _refused(why: str) -> RefusedError:
    return RefusedError(f"cannot take over: {why}")


# ---- text that is not UTF-8 (PEP 383): the environment and paths may have some, and msgspec encodes none


_ESCAPE = "\0"
"""Before such text, whose bytes then stand as characters. Nothing that is handed over begins with a NUL otherwise."""


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
    """procman as it was started: `head` is what runs it, `args` its command line. `folder` and `root` are descriptors: the
    folder it was started in, from which its path may be told, and the one it works in.
    """

    head: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str]
    folder: int
    root: int

    @classmethod
    def this(cls, env: Mapping[str, str], folder: int, root: int) -> Program:
        """The one that runs here. Its path is looked up anew when it is executed."""
        before = len(sys.orig_argv) - len(sys.argv) + 1
        args = [word for word in sys.argv[1:] if not word.startswith(TAKE_OVER)]
        return cls((sys.executable, *sys.orig_argv[1:before]), tuple(args), env, folder, root)

    @property
    def is_known(self) -> bool:
        """Whether it can be executed again: a program that calls `main(args)` by itself cannot."""
        return bool(self.head[0]) and self.args[:1] == ("start",)

    def find(self) -> list[str]:
        """What is executed at this moment, without the command line.

        A script is executed itself, as then its first line decides which Python it is for: that of the new version may
        be another.
        """
        with self.in_folder():
            is_script = len(self.head) == 2 and _is_script(self.head[1])
        return [*self.head[1 if is_script else 0 :]]

    def command(self, found: list[str], option: str) -> list[str]:
        """All words of it; `option` stands behind the verb, so that the rest looks as it did."""
        return [*found, self.args[0], option, *self.args[1:]]

    @contextlib.contextmanager
    def in_folder(self) -> Iterator[None]:
        """For the time of an exec or spawn, as neither takes a folder."""
        os.fchdir(self.folder)
        try:
            yield
        finally:
            os.fchdir(self.root)

    def become(self, found: list[str], state: int, descriptors: Iterable[int]) -> NoReturn:
        """Execute what was found, with the state and these descriptors open. Raises OSError, with everything as it was."""
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
"""What the check says, with its version: that a program ends with 0 proves nothing."""


# ---- signals


def block_signals() -> set[int]:
    """From now on they wait, also over an exec (signal(7)); those that were blocked before."""
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())}


def unblock_signals(before: Iterable[int]) -> None:
    """As it was before `block_signals()`."""
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def send_again(numbers: Iterable[int]) -> None:
    """What has come and is not handled yet waits again, for whichever program unblocks it."""
    for number in numbers:
        os.kill(os.getpid(), number)
