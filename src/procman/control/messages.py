"""The messages of the control protocol: parameters and results of each method, and notifications.

A reader ignores unknown members and shows unknown words as they are; a writer leaves out defaults. So members with a
default may be added, and nothing may be removed or change its meaning (docs/adr/0011-the-protocol-grows.md).

Parameters that are a command of the core are in `core.events`. Times are seconds; `time` is seconds since the epoch.
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
    """With `any_word` this connection accepts kinds of events that are newer than the client, each under its own name."""

    any_word: bool = False


class LogsParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Kept output of these instances: the last `lines` (all where null), and with `follow` also new output.

    With `after`, output after these offsets, and `lines` is ignored: for a stream that continues after an upgrade.
    """

    names: tuple[Name, ...] = ()
    lines: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] | None = None
    follow: bool = False
    after: dict[str, Annotated[int, msgspec.Meta(ge=0)]] | None = None


class EventsParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """With `after`, the kept changes after the one of this number are sent first."""

    after: Annotated[int, msgspec.Meta(ge=0)] | None = None


Cells = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""Columns or rows of a terminal (struct winsize: ioctl_tty(2)); 0 if unknown."""


class AttachParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An instance, or a type that has exactly one; the size of its screen. With `read_only` nothing can be typed."""

    instance: Name
    read_only: bool = False
    columns: Cells = 0
    rows: Cells = 0


class InputParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Input for the instance of this connection's stream: `text`, or `base64` where it is not UTF-8."""

    stream: int
    text: str = ""
    base64: str = ""


class ResizeParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The size of the screen that shows the stream. The instance's terminal gets the size of the typist's screen."""

    stream: int
    columns: Cells
    rows: Cells


class WaitParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Types, instances or shell patterns (all where empty) that have to be ready or done, done, or stopped, within
    `timeout` seconds, or without a limit where null. With `operation`: until that operation has ended.
    """

    names: tuple[Name, ...] = ()
    until: AwaitedState = AwaitedState.READY
    timeout: Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000)] | None = None
    operation: Annotated[int, msgspec.Meta(ge=0)] = 0


class WhyParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An instance, a type that has exactly one, or a companion such as `@balancer`."""

    instance: Name


class ReleaseParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Release the stop of an instance, in the run of that `generation`, from the hold of `by`."""

    by: Name
    instance: Name
    generation: int


class ReportParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A companion, in its run of that `generation`, reports what is wrong with what it serves; "" if nothing is."""

    instance: Name
    generation: int
    fault: Annotated[str, Meta(max_length=1024)] = ""


# ---- results


class Hello(Struct, frozen=True):
    """The procman that answers: its version, its pid, its root folder, the version of the protocol, and how often it was
    upgraded.

    `capabilities` are its methods (`scale`) and the members of their parameters (`scale.by`); the first version named
    none.
    """

    version: str
    pid: int
    root: str
    protocol: int
    upgrades: int = 0
    capabilities: tuple[str, ...] = ()


class Ps(Struct, frozen=True):
    """The formation at `time`."""

    pid: int
    root: str
    time: float
    fleet: FleetView


class Accepted(Struct, frozen=True):
    """A change was accepted: the instances that it affects, the formation wanted from now on, and the one `before`.
    `operation` is the number that `wait` takes; 0 if nothing changes. `folder` is the one that the root's name leads
    to now, where a reload has found another one than before: new processes run there.
    """

    instances: tuple[str, ...]
    formation: dict[str, int]
    operation: int = 0
    before: dict[str, int] | None = None
    folder: str | None = None


class Checked(Struct, frozen=True):
    """The installed program, of this version, can take over and does so now; `upgrading` follows."""

    version: str


class Why(Struct, frozen=True):
    """Sentences: the state of the instance and how long it has been in it, what comes next, and what a person can do."""

    instance: str
    lines: tuple[str, ...]


class Waited(Struct, frozen=True, omit_defaults=True):
    """How the wait ended: `reached`; `failed`: it cannot be reached any more, for this `reason`; `ending`: procman is
    stopping; `late`: the time is over, and the `pending` are missing.
    """

    outcome: str
    reason: str = ""
    hint: str = ""
    pending: tuple[str, ...] = ()


class StreamStarted(Struct, frozen=True, omit_defaults=True):
    """Notifications with this id follow. They start after change `number` (`events`), or after these offsets of
    instances (`logs` with `follow`). `upgrades` is how often procman had been upgraded by then.
    """

    stream: int
    number: int = 0
    after: dict[str, int] = {}
    upgrades: int = 0


class Typist(Struct, frozen=True):
    """Who types: the pid as procman sees it, 0 if unknown, and since when."""

    pid: int
    since: float


class Keyboard(Struct, frozen=True):
    """Where input goes: nowhere without a `terminal`; `yours`: this stream may type. A free keyboard has no `typist`:
    the next stream that sends input becomes it. `room` is how many bytes are accepted now.
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
    """How many bytes of the input were accepted. Send the rest again after a `keyboard` notification reports room."""

    taken: int


# ---- notifications


class Output(Struct, frozen=True, omit_defaults=True):
    r"""Lines that an instance wrote at `time`: `text`, or `base64` where they are not UTF-8. `missed` is the number of
    bytes lost before this, because the reader was slow or came late. With `terminal` the lines were written to a
    terminal: with `\r\n`, and sequences that move a cursor. `after` is the offset of the next output, in a stream of
    `logs`.
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
    """Something changed at `time`; `missed` is the number of changes lost before this because the reader was slow.
    Changes are numbered from 1, in a stream of `events`.
    """

    stream: int
    time: float
    change: Change
    missed: int = 0
    number: int = 0


class KeyboardChanged(Struct, frozen=True):
    """The typist has changed or left, there is room again, or a new run has a terminal where the last one had none."""

    stream: int
    keyboard: Keyboard


class StreamEnded(Struct, frozen=True):
    """The stream is complete (`logs` without `follow`), its instance was removed (`attach`), or procman ends."""

    stream: int


class Upgrading(Struct, frozen=True):
    """Another program takes procman's place, and the connection ends. Unanswered requests were not carried out: connect
    again, which needs no waiting, and repeat them. Streams can be continued (`after`).
    """
