"""What a program writes to a terminal, as lines that can be shown among those of others.

Pure, and without memory from one line to the next but for what `SharedView` says: a sequence never goes on behind the
end of its line, so whole lines can be cut anywhere between them with the same result. Knows bytes, not where they come
from; nothing here is for output that was written to a pipe, which passes unchanged.

Of the sequences (ECMA-48, and xterm's ctlseqs) only SGR passes, which is colours and styles: nothing else leaves the
screen of those who share it as it is. A line that is drawn over and over is shown as it was last.
"""

from __future__ import annotations

import re

_CSI = rb"[0-?]*[ -/]*[@-~]?"
_STRING = rb"(?:[^\x07\x1b\n\xc2]|\xc2[^\x9c\n])*(?:\x07|\x1b\\|\xc2\x9c)?"
"""OSC (titles, links, the clipboard), DCS, SOS, PM and APC last to their end, or that of the line."""
_AFTER_ESCAPE = rb"(?:\[" + _CSI + rb"|[\]PX^_]" + _STRING + rb"|[ -/]*[0-~]?)"
_C1 = rb"|\xc2(?:\x9b" + _CSI + rb"|[\x90\x98\x9d-\x9f]" + _STRING + rb")"  # the same as characters of their own
_COLOR = rb"\[[0-9;:]*m"  # without the private marks of xterm's `CSI > 4 ; 2 m`, which is a mode of the keyboard

_ALL = re.compile(rb"\x1b" + _AFTER_ESCAPE + _C1)
_BUT_COLORS = re.compile(rb"\x1b(?!" + _COLOR + rb")" + _AFTER_ESCAPE + _C1)
_COLORS = re.compile(rb"\x1b" + _COLOR)

_AWAY = re.compile(
    rb"(?:\x1b\[|\xc2\x9b)(?:[0-9;]*[ABEFHfd]"  # the cursor goes to another line or place
    rb"|[01]?G|2K|[23]J"  # back to the first column; the line, the screen is cleared
    rb"|\?(?:47|1047|1049)[hl])"  # the alternate screen, and back
    rb"|\x1bc"  # everything anew
)
"""What is written behind one of these does not stand behind what was written before it."""

_CONTROLS = bytes({*range(32), 127} - {*b"\t\n\r\x1b"})
_CONTROL_CHARACTERS = re.compile(rb"\xc2[\x80-\x9f]")
_UNKNOWN = "\ufffd".encode()  # not nothing: what stands on both sides could become one

_TORN = re.compile(
    rb"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*\x1b?|[ -/]*)"
    rb"|[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})\Z"  # a character of UTF-8 (RFC 3629)
)
"""A sequence or a character whose end has not come."""

_EMPTY_LINES = re.compile(rb"(\A\n|\n\n)\n+")


def visible(lines: bytes, *, color: bool) -> bytes:
    r"""The text of these lines, with its colours where wanted: `\r\n` is `\\n`, and of a line that was written over and
    over (a progress bar) only the last state is left. As many lines come out as go in.
    """
    if b"\x1b" in lines or b"\xc2" in lines:
        lines = _AWAY.sub(b"\r", lines)
        lines = (_BUT_COLORS if color else _ALL).sub(b"", lines)
    lines = lines.translate(None, _CONTROLS).replace(b"\r\n", b"\n")
    if b"\xc2" in lines:
        lines = _CONTROL_CHARACTERS.sub(_UNKNOWN, lines)
    if b"\r" in lines:
        return b"\n".join([_last_state(line) if b"\r" in line else line for line in lines.split(b"\n")])
    return lines


def _last_state(line: bytes) -> bytes:
    """The last of the texts that stood in this line."""
    return next((text for text in reversed(line.split(b"\r")) if _shows(text)), b"")


_WORDLESS = re.compile(rb"[^0-9A-Za-z]+")


def _shows(text: bytes) -> bool:
    return bool(_COLORS.sub(b"", text).strip())


class SharedView:
    """One terminal's lines, in order, as they are shown among others.

    Several empty lines in a row are shown as one: a program that clears the screen (vite) first scrolls it away.
    """

    __slots__ = ("_color", "_state", "after_empty", "shown")

    def __init__(self, *, color: bool) -> None:
        self._color = color
        self.after_empty = False  # whether the last line that was shown is empty
        self._state = b""  # words and numbers of what was shown of it last
        self.shown = 0  # bytes of the unfinished line that were shown before its end

    def lines(self, raw: bytes) -> bytes:
        """What is to be shown of these whole lines; nothing, or whole lines too."""
        text = visible(raw[self.shown :], color=self._color)
        if self.shown and text.startswith(b"\n"):
            text = text[1:]  # there is nothing but the end of what is shown already
        self.shown, self._state = 0, b""
        return self._squeezed(text)

    @staticmethod
    def plain(raw: bytes) -> bytes:
        """The text of these whole lines for a file, where nobody sees colours or waits at a prompt."""
        return visible(raw, color=False)

    def prompt(self, partial: bytes) -> bytes:
        """An unfinished line that its program seems to leave so, as a line; nothing where a part of it is shown already.

        One part only, else slow dots would become a line each; but of a line that is drawn again and again (a progress bar)
        what it has become, as long as its words or numbers have changed: the frames of a spinner are no lines.
        """
        is_drawn_again = b"\r" in partial[self.shown :]
        if self.shown and not is_drawn_again:
            return b""
        torn = _TORN.search(partial)
        whole = partial[: torn.start()] if torn else partial
        text = visible(whole[self.shown :], color=self._color)
        if not _shows(text):
            return b""
        state = _WORDLESS.sub(b"", _COLORS.sub(b"", text))
        if is_drawn_again and state in (b"", self._state):
            return b""
        self._state = state
        self.shown = len(whole)
        return self._squeezed(text + b"\n")

    def _squeezed(self, text: bytes) -> bytes:
        if self.after_empty:
            text = text.lstrip(b"\n")
        if not text:
            return b""
        self.after_empty = text == b"\n" or text.endswith(b"\n\n")
        if b"\n\n\n" in text or text.startswith(b"\n\n"):
            text = _EMPTY_LINES.sub(rb"\1", text)
        return text
