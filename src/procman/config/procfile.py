r"""Reads the Procfile: which process types there are and which command each runs. Pure: bytes in, entries and faults
out.

A line is blank, a comment (its first non-blank character is `#`) or `name: command`. The command is everything after
the first colon, trimmed and otherwise verbatim: quotes, `#` and `\` belong to the shell. So a line cannot be continued.

Knows no formation and opens no file.
"""

from __future__ import annotations

from msgspec import Struct

from procman.config.source import BOM, brief, native, refuse_utf16
from procman.errors import Fault

_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_LONGEST_NAME = 63
"""The longest label of a host name, for which such names are often used."""

ALL = "all"
"""Reserved: in a formation it stands for every type."""

BLANKS = " \t"

_CONTINUED = r"a line cannot be continued with '\': write the command on one line, or put it in a script"


class Entry(Struct, frozen=True):
    """One process type, its command, and its line number."""

    name: str
    command: str
    line: int


class _ProcfileLine(Struct, frozen=True):
    """A line that is neither blank nor a comment. `continued`: the line before it ends in a backslash."""

    number: int
    text: str
    continued: bool


class _BadLine(Exception):  # noqa: N818  never leaves this module
    """Why a line is not an entry, with a hint."""


def parse_procfile(data: bytes, file: str = "Procfile") -> tuple[list[Entry], list[Fault]]:
    """Every entry in the order of the file, and every fault (the first one of each line)."""
    utf16 = refuse_utf16(data, file)
    if utf16:
        return [], [utf16]
    entries: list[Entry] = []
    faults: list[Fault] = []
    seen: dict[str, int] = {}
    continued = False
    for number, raw in enumerate(_lines(data), 1):
        try:
            entry = _entry(_ProcfileLine(number, _text(raw), continued), seen)
        except _BadLine as why:
            message, hint = why.args
            faults.append(Fault(file, number, message, _CONTINUED if continued else hint))
        else:
            if entry:
                entries.append(entry)
        continued = raw.rstrip(b" \t\r").endswith(b"\\")
    what = _kind_of(data) if faults else ""
    if faults and any(line.lstrip().startswith((b"{%", b"{{")) for line in _lines(data)):
        hint = "it is a template: have its own tool make a Procfile of it first"
        return [], [Fault(file, faults[0].line, "cannot read the file as a Procfile", hint)]
    if what:
        hint = f"it is {what}: `procman init --from {file}` makes a Procfile of one"
        return [], [Fault(file, faults[0].line, "cannot read the file as a Procfile", hint)]
    if not entries and not faults:
        faults.append(Fault("", 0, f"cannot find a process type in {file}", "add a line such as 'web: python app.py'"))
    return entries, faults


def _kind_of(data: bytes) -> str:
    """Which tool's file it seems to be: the header of a section, an object, or a key without a value."""
    said = [line.rstrip() for line in _lines(data) if line.strip() and line.strip()[:1] not in b"#;"]
    first = said[0] if said else b""
    if first.startswith(b"[") and first.endswith(b"]"):
        return "an INI file, such as supervisord's"
    if first.startswith(b"{"):
        return "a JSON file, such as PM2's"
    if not {b"services:", b"processes:", b"procs:"}.isdisjoint(said):
        return "a YAML file, such as Docker Compose's"
    return ""


def is_name(word: str) -> bool:
    """Whether it is a valid name of a process type."""
    return 0 < len(word) <= _LONGEST_NAME and _NAME.issuperset(word)


def claimed_names(data: bytes) -> set[str]:
    """Every name at the start of a line, including faulty lines, so that `unknown type` need not be reported for them."""
    return {line.decode(errors="replace").partition(":")[0].strip() for line in _lines(data)}


def _lines(data: bytes) -> list[bytes]:
    """Lines without their ends, LF or CRLF. A CR without LF does not end a line, so the last line keeps its own."""
    *ended, last = data.removeprefix(BOM).split(b"\n")
    return [*(line.removesuffix(b"\r") for line in ended), last]


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise _BadLine(f"cannot read byte 0x{raw[error.start]:02x}: not UTF-8", "save the file as UTF-8") from None
    control = None if text.isprintable() else next(filter(_is_control, text), None)
    if control is not None:
        hint = "end lines with LF or CRLF" if control == "\r" else "remove it"
        raise _BadLine(f"cannot use the control character U+{ord(control):04X} in a line", hint)
    return text.strip(BLANKS)


def _is_control(character: str) -> bool:
    """Whether it is in Unicode's category Cc (C0, DEL and C1), the tab excepted."""
    return character != "\t" and (character < " " or "\x7f" <= character <= "\x9f")


def _entry(line: _ProcfileLine, seen: dict[str, int]) -> Entry | None:
    """The entry of a line; None for a blank line and a comment. `seen` records every valid name and its first line."""
    if not line.text or line.text.startswith("#"):
        return None
    name, colon, command = line.text.partition(":")
    if not colon:
        raise _BadLine(f"cannot read {brief(line.text)}: it has no ':'", "write 'name: command'")
    name, command = name.rstrip(BLANKS), command.lstrip(BLANKS)
    _check_name(name)
    first = seen.setdefault(name, line.number)
    if first != line.number:
        hint = f"to run several instances: --formation {name}=2"
        raise _BadLine(f"cannot define '{name}' twice: line {first} does it", hint)
    if not command:
        raise _BadLine(f"cannot run '{name}': its command is empty", f"write '{name}: command', or remove the line")
    return Entry(name, native(command), line.number)


def _check_name(name: str) -> None:
    if name == ALL:
        raise _BadLine("cannot use 'all' as a name: in a formation it means every type", "choose another name")
    if is_name(name):
        return
    if not name:
        raise _BadLine("cannot read the line: there is no name before its ':'", "write 'name: command'")
    hint = "a name is made of letters A-Z and a-z, digits, '-' and '_', at most 63"
    raise _BadLine(f"cannot use {brief(name)} as a name", hint)
