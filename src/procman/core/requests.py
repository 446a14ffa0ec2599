"""Commands of people, which are also parameters of the control protocol. A client loads only this of the core's inputs.

They are tagged with their name for a trace; the tag is not sent.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

MAX_COUNT = 1000
"""Most instances of one type: a typing error in `scale` must not bring the machine down."""

Name = Annotated[str, Meta(max_length=128)]
"""A type, an instance or a pattern. The name of an instance has at most 69 characters, and a longer pattern takes time
to compare and to compile (one of 60,000 brackets: minutes), in which procman would do nothing else.
"""

Count = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
"""A count of instances, far above the possible. An integer of JSON can have 4,300 digits; with one more a ValueError is
raised where it is put into a message.
"""


class Scale(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """Counts to set (`to`) and to change (`by`), all or nothing. With neither: the formation as it is. `why` is
    published with it. `force`: also types that are autoscaled; without it only the autoscaler sets their counts.
    `remove`: the instances that stop first where a count is lowered; without it those with the highest numbers.
    """

    to: dict[Name, Count] = {}
    by: dict[Name, Count] = {}
    why: Annotated[str, Meta(max_length=256)] = ""
    force: bool = False
    remove: tuple[Name, ...] = ()


class Restart(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """Types, instances or shell patterns; all where empty. A program that gives `why`, which `ps` and `events` show,
    logs it itself. A type is restarted a few instances at a time, unless `together`; a named instance at once.
    """

    names: tuple[Name, ...] = ()
    why: Annotated[str, Meta(max_length=256)] = ""
    together: bool = False


class Stop(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """Types, instances or shell patterns. Stopping everything needs `all`."""

    names: tuple[Name, ...] = ()
    all: bool = False


class SendSignal(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """`signal` is a name without SIG. It is sent to the group, or with `leader` only to the first process."""

    signal: str
    names: tuple[Name, ...]
    leader: bool = False


class AwaitedState(Enum):
    """The states that can be waited for. An instance that is done also counts as ready."""

    READY = "ready"
    DONE = "done"
    STOPPED = "stopped"


class Wait(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """Changes nothing: an operation that ends when all of these instances are in the state. All, where none is named."""

    names: tuple[Name, ...] = ()
    until: AwaitedState = AwaitedState.READY


class Hold(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """Stops of ready instances of these types wait until `by` releases each, at most `seconds`; 0 ends the hold."""

    by: Annotated[str, Meta(min_length=1, max_length=128)]
    names: tuple[Name, ...]
    seconds: Annotated[float, Meta(ge=0, le=3600)]


class Shutdown(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """Stop everything and end. A program gives `why`, which the log shows."""

    why: Annotated[str, Meta(max_length=256)] = ""
