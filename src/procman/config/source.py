"""Reads the bytes of an input and checks their encoding. Knows files and UTF-8; no grammar."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys

from procman.errors import Fault

MAX_SIZE = 4 * 1024 * 1024
"""Most bytes of one input. Nobody writes as much by hand, and `-f /dev/zero` must not use up the machine's memory."""

WAITING_AFTER = 2.0
"""Seconds without a byte, after which a line says which pipe or terminal is waited for."""

BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class Unusable(Exception):  # noqa: N818  a reason on its way to becoming a Fault
    """Why a part of an input cannot be used, with a hint."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint


class _NamedPipeError(OSError):
    """The input is a named pipe: reading it would wait for a writer, and a reload must not wait."""


def read(path: str | int, name: str, hint: str = "", *, option: str = "-f", pipes: bool = False) -> bytes | Fault:
    """The content of a file or device. `name` is the user's word for it; `hint` is shown where it cannot be read.

    A named pipe is refused unless `pipes`, with a hint how `option` can read it.
    """
    try:
        with open(path, "rb", closefd=isinstance(path, str), opener=_open_handle if pipes else _open) as stream:
            if pipes:
                _await(stream.fileno(), name)
            data = stream.read(MAX_SIZE + 1)
    except _NamedPipeError:
        hint = f"{option} <(cat {name}) reads it once, and a reload then uses what it contained"
        return Fault("", 0, f"cannot read {name}: it is a named pipe", hint)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Fault("", 0, f"cannot read {name}: {why.lower()}", hint)
    if len(data) > MAX_SIZE:
        return Fault("", 0, f"cannot read {name}: it is longer than {MAX_SIZE // 1024 // 1024} MiB")
    return data


def _open_handle(path: str, flags: int) -> int:
    """A descriptor of what the path leads to. The path of a socket, which Node.js gives its children as standard input,
    cannot be opened (ENXIO): then it is the descriptor that the path names.
    """
    try:
        if sys.platform == "linux" and stat.S_ISFIFO(os.stat(path).st_mode):
            flags |= os.O_NONBLOCK  # where nobody has opened it for writing yet, `_await` waits, and says so
        return os.open(path, flags)
    except OSError as error:
        named = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d+)", "/dev/fd/0" if path == "/dev/stdin" else path)
        if error.errno != errno.ENXIO or named is None:
            raise
        return os.dup(int(named[1]))


def _await(fd: int, name: str) -> None:
    """Wait for the first byte, or the end. A line says so if it takes long: a pipe that nobody writes to would look like a
    procman that hangs.
    """
    import select  # noqa: PLC0415  only for an input that may have to be waited for

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(WAITING_AFTER * 1000):
        why = "type it, and end it with Ctrl-D" if os.isatty(fd) else "no process has written to it yet"
        with contextlib.suppress(OSError):  # nobody reads it
            os.write(2, f"procman: waiting for {name}: {why}\n".encode())
        poll.poll()
    os.set_blocking(fd, True)


def _open(path: str, flags: int) -> int:
    """A descriptor of the file, opened without waiting for a process at its other end (fifo(7))."""
    fd = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise _NamedPipeError
    os.set_blocking(fd, True)
    return fd


def native(text: str) -> str:
    """Convert the text of a file, which is UTF-8, so that a child gets the file's own bytes in every locale. Arguments
    and variables are encoded by the locale (PEP 383), and a Latin-1 locale would turn them into other bytes, or fail.
    """
    return text if text.isascii() or sys.getfilesystemencoding() == "utf-8" else os.fsdecode(text.encode())


def refuse_utf16(data: bytes, name: str) -> Fault | None:
    """Refuse UTF-16, which PowerShell's `>` writes, with one fault for the file instead of one for each line."""
    if data.startswith(_UTF16_BOMS):
        return Fault(name, 1, "cannot read the file: it is UTF-16", "save it as UTF-8")
    return None


def decode(data: bytes, name: str) -> str | Fault:
    """The input as text, without a byte order mark. A fault has the line of the first byte that is not UTF-8."""
    fault = refuse_utf16(data, name)
    if fault:
        return fault
    try:
        return data.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return Fault(name, line, f"cannot read byte 0x{error.object[error.start]:02x}: not UTF-8", "save it as UTF-8")


def absolute(path: str, folder: str) -> str:
    """`path` as seen from `folder`. Links keep their name (`/app/current` may point elsewhere tomorrow), except before
    a `..`, whose meaning depends on them.
    """
    joined = os.path.join(folder, path)
    return os.path.realpath(joined) if ".." in path.split(os.sep) else os.path.normpath(joined)


def plain(text: str, width: int = 40) -> str:
    """A piece of the input that is safe in a message: one line, no control characters, at most `width` characters."""
    shown = text if len(text) <= width else text[: width - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def brief(text: str) -> str:
    """The same, in quotes."""
    return f"'{plain(text)}'"
