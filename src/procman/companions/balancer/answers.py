"""Reads the answers of HAProxy's runtime API strictly. Text in, values or a typed error out; knows no socket.

Formats are those of HAProxy's management guide, section 9 ("show servers state", "show servers conn", "show stat",
"show info"), and error texts those of version 2.6, each tried. An answer in another form is an error, never half a
list: a server that is missed would be taken out of service.
"""

from __future__ import annotations

import csv
import re
from enum import Enum

from msgspec import Struct

from procman.errors import ProcmanError

MAINTENANCE = 0x01 | 0x02 | 0x20
"""Flags of srv_admin_state that keep a server out of service: forced, inherited, by resolution. 0x04 only says that the
configuration has it `disabled`, and stays set when a command makes it ready.
"""

DRAIN = 0x08 | 0x10

END = "\n\n"
"""The end of a table: without the empty line HAProxy has died while it wrote, and servers may be missing."""

STATE_VERSION = "1"

STATE_FIELDS = ("be_id", "be_name", "srv_id", "srv_name", "srv_addr", "srv_op_state", "srv_admin_state", "srv_port")


class Refusal(Enum):
    """Why HAProxy did not do what it was asked, or could not be asked."""

    ABSENT = "absent"
    HUNG = "hung"
    FORBIDDEN = "forbidden"
    TOO_OLD = "too-old"
    NO_BACKEND = "no-backend"
    NO_SERVER = "no-server"
    EXISTS = "exists"
    STATIC_ALGORITHM = "static-algorithm"
    NOT_IN_MAINTENANCE = "not-in-maintenance"
    CONNECTED = "connected"
    NO_ID_LEFT = "no-id-left"
    NO_CHECK = "no-check"
    UNKNOWN_COMMAND = "unknown-command"
    UNREADABLE = "unreadable"
    OTHER = "other"


_HINTS = {
    Refusal.ABSENT: "is HAProxy running, and is this its `stats socket`?",
    Refusal.HUNG: "is HAProxy suspended?",
    Refusal.FORBIDDEN: "give the `stats socket` `level admin`, and procman's user access to it",
    Refusal.TOO_OLD: "HAProxy 2.6 or newer is needed",
    Refusal.NO_BACKEND: "name the backend as in HAProxy's configuration",
    Refusal.STATIC_ALGORITHM: "add a `server-template` line to the backend, or use `balance roundrobin`",
    Refusal.NO_ID_LEFT: "the backend has as many servers as HAProxy can number",
}


class HaproxyError(ProcmanError):
    """HAProxy could not be asked, or refused. `kind` says why, as data."""

    def __init__(self, kind: Refusal, message: str) -> None:
        super().__init__(message, _HINTS.get(kind, ""))
        self.kind = kind


_PATTERNS: tuple[tuple[str, Refusal], ...] = (
    (r"Permission denied", Refusal.FORBIDDEN),
    (r"No such backend\.|Can't find backend\.", Refusal.NO_BACKEND),
    (r"No such server\.", Refusal.NO_SERVER),
    (r"Already exists a server with the same name", Refusal.EXISTS),
    (r"Backend must use a dynamic load balancing", Refusal.STATIC_ALGORITHM),
    (r"Only servers in maintenance mode can be deleted", Refusal.NOT_IN_MAINTENANCE),
    (r"Server still has connections attached", Refusal.CONNECTED),
    (r"Cannot attach server : no id left", Refusal.NO_ID_LEFT),
    (r"(Health check|Agent) was not configured", Refusal.NO_CHECK),
    (r"Unknown command", Refusal.UNKNOWN_COMMAND),
    (r"This command is restricted to (experimental|expert) mode", Refusal.TOO_OLD),
)

_DONE = re.compile(
    r"New server registered\.|Server deleted\.|nothing changed"
    r"|(no need to change the (addr|port)|(IP|port) changed from '[^']*' to '[^']*')[^\n]* by '[^']*'"
)
"""Answers that mean success. For most commands it is an empty line."""


class BackendServer(Struct, frozen=True, kw_only=True):
    """One server of a backend as HAProxy has it. `used`: connections in use, None if they were not requested."""

    backend: str
    name: str
    address: str
    port: int
    running: bool
    maintenance: bool
    drain: bool
    used: int | None = None

    @property
    def serves(self) -> bool:
        """Whether it gets new requests, as far as commands decide that."""
        return not self.maintenance and not self.drain


def refusal(command: str, answer: str) -> HaproxyError | None:
    """Whether a command that changes something was refused. Only known answers count as success."""
    text = answer.strip()
    if not answer:
        return _cut_short(_brief(command))
    if not text or _DONE.fullmatch(text):
        return None
    return HaproxyError(_kind(text), f"cannot {_brief(command)}: HAProxy says: {_brief(text)}")


def _kind(text: str) -> Refusal:
    return next((kind for pattern, kind in _PATTERNS if re.match(pattern, text)), Refusal.OTHER)


def _brief(text: str) -> str:
    """The first line, printable and of limited length."""
    line = text.strip().partition("\n")[0]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)[:200]


def _table(command: str, answer: str) -> list[str]:
    """The lines of an answer that is a table. Raises an error where it is a message, or not complete."""
    lines = answer.rstrip("\n").split("\n")
    first = next((line for line in lines[:2] if line.startswith("# ")), None)
    if not answer or (first is not None and not answer.endswith(END)):
        raise _cut_short(command)
    if first is None:
        text = answer.strip()
        kind = _kind(text) if text else Refusal.UNREADABLE
        raise HaproxyError(Refusal.UNREADABLE if kind is Refusal.OTHER else kind, f"cannot {command}: {_brief(text)!r}")
    return lines


def _cut_short(command: str) -> HaproxyError:
    """HAProxy has ended, or was replaced, while it answered. It is asked again, as where there is none."""
    return HaproxyError(Refusal.ABSENT, f"cannot read HAProxy's answer to `{command}`: it is cut short")


def _unreadable(command: str, what: str) -> HaproxyError:
    return HaproxyError(Refusal.UNREADABLE, f"cannot read HAProxy's answer to `{command}`: {what}")


def read_state(answer: str) -> tuple[BackendServer, ...]:
    """`show servers state`: every server with its address and its commanded state."""
    command = "show servers state"
    version, *rest = _table(command, answer)
    if version != STATE_VERSION or not rest:
        raise _unreadable(command, f"format {_brief(version)!r} is not known")
    header, *rows = rest
    names = header.removeprefix("# ").split(" ")
    try:
        at = {field: names.index(field) for field in STATE_FIELDS}
    except ValueError as error:
        raise _unreadable(command, str(error)) from None
    servers = []
    for row in rows:
        fields = row.split(" ")
        if len(fields) != len(names):
            raise _unreadable(command, f"a line has {len(fields)} fields and not {len(names)}")
        admin = _number(command, fields[at["srv_admin_state"]])
        servers.append(
            BackendServer(
                backend=fields[at["be_name"]],
                name=fields[at["srv_name"]],
                address=fields[at["srv_addr"]],
                port=_number(command, fields[at["srv_port"]]),
                running=_number(command, fields[at["srv_op_state"]]) > 0,
                maintenance=bool(admin & MAINTENANCE),
                drain=bool(admin & DRAIN),
            )
        )
    return tuple(servers)


def read_used(answer: str) -> dict[tuple[str, str], int]:
    """`show servers conn`: connections in use by (backend, server)."""
    command = "show servers conn"
    header, *rows = _table(command, answer)
    names = header.removeprefix("# ").split(" ")
    if names[0] != "bkname/svname" or "used_cur" not in names:
        raise _unreadable(command, "it has no column used_cur")
    at = names.index("used_cur")
    used = {}
    for row in rows:
        fields = row.split(" ")
        backend, slash, server = fields[0].partition("/")
        if not slash or not at < len(fields):
            raise _unreadable(command, f"a line has {len(fields)} fields")
        used[backend, server] = _number(command, fields[at])
    return used


def read_load(answer: str, backend: str, column: str) -> int:
    """`show stat`: a number of a backend."""
    command = "show stat"
    lines = _table(command, answer)
    lines[0] = lines[0].removeprefix("# ")
    try:
        for row in csv.DictReader(lines, strict=True):
            if row.get("pxname") == backend and row.get("svname") == "BACKEND":
                return _number(command, row.get(column) or "")
    except csv.Error as error:
        raise _unreadable(command, str(error)) from None
    raise HaproxyError(Refusal.NO_BACKEND, f"cannot find the backend {_brief(backend)} in HAProxy's statistics")


def read_version(answer: str) -> tuple[int, int]:
    """`show info`: major and minor version."""
    match = _of_info("version", r"^Version: ([0-9]{1,4})\.([0-9]{1,4})", answer)
    return int(match[1]), int(match[2])


def read_pid(answer: str) -> int:
    """`show info`: the worker's pid, as HAProxy sees it."""
    return int(_of_info("pid", r"^Pid: ([0-9]{1,10})$", answer)[1])


def _of_info(what: str, pattern: str, answer: str) -> re.Match[str]:
    if answer.startswith("Name: ") and not answer.endswith(END):
        raise _cut_short("show info")
    match = re.search(pattern, answer, re.MULTILINE)
    if match is None:
        raise HaproxyError(_kind(answer.strip()), f"cannot read HAProxy's {what}: {_brief(answer)!r}")
    return match


def _number(command: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise _unreadable(command, f"{_brief(text)!r} is not a number")
    return int(text)
