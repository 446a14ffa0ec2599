"""The last events of a fleet with the state before them, to be written to a file and run again.

Owns what a trace is and its format; knows no files. The format is JSON, an object per line: a header, the state, then the
events in order. Values of the environment are replaced by numbers, the same for the same value, as the core only
compares them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import chain

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from procman.core.actions import Action
from procman.core.events import Commanded, Event, Reload
from procman.core.fleet import Fleet
from procman.core.snapshot import FleetState, Packed, changed_plan, pack, unpack
from procman.core.spec import BaseEnvironment, Plan, ProcessSpec

FORMAT = 2
"""Raised when a reader of the earlier format would misread it."""

KEPT = 1000
"""Events that are kept at least; at most twice as many."""


class TraceHeader(Struct, frozen=True):
    """The first line. `cause` is why it was written, with the traceback of a fault; `time` seconds since the epoch."""

    trace: int
    procman: str
    cause: str
    time: float


class Recorded(Struct, frozen=True):
    """One event and when it was handled, in monotonic seconds."""

    at: float
    event: Event


class _Part:
    """Events with the state before the first of them. A time takes 8 bytes here, and 80 as a `Recorded` of its own."""

    __slots__ = ("clocks", "events", "state")

    def __init__(self, state: FleetState) -> None:
        self.state = state
        self.clocks = array("d")
        self.events: list[Event] = []

    def happened(self) -> Iterator[Recorded]:
        return map(Recorded, self.clocks, self.events)


class Trace:
    """Records every event before the fleet handles it. Costs a snapshot in `KEPT` of them."""

    def __init__(self, fleet: Fleet, kept: int = KEPT) -> None:
        self._fleet = fleet
        self._kept = kept
        self._before: _Part | None = None
        self._now = _Part(fleet.state())

    def note(self, at: float, event: Event) -> None:
        now = self._now
        if len(now.events) >= self._kept:
            self._before, now = now, _Part(self._fleet.state())
            self._now = now
        del now.clocks[len(now.events) :]  # one too many, where there was no memory for its event
        now.clocks.append(at)
        now.events.append(event)

    def lines(self, header: TraceHeader) -> Iterator[bytes]:
        """The lines of the trace, each with its newline."""
        parts = [part for part in (self._before, self._now) if part is not None]
        masks = _Masks()
        yield msgspec.json.encode(header) + b"\n"
        state = parts[0].state
        yield msgspec.json.encode(pack(replace(state, plan=_without_sections(state.plan)), masks.spec)) + b"\n"
        for one in chain.from_iterable(part.happened() for part in parts):
            yield msgspec.json.encode(replace(one, event=masks.event(one.event))) + b"\n"


def _without_sections(plan: Plan) -> Plan:
    """Settings of companions may contain a password; the fleet only looks at their names."""
    return replace(plan, sections={key: dict.fromkeys(of_type) for key, of_type in plan.sections.items()})


class _Masks:
    """Replaces values of the environment by numbers."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}

    def spec(self, spec: ProcessSpec) -> ProcessSpec:
        base = BaseEnvironment(inherited=self._masked(spec.base.inherited), files=self._masked(spec.base.files))
        return replace(spec, env=self._masked(spec.env), base=base)

    def event(self, event: Event) -> Event:
        if not (isinstance(event, Commanded) and isinstance(event.command, Reload)):
            return event
        return replace(event, command=Reload(changed_plan(_without_sections(event.command.plan), self.spec)))

    def _masked(self, env: dict[str, str]) -> dict[str, str]:
        return {name: self._mask(value) for name, value in env.items()}

    def _mask(self, value: str) -> str:
        return self._numbers.setdefault(value, f"value {len(self._numbers) + 1}")


def read(lines: Iterable[bytes]) -> tuple[TraceHeader, FleetState, list[Recorded]]:
    """A trace from its lines. Raises msgspec.DecodeError, with the line in its text, where it is invalid."""
    number = 1
    rest = iter(lines)
    try:
        header = msgspec.json.decode(next(rest, b""), type=TraceHeader)
        if header.trace != FORMAT:
            raise msgspec.ValidationError(f"its format is {header.trace}, and this procman knows {FORMAT}")
        number = 2
        state = unpack(msgspec.json.decode(next(rest, b""), type=Packed))
        decoder = msgspec.json.Decoder(Recorded)
        happened = []
        for line in rest:
            number += 1
            happened.append(decoder.decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(f"line {number}: {error}") from None
    return header, state, happened


def replay(state: FleetState, happened: Iterable[Recorded]) -> Iterator[tuple[Recorded, list[Action] | str]]:
    """Every event with the fleet's decision on it; a traceback where it raises, which ends the replay."""
    fleet = Fleet(state.plan, state)
    for one in happened:
        try:
            yield one, fleet.handle(one.event, one.at)
        except Exception:  # noqa: BLE001  showing it is what a replay is for
            import traceback  # noqa: PLC0415  3 ms at import, which every start would pay

            yield one, traceback.format_exc()
            return
