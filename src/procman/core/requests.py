"""What people ask for: commands of the core that are the parameters of the control protocol, too.

A client loads this and nothing else of the core's inputs. They are tagged with their name for a trace; the tag is not sent.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

MAX_COUNT = 1000
"""Most instances of one type: a typing error in `scale` must not take the machine down."""

Name = Annotated[str, Meta(max_length=128)]
"""A type, an instance or a pattern: 69 characters are the most that any type or instance has. What is longer costs time
to compare and to compile (a pattern of 60,000 brackets: minutes), in which procman would do nothing else."""

Count = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
"""A count of instances: far more than there can be. An integer of JSON can have 4,300 digits, and one more than that is a
ValueError where it is put into a message."""


class Scale(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """Counts to set (`to`) and to change (`by`); all or nothing. With neither: the formation as it is. `why` is told with it.

    With `force` also those of types that are autoscaled, whose counts are set by the autoscaler and else by nobody. `remove`
    are instances that go first, where a count is lowered; else the highest numbers go.
    """

    to: dict[Name, Count] = {}
    by: dict[Name, Count] = {}
    why: Annotated[str, Meta(max_length=256)] = ""
    force: bool = False
    remove: tuple[Name, ...] = ()


class Restart(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """Types, instances or shell patterns; all when empty. A program says `why`, for `ps` and `events`, and logs it itself.
    A type of two and more is restarted a few at a time, unless `together`; an instance that is named is at once.
    """

    names: tuple[Name, ...] = ()
    why: Annotated[str, Meta(max_length=256)] = ""
    together: bool = False


class Stop(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """Types, instances or shell patterns; to stop everything `all` must be said."""

    names: tuple[Name, ...] = ()
    all: bool = False


class SendSignal(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """`signal` is a name without SIG, sent to the group or with `leader` to the first process alone."""

    signal: str
    names: tuple[Name, ...]
    leader: bool = False


class AwaitedState(Enum):
    """What instances can be waited for to be. What is done counts as ready."""

    READY = "ready"
    DONE = "done"
    STOPPED = "stopped"


class Wait(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """Changes nothing: an operation that ends when all that are named are so. All, where none is named."""

    names: tuple[Name, ...] = ()
    until: AwaitedState = AwaitedState.READY


class Hold(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    """From now on stops of ready instances of these types wait until `by` releases each, `seconds` at most; 0: no more."""

    by: Annotated[str, Meta(min_length=1, max_length=128)]
    names: tuple[Name, ...]
    seconds: Annotated[float, Meta(ge=0, le=3600)]


class Shutdown(Struct, frozen=True, tag=True, forbid_unknown_fields=True, omit_defaults=True):
    pass
