"""The control protocol's messages: what each method takes and answers, and what is told unasked.

Who reads ignores members that it does not know and shows words that it does not know as they are; who writes leaves out
what has its default. So members with a default may be added, and nothing may be removed or given another meaning
(docs/adr/0011-the-protocol-grows.md). Parameters that are a command of the core stand in `core.events`.

Times are seconds; `time` is seconds since the epoch.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from procman.core.requests import AwaitedState, Name
from procman.core.view import Change, FleetView

# ---- parameters


class NoParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class HelloParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """With `any_word` this connection is told of kinds of events that came later than the protocol, each by its own word."""

    any_word: bool = False


class LogsParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Kept output of these instances: the last `lines` (all that is kept where null), and with `follow` what comes.

    With `after` what comes after these offsets, whatever `lines` says: for a stream that goes on after an upgrade.
    """

    names: tuple[Name, ...] = ()
    lines: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] | None = None
    follow: bool = False
    after: dict[str, Annotated[int, msgspec.Meta(ge=0)]] | None = None


class EventsParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """With `after` the changes that came after the one of this number are told first, as far as they are kept."""

    after: Annotated[int, msgspec.Meta(ge=0)] | None = None


Cells = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""Columns or rows, as many as a terminal can have (struct winsize: ioctl_tty(2)); 0 where it is not known."""


class AttachParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An instance, or a type that has exactly one; the size of the screen that shows it. With `read_only` nothing is typed."""

    instance: Name
    read_only: bool = False
    columns: Cells = 0
    rows: Cells = 0


class InputParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is typed into the instance of this connection's stream: `text`, or `base64` where it is not UTF-8."""

    stream: int
    text: str = ""
    base64: str = ""


class ResizeParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The size of the screen that shows the stream; the instance's terminal follows that of the one who types."""

    stream: int
    columns: Cells
    rows: Cells


class WaitParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Types, instances or shell patterns (all when empty) that are to be ready or done, to be done, or to be stopped; for at
    most `timeout` seconds, for as long as it takes where null. With `operation`: until what was asked for, by that number,
    has come.
    """

    names: tuple[Name, ...] = ()
    until: AwaitedState = AwaitedState.READY
    timeout: Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000)] | None = None
    operation: Annotated[int, msgspec.Meta(ge=0)] = 0


class WhyParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An instance, or a type that has exactly one."""

    instance: Name


class ReleaseParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The stop of an instance, in its life of that `generation`, need not wait for `by` any more."""

    by: Name
    instance: Name
    generation: int


class ReportParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a companion, in its life of that `generation`, has to say of what it looks after: the fault, or "" for none."""

    instance: Name
    generation: int
    fault: Annotated[str, Meta(max_length=1024)] = ""


# ---- results


class Hello(Struct, frozen=True):
    """Who answers: procman's version, its pid, its root folder and the protocol's version; how often it was upgraded.

    `capabilities` are its methods (`scale`) and the members of their parameters (`scale.by`); the first version named none.
    """

    version: str
    pid: int
    root: str
    protocol: int
    upgrades: int = 0
    capabilities: tuple[str, ...] = ()


class Ps(Struct, frozen=True):
    """The formation; `time` is when it was looked at."""

    pid: int
    root: str
    time: float
    fleet: FleetView


class Accepted(Struct, frozen=True):
    """A change that was accepted: the instances it touches, the formation that is wanted from now on, and the one before.

    `operation` is the number by which `wait` waits for it; 0 where nothing changes.
    """

    instances: tuple[str, ...]
    formation: dict[str, int]
    operation: int = 0
    before: dict[str, int] | None = None


class Checked(Struct, frozen=True):
    """The installed program, of this version, has shown that it can take over, and does so now: `upgrading` follows."""

    version: str


class Why(Struct, frozen=True):
    """Sentences: how the instance is and since when, what comes next, and what a person can do."""

    instance: str
    lines: tuple[str, ...]


class Waited(Struct, frozen=True, omit_defaults=True):
    """How it ended: `reached`; `failed`, as it cannot become true any more, and why; `ending`, as procman is stopping; `late`,
    with what is still to come.
    """

    outcome: str
    reason: str = ""
    hint: str = ""
    pending: tuple[str, ...] = ()


class StreamStarted(Struct, frozen=True, omit_defaults=True):
    """Notifications with this id follow. It begins after `number`, the last change (`events`), or after these offsets of
    instances (`logs` with `follow`), in the program after so many upgrades.
    """

    stream: int
    number: int = 0
    after: dict[str, int] = {}
    upgrades: int = 0


class Typist(Struct, frozen=True):
    """Who types: its pid as procman sees it, 0 where that is not told, and since when."""

    pid: int
    since: float


class Keyboard(Struct, frozen=True):
    """Where what is typed goes. Without a `terminal` nowhere; `yours` where this stream is the one that types.

    Nobody is the `typist` of a free keyboard: the next stream that sends input is. `room` is how many bytes are taken
    at this moment.
    """

    terminal: bool
    yours: bool
    typist: Typist | None
    room: int


class Attached(Struct, frozen=True):
    """Notifications with this id follow. The first `kept` bytes of `output` were written before."""

    stream: int
    instance: str
    kept: int
    keyboard: Keyboard


class Taken(Struct, frozen=True):
    """How many bytes of the input were taken. The rest is to be sent again once a `keyboard` notification tells of room."""

    taken: int


# ---- notifications


class Output(Struct, frozen=True, omit_defaults=True):
    r"""Lines that an instance wrote at `time`: `text`, or `base64` where they are not UTF-8.

    `missed` is the number of bytes that a slow reader, or one that came too late, did not get before this.
    With `terminal` the lines are as they were written to one: with `\r\n`, and sequences that move a cursor.
    `after` is the offset of what comes next, in a stream of `logs`.
    """

    stream: int
    instance: str
    time: float
    text: str | None = None
    base64: str | None = None
    missed: int = 0
    terminal: bool = False
    after: int = 0


class Happened(Struct, frozen=True, omit_defaults=True):
    """Something changed at `time`; `missed` counts the changes that a slow reader did not get before this. Changes are
    numbered from 1, in a stream of `events`.
    """

    stream: int
    time: float
    change: Change
    missed: int = 0
    number: int = 0


class KeyboardChanged(Struct, frozen=True):
    """Somebody else types, nobody does any more, there is room again, or a new life has a terminal where the last had none."""

    stream: int
    keyboard: Keyboard


class StreamEnded(Struct, frozen=True):
    """The stream is complete (`logs` without `follow`), its instance was removed (`attach`), or procman ends."""

    stream: int


class Upgrading(Struct, frozen=True):
    """Another program takes procman's place, and the connection ends. What was asked and not answered was not done: connect
    again, which needs no waiting, and ask again. Streams can be opened where they were (`after`).
    """
