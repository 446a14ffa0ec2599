"""What an attached person sees: an instance's bytes unchanged, and procman's own lines beside them.

Owns what has to be undone on the screen afterwards. Knows neither instances nor connections.
"""

from __future__ import annotations

import os
import re

from procman.text.lines import clean

USUAL = (
    b"\x1b[?1l\x1b>"  # normal cursor keys and keypad (DECCKM, DECKPNM)
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l"  # no mouse, focus or paste reports
    b"\x1b7\x1b[r\x1b8"  # the whole screen scrolls (DECSTBM, which moves the cursor)
    b"\x1b[?7h\x1b[?25h\x1b[0 q"  # lines wrap; the cursor is visible, in its usual shape
    b"\x1b(B\x0f\x1b[0m"  # ASCII, no style
)
"""Sequences that bring a screen to the state that a shell expects (ctlseqs of xterm, ECMA-48). A terminal ignores those
that it does not know.
"""

LEAVE_SCREEN = b"\x1b[?1049l"
"""Leave the alternate screen, with the cursor where it was (xterm's 1049). Harmful where the normal screen is shown."""

LEAVE_SCREEN_BLINDLY = b"\x1b[?47l"
"""The same if it is unknown which screen is shown: it does not move the cursor."""

USUAL_KEYS = b"\x1b[<9u\x1b[>4m\x1b[0m"
"""Reset keys after a program that changed how they are sent (kitty's protocol, xterm's modifyOtherKeys). Only sent
then: a terminal that knows neither may take the second sequence for an underline.
"""

_SWITCH = re.compile(rb"\x1b\[\?(?:[0-9]+;)*(?:1049|1047|47)(?:;[0-9]+)*([hl])|(\x1b\[>[0-9;]+[um])")
_LONGEST = 32  # bytes of such a sequence

_QUERIES = re.compile(
    rb"\x1b\][0-9]+;(?:[^;\x07\x1b]*;)*\?(?:\x07|\x1b\\)"  # OSC that asks for something: colours, the clipboard
    rb"|(\x1b\][^\x07\x1b]*(?:\x07|\x1b\\))"  # every other OSC is kept, with the BEL that ends it
    rb"|\x1bP[^\x1b]*\x1b\\"  # DECRQSS and other device control strings
    rb"|\x1b\[[>=?]?[0-9;]*(?:[cnx]|\$p|t)"  # DA, DSR, DECREQTPARM, DECRQM; window reports
    rb"|\x1b\[>[0-9]*q|\x1b\[\?[0-9;]*[um]|\x1bZ|\x05"  # XTVERSION, how keys are sent, DECID, ENQ
    rb"|\x07"  # a bell
)


def without_queries(data: bytes) -> bytes:
    """Output without queries, which a terminal would answer as if someone had typed the answer, and without bells."""
    return _QUERIES.sub(rb"\1", data)


class ScreenState:
    """Standard output. `raw`: it is a terminal in raw mode, which does not turn a newline into CR and LF."""

    def __init__(self, *, raw: bool) -> None:
        self.raw = raw
        self._notes = 1 if os.isatty(1) else 2
        self._at_start = True  # whether the cursor is in the middle of a line
        self._touched = False
        self._alternate = False
        self._keys = False
        self._before = b""

    def write(self, data: bytes, *, terminal: bool) -> None:
        """Write bytes of an instance, with or without a terminal."""
        if self.raw and not terminal:
            data = data.replace(b"\n", b"\r\n")
        if data:
            self._see(data)
            self._at_start = data.endswith(b"\n")
            _write(1, data)

    def print_line(self, text: str) -> None:
        """Show a line of procman's own, on the screen if there is one, else on standard error."""
        self.end_line()
        _write(self._notes, f"[procman: {clean(text)}]".encode() + self._newline)

    def end_line(self) -> None:
        """Make sure that what follows starts a new line on the screen."""
        if self._notes == 1 and not self._at_start:
            self._at_start = True
            _write(1, self._newline)

    @property
    def _newline(self) -> bytes:
        return b"\r\n" if self.raw else b"\n"

    def undo(self) -> None:
        """Bring the screen to the state that a shell or another program expects, once."""
        if self._touched and os.isatty(1):
            _write(1, LEAVE_SCREEN * self._alternate + USUAL_KEYS * self._keys + USUAL)
        self._touched, self._alternate, self._keys, self._before = False, False, False, b""

    def _see(self, data: bytes) -> None:
        self._touched = self._touched or b"\x1b" in data or b"\x0e" in data
        for switch in _SWITCH.finditer(self._before + data):
            if switch[1]:
                self._alternate = switch[1] == b"h"
            else:
                self._keys = True
        self._before = (self._before + data)[-_LONGEST:]


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]
