"""Output of a terminal as lines that can be shown among those of others. Pure, and without memory from one line to the
next, except what `SharedView` describes: a sequence never continues after the end of its line, so chunks of complete
lines can be cut anywhere with the same result.

Knows bytes, not where they come from; not meant for output of a pipe, which passes unchanged. Of the sequences
(ECMA-48, and xterm's ctlseqs) only SGR passes, which is colours and styles: no other leaves a shared screen as it is.
Of a line that is redrawn over and over only the last state is shown.
"""

from __future__ import annotations

import re

_CSI = rb"[0-?]*[ -/]*[@-~]?"
_STRING = rb"(?:[^\x07\x1b\n\xc2]|\xc2[^\x9c\n])*(?:\x07|\x1b\\|\xc2\x9c)?"
"""The longest match of a sequence that takes a string: OSC (titles, links, the clipboard), DCS, SOS, PM and APC end at
their terminator, or at the end of the line.
"""
_AFTER_ESCAPE = rb"(?:\[" + _CSI + rb"|[\]PX^_]" + _STRING + rb"|[ -/]*[0-~]?)"
# the same as single characters of the C1 set
_C1 = rb"|\xc2(?:\x9b" + _CSI + rb"|[\x90\x98\x9d-\x9f]" + _STRING + rb")"
_COLOR = rb"\[[0-9;:]*m"  # without the private marks of xterm's `CSI > 4 ; 2 m`, which sets a mode of the keyboard

_ALL = re.compile(rb"\x1b" + _AFTER_ESCAPE + _C1)
_BUT_COLORS = re.compile(rb"\x1b(?!" + _COLOR + rb")" + _AFTER_ESCAPE + _C1)
_COLORS = re.compile(rb"\x1b" + _COLOR)

_AWAY = re.compile(
    rb"(?:\x1b\[|\xc2\x9b)(?:[0-9;]*[ABEFHfd]"  # moves the cursor to another line or column
    rb"|[01]?G|2K|[23]J"  # back to the first column; the line, the screen is cleared
    rb"|\?(?:47|1047|1049)[hl])"  # the alternate screen, and back
    rb"|\x1bc"  # resets the terminal
)
"""After one of these sequences, text no longer follows what was written before it."""

_CONTROLS = bytes({*range(32), 127} - {*b"\b\t\n\r\x1b"})
_CONTROL_CHARACTERS = re.compile(rb"\xc2[\x80-\x9f]")
_UNKNOWN = "\ufffd".encode()  # and not nothing, as the text on both sides could join into one word

_TORN = re.compile(
    rb"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*\x1b?|[ -/]*)"
    rb"|[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})\Z"  # a character of UTF-8 (RFC 3629)
)
"""A sequence or a character that is not complete yet."""

_EMPTY_LINES = re.compile(rb"(\A\n|\n\n)\n+")


def visible(lines: bytes, *, color: bool) -> bytes:
    r"""The text of these lines, with its colours if wanted. `\r\n` counts as `\n`, and of a line that was overwritten
    (a progress bar) only the last state is kept. The number of lines stays the same.
    """
    if b"\x1b" in lines or b"\xc2" in lines:
        lines = _AWAY.sub(b"\r", lines)
        lines = (_BUT_COLORS if color else _ALL).sub(b"", lines)
    lines = lines.translate(None, _CONTROLS).replace(b"\r\n", b"\n")
    if b"\b" in lines:
        lines = b"\n".join([_overtyped(line) if b"\b" in line else line for line in lines.split(b"\n")])
    if b"\xc2" in lines:
        lines = _CONTROL_CHARACTERS.sub(_UNKNOWN, lines)
    if b"\r" in lines:
        return b"\n".join([_last_state(line) if b"\r" in line else line for line in lines.split(b"\n")])
    return lines


_CHARACTERS = re.compile(r"\x1b\[[0-9;:]*m|\x08+|(?s:.)")


def _overtyped(line: bytes) -> bytes:
    """The line without backspaces: what follows them replaces what is before them."""
    shown: list[str] = []
    back = 0  # how far the cursor stands before the end
    for character in _CHARACTERS.findall(line.decode("utf-8", "surrogateescape")):
        if character[0] == "\b":
            back += len(character)
            continue
        colored = False
        while back and shown and "\r" not in (character, shown[-1]):
            is_color = shown.pop()[0] == "\x1b"
            colored = colored or is_color
            back -= not is_color
        back = 0
        shown += ["\x1b[m", character] if colored else [character]
    return "".join(shown).encode("utf-8", "surrogateescape")


def _last_state(line: bytes) -> bytes:
    """The last text that was drawn in this line."""
    return next((text for text in reversed(line.split(b"\r")) if _shows(text)), b"")


_WORDLESS = re.compile(rb"[^0-9A-Za-z]+")


def _shows(text: bytes) -> bool:
    return bool(_COLORS.sub(b"", text).strip())


class SharedView:
    """The lines of one terminal, in order, as they are shown among the lines of others.

    Several empty lines in a row are shown as one: a program that clears the screen (vite) first scrolls it away.
    """

    __slots__ = ("_color", "_state", "after_empty", "shown")

    def __init__(self, *, color: bool) -> None:
        self._color = color
        self.after_empty = False  # whether the last line shown was empty
        self._state = b""  # the words and numbers that were shown last of the current line
        self.shown = 0  # how many bytes of the unfinished line have been shown already

    def lines(self, raw: bytes) -> bytes:
        """What to show of these complete lines: nothing, or complete lines."""
        text = visible(raw[self.shown :], color=self._color)
        if self.shown and text.startswith(b"\n"):
            text = text[1:]  # nothing but the end of a line that has been shown already
        self.shown, self._state = 0, b""
        return self._squeezed(text)

    @staticmethod
    def plain(raw: bytes) -> bytes:
        """The text of these complete lines for a file, which has no colours and no prompts."""
        return visible(raw, color=False)

    def prompt(self, partial: bytes) -> bytes:
        """An unfinished line that the program seems to leave like that (a prompt), as a complete line; nothing if
        part of it has been shown.

        Only one part is shown, as slow dots would become a line each otherwise. A line that is redrawn (a progress bar)
        is shown again when its words or numbers have changed: the frames of a spinner are not lines.
        """
        is_drawn_again = b"\r" in partial[self.shown :] or b"\b" in partial[self.shown :]
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
