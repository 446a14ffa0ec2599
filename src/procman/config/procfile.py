r"""Reads the Procfile: which process types there are and which command each runs. Pure: bytes in, entries and faults
out.

A line is blank, a comment (its first non-blank character is `#`) or `name: command`. The command is everything after
the first colon, trimmed and otherwise verbatim: quotes, `#` and `\` belong to the shell. So a line cannot be continued.

Knows no formation and opens no file.
"""

from __future__ import annotations

from msgspec import Struct

from procman.config.source import BOM, Unusable, brief, native, refuse_utf16
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
            entry = _entry(_text(raw), number, seen)
        except Unusable as reason:
            faults.append(Fault(file, number, reason.why, _CONTINUED if continued else reason.hint))
        else:
            if entry:
                entries.append(entry)
        continued = raw.rstrip(b" \t\r").endswith(b"\\")
    hint = _of_another_kind(data, file) if faults else ""
    if hint:
        return [], [Fault(file, faults[0].line, "cannot read the file as a Procfile", hint)]
    if not entries and not faults:
        faults.append(Fault("", 0, f"cannot find a process type in {file}", "add a line such as 'web: python app.py'"))
    return entries, faults


def _of_another_kind(data: bytes, file: str) -> str:
    """What to do with a file that seems to be a template, or another tool's, "" for a Procfile: the other tools' have the
    header of a section, an object, or a key without a value.
    """
    if any(line.lstrip().startswith((b"{%", b"{{")) for line in _lines(data)):
        return "it is a template: have its own tool make a Procfile of it first"
    said = [line.rstrip() for line in _lines(data) if line.strip() and line.strip()[:1] not in b"#;"]
    first = said[0] if said else b""
    if first.startswith(b"[") and first.endswith(b"]"):
        what = "an INI file, such as supervisord's"
    elif first.startswith(b"{"):
        what = "a JSON file, such as PM2's"
    elif not {b"services:", b"processes:", b"procs:"}.isdisjoint(said):
        what = "a YAML file, such as Docker Compose's"
    else:
        return ""
    return f"it is {what}: `procman init --from {file}` makes a Procfile of one"


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
        raise Unusable(f"cannot read byte 0x{raw[error.start]:02x}: not UTF-8", "save the file as UTF-8") from None
    control = None if text.isprintable() else next(filter(_is_control, text), None)
    if control is not None:
        hint = "end lines with LF or CRLF" if control == "\r" else "remove it"
        raise Unusable(f"cannot use the control character U+{ord(control):04X} in a line", hint)
    return text.strip(BLANKS)


def _is_control(character: str) -> bool:
    """Whether it is in Unicode's category Cc (C0, DEL and C1), the tab excepted."""
    return character != "\t" and (character < " " or "\x7f" <= character <= "\x9f")


def _entry(text: str, line: int, seen: dict[str, int]) -> Entry | None:
    """The entry of a line; None for a blank line and a comment. `seen` records every valid name and its first line."""
    if not text or text.startswith("#"):
        return None
    name, colon, command = text.partition(":")
    if not colon:
        raise Unusable(f"cannot read {brief(text)}: it has no ':'", "write 'name: command'")
    name, command = name.rstrip(BLANKS), command.lstrip(BLANKS)
    _check_name(name)
    first = seen.setdefault(name, line)
    if first != line:
        hint = f"to run several instances: --formation {name}=2"
        raise Unusable(f"cannot define '{name}' twice: line {first} does it", hint)
    if not command:
        raise Unusable(f"cannot run '{name}': its command is empty", f"write '{name}: command', or remove the line")
    return Entry(name, native(command), line)


def _check_name(name: str) -> None:
    if name == ALL:
        raise Unusable("cannot use 'all' as a name: in a formation it means every type", "choose another name")
    if is_name(name):
        return
    if not name:
        raise Unusable("cannot read the line: there is no name before its ':'", "write 'name: command'")
    hint = "a name is made of letters A-Z and a-z, digits, '-' and '_', at most 63"
    raise Unusable(f"cannot use {brief(name)} as a name", hint)
