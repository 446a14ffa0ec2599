"""What a line of output looks like: prefixes, JSON objects, and text made safe for a table.

Owns the bytes of the display. Takes chunks of complete lines and finished clock strings; knows neither where bytes come
from, nor where they go, nor what time it is. Patterns are compiled when they are first needed (`re` keeps them): a start
needs none, and each takes 0.1 ms.
"""

from __future__ import annotations

import re

import msgspec

from procman.text.colour import RESET

SYSTEM = "system"
"""The name that procman's own lines carry. No instance can have it, as the names of instances contain a dot."""

CUT = b" [cut]"
"""Marks the end of each piece of an overlong line, except the last."""

_ENDS = (RESET, b"\x1b[m")
_STYLED = rb"\x1b[^\n]*"
_encoder = msgspec.json.Encoder()

_HIDDEN = rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]"
"""DEL, the C1 controls, and the line and paragraph separators as UTF-8: allowed in JSON, but a terminal obeys some of them
and some readers (`str.splitlines`) end a line there."""

_SEQUENCES = (
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor (ECMA-48 5.4)
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC (titles, links), DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]"  # every other escape
)
_CONTROLS = (
    "[\x00-\x1f\x7f-\x9f\u2028\u2029"  # C0, DEL, C1, line and paragraph separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # characters that change the direction of a line
    "\ud800-\udfff]"  # lone surrogates, which cannot be printed
)


def text_prefix(name: str, width: int, clock: str, color: bytes | None) -> bytes:
    """`12:00:01 web.1    | `, the name padded to `width`; `clock` may be empty, `color` None for none at all."""
    words = f"{clock} {name:<{width}} | " if clock else f"{name:<{width}} | "
    return words.encode() if color is None else color + words.encode() + RESET


def json_prefix(name: str, time: str, stream: str | None) -> bytes:
    """The start of the JSON object of each message: `{"time":"…","instance":"web.1","message":`; `stream` only where
    the streams are kept apart.
    """
    head = {"time": time, "instance": name} | ({"stream": stream} if stream else {})
    return _encoder.encode(head)[:-1] + b',"message":'


def text_lines(prefix: bytes, chunk: bytes, rest: int = 0) -> memoryview:
    """Each line with the prefix before it. The chunk starts with a prefix; its last `rest` bytes are not shown yet."""
    return _insert(chunk, prefix, len(prefix) + rest)


def end_styles(lines: bytes) -> bytes:
    """Add a reset to each line that contains a sequence, so that its style does not reach into the next prefix."""
    return re.sub(_STYLED, lambda line: line[0] if line[0].endswith(_ENDS) else line[0] + RESET, lines)


def json_lines(prefix: bytes, lines: bytes) -> memoryview:
    """One JSON object for each line. Bytes that are not UTF-8 become U+FFFD (RFC 8259 8.1: JSON is UTF-8)."""
    try:
        text = lines.decode()
    except UnicodeDecodeError:
        text = lines.decode(errors="replace")
    else:
        # every escape makes the text longer: if only the newlines grew, the bytes are their own JSON (twice as fast)
        if not _may_hide(lines) and len(_encoder.encode(text)) == len(lines) + lines.count(b"\n") + 2:
            prefix += b'"'
            return _insert(prefix + lines, prefix, len(prefix), b'"}')
    encoded = _escaped(_encoder.encode_lines(text[:-1].split("\n")))
    return _insert(prefix + encoded, prefix, len(prefix), b"}")


def json_object(value: object) -> bytes:
    """A value as one line of JSON without control characters."""
    return _escaped(_encoder.encode(value))


def _may_hide(data: bytes) -> bool:
    """Whether the text may contain one of `_HIDDEN`; also true for some common characters that start with the same
    byte.

    Searching for one byte is memchr(3) and costs nothing. Searching for two costs 60 us for 64 KiB, as much as
    everything else here.
    """
    return b"\x7f" in data or b"\xc2" in data or (b"\xe2" in data and b"\xe2\x80" in data)


def _escaped(encoded: bytes) -> bytes:
    if not _may_hide(encoded):
        return encoded
    return re.sub(_HIDDEN, lambda found: b"\\u%04x" % ord(found[0].decode()), encoded)


def _insert(chunk: bytes, before: bytes, extra: int, after: bytes = b"") -> memoryview:
    """Put `after` and `before` around each newline, without the last `extra` bytes.

    One `replace` handles the whole chunk. It leaves one prefix too many at the end, which a memoryview cuts off without
    the copy that a slice would make.
    """
    marked = chunk.replace(b"\n", after + b"\n" + before)
    return memoryview(marked)[: len(marked) - extra]


def clean(text: str) -> str:
    """Text that cannot move a cursor, set a title or break a table: sequences are removed, other control characters
    become a space.

    Nearly all text contains neither (`isprintable` knows Unicode's control and format characters), and compiling both
    patterns takes 0.7 ms.
    """
    return text if text.isprintable() else re.sub(_CONTROLS, " ", re.sub(_SEQUENCES, "", text))
