"""A person's input on its way to an instance: keys that detach, and input that the terminal has not accepted yet.

Knows bytes; knows neither the terminal they come from nor the connection they are sent on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 16 * 1024
"""Most bytes of one request, which may have 64 KiB of JSON; they are sent as base64."""

AHEAD = 64 * 1024
"""Most bytes that wait here. Input beyond that is lost, as when a terminal's own buffer is full. Keys are read all the
same, as the keys that detach may be among them.
"""


class Typed:
    """Input for a terminal, in order. One request at a time, so that later input cannot overtake input that had no
    room.

    `send` is called with the bytes of a request.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._waiting = b""
        self._asked = 0  # bytes of the request that has not been answered yet
        self._full = False

    @property
    def empty(self) -> bool:
        return not self._waiting

    @property
    def room(self) -> int:
        return AHEAD - len(self._waiting)

    def add(self, data: bytes) -> bool:
        """Add as much of this input as there is room for; returns whether that was all of it."""
        fits = len(data) <= self.room
        self._waiting += data[: self.room]
        self._go_on()
        return fits

    def taken(self, count: int) -> None:
        """Handle the answer to a request: this many of its bytes were accepted."""
        self._waiting = self._waiting[count:]
        self._full = count < self._asked
        self._asked = 0
        self._go_on()

    def may_go_on(self) -> None:
        """Send what waits, as there may be room again."""
        self._full = False
        self._go_on()

    def refused(self) -> None:
        """Handle the refusal of a request: the terminal is gone, or another client types."""
        self._waiting, self._asked, self._full = b"", 0, False

    def _go_on(self) -> None:
        if self._waiting and not self._asked and not self._full:
            data = self._waiting[:AT_ONCE]
            self._asked = len(data)
            self._send(data)


_KEY = re.compile(rb"\x1b\[[0-9;:]*[u~]|.", re.DOTALL)


class DetachKeys:
    """Keys that detach when they are pressed one after the other: `ctrl-]`, `ctrl-p,ctrl-q`, `q`.

    The syntax is that of `docker attach --detach-keys`. Raises ValueError for anything else. A control key is also
    recognised in the form of newer keyboard protocols (xterm's modifyOtherKeys, kitty's), which a program may have
    switched on.
    """

    def __init__(self, words: str) -> None:
        self._keys = [_forms(word) for word in words.split(",")]
        self._held: list[bytes] = []  # the keys pressed so far that may be the start
        self.words = " then ".join(word.capitalize() if len(word) > 1 else word for word in words.split(","))
        """The keys as text: `Ctrl-p then Ctrl-q`."""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Returns the input without the keys that detach, and whether all of these were pressed. Keys that may be the
        first of them are held back.
        """
        passed: list[bytes] = []
        for key in _KEY.findall(data):
            if key not in self._keys[len(self._held)]:
                passed += self._held
                self._held = []
            if key in self._keys[len(self._held)]:
                self._held.append(key)
                if len(self._held) == len(self._keys):
                    return b"".join(passed), True
            else:
                passed.append(key)
        return b"".join(passed), False


def _forms(word: str) -> tuple[bytes, ...]:
    """The byte sequences that a terminal may send for a key."""
    if len(word) == 1 and word.isascii() and word.isprintable():
        return (word.encode(),)
    key = word.lower().removeprefix("ctrl-")
    if word.lower().startswith("ctrl-") and len(key) == 1 and key in "@abcdefghijklmnopqrstuvwxyz[\\]^_":
        code = ord(key)
        return bytes([code & 0x1F]), b"\x1b[%d;5u" % code, b"\x1b[27;5;%d~" % code
    raise ValueError(f"'{word}' is not a key, such as ctrl-] or q")
